"""The pages of the site that are made from the code and from files outside `docs`.

An extension of Sphinx. Whenever the site is built it writes `docs/reference` and `docs/project`,
which are not kept under version control. Links within the repository become links within the site.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin

import bitryoshka
from bitryoshka.schema_scripts import FILES
from bitryoshka.sql_files import read_install

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent
FOLDERS = ("reference", "project")

# pages that are files elsewhere, or whose name is taken by the site's own page of searches
COPIES = {
    "reference/search_contract": "docs/search.md",
    "project/document_search": "examples/document_search/README.md",
    "project/security": "SECURITY.md",
    "project/contributing": "CONTRIBUTING.md",
    "project/changelog": "CHANGELOG.md",
}

# modules that the guides import from, beside the packages
MODULES = ("bits", "drift", "vector_files", "qdrant.edge", "loading.qdrant")

# stores whose methods stand in classes of ours below the framework's own, which is not shown
STORES = {
    "bitryoshka.langchain": "VectorStore",
    "bitryoshka.llama_index": "BasePydanticVectorStore",
}

# what is called in statements of one's own; all others are called by these or by triggers
SQL_FUNCTIONS = {
    "Search": ("search", "search_statement"),
    "Codes and queries": (
        "encode",
        "encode_query",
        "query_planes",
        "asymmetric_score",
        "create_encoder",
    ),
    "Columns of codes": (
        "add_code_column",
        "fill_code_column",
        "repair_code_column",
        "switch_code_column",
        "drop_code_column",
        "drop_codec",
    ),
}


class SqlFunction(NamedTuple):
    """A function of schema `bitryoshka`, or a table or view, as the scripts declare it."""

    name: str
    signature: str
    comment: str


def python_packages() -> list[str]:
    """Every package for users, and the further modules that guides import from."""
    found = [m.name for m in walk_packages(bitryoshka.__path__, "bitryoshka.") if m.ispkg]
    public = [name for name in found if not name.startswith("bitryoshka.cli")]
    return sorted(["bitryoshka", *public, *(f"bitryoshka.{name}" for name in MODULES)])


def python_page(name: str) -> str:
    """reStructuredText, which is what docstrings are written in."""
    module = import_module(name)
    own = [
        public
        for public in module.__all__
        if module is bitryoshka or getattr(bitryoshka, public, None) is not getattr(module, public)
    ]
    aliases = [public for public in own if get_origin(getattr(module, public)) is not None]
    listed = ", ".join(public for public in own if public not in aliases)
    lines = [name, "=" * len(name), "", f".. automodule:: {name}", f"   :members: {listed}"]
    if base := STORES.get(name):
        lines.append(f"   :inherited-members: {base}")
    for alias in aliases:
        meaning = str(getattr(module, alias)).replace("typing.", "")
        lines += ["", f".. py:data:: {name}.{alias}", "", f"   Stands for ``{meaning}``."]
    if others := sorted(set(module.__all__) - set(own)):
        named = ", ".join(f"``{public}``" for public in others)
        lines += ["", f"Also here: {named} of :doc:`bitryoshka`."]
    return "\n".join([*lines, ""])


def sql_scripts() -> str:
    """What `bitryoshka install` runs, with pgvector's schema left out."""
    text = "\n".join(read_install(name) for name in FILES)
    return text.replace("{pgvector}.", "")


def sql_functions() -> dict[str, list[SqlFunction]]:
    """What has a comment, by name, each with all of its signatures."""
    text = sql_scripts()
    signatures = {}
    for name, listed, result in re.findall(
        r"^CREATE OR REPLACE FUNCTION bitryoshka\.(\w+)\(([^)]*)\)(?:\s+RETURNS\s+"
        r"(TABLE \([^)]*\)|SETOF \S+|double precision|\S+))?",
        text,
        re.M,
    ):
        arguments = [part.strip() for part in listed.split(",") if part.strip()]
        given = [re.sub(r" DEFAULT .*", "", a) for a in arguments if not a.startswith("OUT ")]
        types = ", ".join(part.partition(" ")[2] for part in given)
        inner = "\n    " + ",\n    ".join(arguments) + "\n" if arguments else ""
        returned = f" RETURNS {result}" if result else ""
        signatures[name, types] = f"bitryoshka.{name}({inner}){returned}"
    found: dict[str, list[SqlFunction]] = {}
    for name, listed, comment in re.findall(
        r"^COMMENT ON FUNCTION bitryoshka\.(\w+)\(([^)]*)\)\s+IS\s+'((?:[^']|'')*)';", text, re.M
    ):
        types = " ".join(listed.split())
        # one is made by a block, whose text names it otherwise
        signature = signatures.get((name, types), f"bitryoshka.{name}({types})")
        one = SqlFunction(name, signature, comment.replace("''", "'"))
        found.setdefault(name, []).append(one)
    return found


def sql_relations() -> list[SqlFunction]:
    """Tables and views with their comments."""
    return [
        SqlFunction(name, kind.lower(), comment.replace("''", "'"))
        for kind, name, comment in re.findall(
            r"^COMMENT ON (TABLE|VIEW) bitryoshka\.(\w+)\s+IS\s+'((?:[^']|'')*)';",
            sql_scripts(),
            re.M,
        )
    ]


def sql_page() -> str:
    """The functions by what they are for, then what they are made of."""
    functions = sql_functions()
    lines = [
        "# SQL functions",
        "",
        "All of them are in schema `bitryoshka`, which `bitryoshka install` creates. In a database "
        "`obj_description` and psql's `\\df+ bitryoshka.*` show the same texts.",
        "",
    ]
    for title, names in SQL_FUNCTIONS.items():
        lines += [f"## {title}", ""]
        for name in names:
            lines += [f"### {name}", ""]
            for one in functions.pop(name):
                lines += ["```sql", one.signature, "```", "", *prose(one.comment), ""]
    lines += ["## Tables and views", "", "| name | kind | holds |", "| --- | --- | --- |"]
    lines += [f"| `{r.name}` | {r.signature} | {cell(r.comment)} |" for r in sql_relations()]
    lines += [
        "",
        "## What these are made of",
        "",
        "Called by the functions above and by triggers. They may change with any revision.",
        "",
        "| function | what it does |",
        "| --- | --- |",
    ]
    lines += [
        f"| `{one.name}` | {cell(one.comment)} |"
        for name in sorted(functions)
        for one in functions[name]
    ]
    return "\n".join([*lines, ""])


def prose(comment: str) -> list[str]:
    """A comment as Markdown: its lines, of which statements become code."""
    return [
        f"    {line}" if re.match(r"(SELECT|filter =>)", line) else escaped(line)
        for line in re.sub(r"\n(SELECT .*|filter =>.*)", r"\n\n\1\n", comment).splitlines()
    ]


def escaped(text: str) -> str:
    """Plain text as Markdown."""
    return re.sub(r"([\\*_<>|`\[\]$])", r"\\\1", text)


def cell(text: str) -> str:
    """Plain text in a cell of a table."""
    return escaped(" ".join(text.split()))


def typer_app() -> Any:
    """The command line."""
    from bitryoshka.cli.app import app

    return app


def root_command() -> Any:
    """The command line, as click's commands."""
    from typer.main import get_command

    return get_command(typer_app())


def cli_commands(command: Any = None, path: str = "bitryoshka") -> Iterator[tuple[str, Any]]:
    """Every command that does something, with the words that call it, in the order of help."""
    command = command or root_command()
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, below in command.commands.items():
        if not below.hidden:
            yield from cli_commands(below, f"{path} {name}")


def cli_page() -> str:
    """Each command with its arguments and options."""
    lines = [
        "# Command line",
        "",
        "Needs the extra `cli` ([Installing](../installing.md)). `bitryoshka COMMAND --help` "
        "prints the same. The exit code is 0 where all is well, 1 where a check says no, and 2 "
        "after an error, which is one line.",
        "",
    ]
    for path, command in cli_commands():
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
        usage = " ".join([path, *(placeholder(a) for a in arguments)])
        name = path.removeprefix("bitryoshka ")
        lines += [f"## {name}", "", "```text", f"{usage} [OPTIONS]", "```", ""]
        lines += [escaped(inspect.cleandoc(command.help or "").partition("\f")[0]), ""]
        if example := re.search(r"^ *(bitryoshka .*)", command.epilog or "", re.M):
            lines += ["```sh", example[1], "```", ""]
        if arguments or options:
            lines += ["| | | default |", "| --- | --- | --- |"]
            lines += [f"| `{placeholder(a)}` | {cell(a.help or '')} | |" for a in arguments]
            lines += [option_row(option) for option in options] + [""]
    return "\n".join(lines)


def placeholder(argument: Any) -> str:
    """What stands for an argument in the line of usage."""
    name = argument.metavar or argument.name.upper()
    return name if argument.required else f"[{name}]"


def option_row(option: Any) -> str:
    """Names, help and default of an option."""
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    told = cell(option.help or "")
    if choices := option_choices(option):
        told += " One of " + ", ".join(f"`{choice}`" for choice in choices) + "."
    default = option.default
    shown = "" if default is None or default is False or callable(default) else f"`{default}`"
    return f"| {names} | {told} | {'required' if option.required else shown} |"


def option_choices(option: Any) -> list[str]:
    """The words that an option takes, where it takes no others."""
    described = getattr(option, "type_descriptor", None)
    annotation = getattr(described, "annotation", None)
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    return list(getattr(getattr(option, "type", None), "choices", ()))


def environment_variables() -> dict[str, dict[str, str]]:
    """By variable: the option that it stands for, its help, and the commands that read it."""
    found: dict[str, dict[str, str]] = {}
    for path, command in cli_commands():
        for option in command.params:
            if variable := option.envvar:
                entry = found.setdefault(
                    variable, {"option": option.opts[0], "help": option.help or "", "commands": ""}
                )
                name = f"`{path.removeprefix('bitryoshka ')}`"
                entry["commands"] += f"{', ' if entry['commands'] else ''}{name}"
    return found


def settings_page() -> str:
    """What can be set: environment variables, the parameters of a search, the options of a fit."""
    lines = [
        "# Settings",
        "",
        "## Environment variables",
        "",
        "| variable | stands for | | read by |",
        "| --- | --- | --- | --- |",
    ]
    for variable, entry in sorted(environment_variables().items()):
        lines.append(
            f"| `{variable}` | `{entry['option']}` | {cell(entry['help'])} | {entry['commands']} |"
        )
    lines += [
        "",
        "The library reads none of them: only commands do.",
        "",
        "## Parameters of a search",
        "",
        "[The search contract](../search.md) says what they mean.",
        "",
        "| parameter | default |",
        "| --- | --- |",
    ]
    lines += [f"| `{f.name}` | `{f.default!r}` |" for f in fields(bitryoshka.SearchParameters)]
    lines += ["", "## Options of a fit", "", "| option | default |", "| --- | --- |"]
    for parameter in inspect.signature(bitryoshka.fit).parameters.values():
        required = parameter.default is parameter.empty
        lines.append(
            f"| `{parameter.name}` | {'required' if required else f'`{parameter.default!r}`'} |"
        )
    lines += ["", "What each of them does: [bitryoshka.fit](bitryoshka.rst).", ""]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Every generated page: its path below `docs`, and its text."""
    packages = python_packages()
    made = {f"reference/{name}.rst": python_page(name) for name in packages}
    summaries = "\n".join(
        f"| [{name}]({name}.rst) | {cell((import_module(name).__doc__ or '').splitlines()[0])} |"
        for name in packages
    )
    made["reference/python.md"] = (
        "# Python\n\nPublic is what these packages and modules name in `__all__`.\n\n"
        f"| | |\n| --- | --- |\n{summaries}\n\n```{{toctree}}\n:hidden:\n\n"
        + "\n".join(packages)
        + "\n```\n"
    )
    made["reference/sql.md"] = sql_page()
    made["reference/command_line.md"] = cli_page()
    made["reference/settings.md"] = settings_page()
    copies = {
        f"{page}.md": (DOCS.parent / path).read_text("utf-8") for page, path in COPIES.items()
    }
    return made | copies


def write_pages(app: Sphinx) -> None:
    """Write what has changed, and remove the pages of what is gone."""
    made = pages()
    for folder in FOLDERS:
        (DOCS / folder).mkdir(exist_ok=True)
        for path in (DOCS / folder).iterdir():
            if f"{folder}/{path.name}" not in made:
                path.unlink()
    for name, text in made.items():
        path = DOCS / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def link_within(app: Sphinx, page: str, source: list[str]) -> None:
    """Make links to files of the repository links to pages; what has no page is only named."""
    origin = Path(COPIES.get(page, f"docs/{page}.md")).parent
    site = {path: name for name, path in COPIES.items()} | {"README.md": "index"}

    def linked(found: re.Match[str]) -> str:
        label, target, anchor = found[1], found[2], found[3] or ""
        path = os.path.normpath(origin / target)
        if path in site:
            target = f"{site[path]}.md"
        elif path.startswith("docs/"):
            target = path.removeprefix("docs/")
        elif (DOCS.parent / path).exists():
            return label
        else:
            return found[0]
        return f"[{label}]({os.path.relpath(target, os.path.dirname(page) or '.')}{anchor})"

    source[0] = re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)", linked, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", link_within)
    return {"parallel_read_safe": True}
