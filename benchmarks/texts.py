"""Some 135,000 short real texts, embedded: ``python -m benchmarks.texts FOLDER`` (half an hour).

A folder as `benchmarks.datasets` reads it, made of what Debian machines have or can install, where
it has at most MAX_CHARACTERS:

* entries of WordNet, "word, word: gloss" (``apt-get install wordnet-base``);
* packages, "name: synopsis" (``apt-cache dumpavail``, after ``apt-get update``).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bitryoshka.demo.defaults import MODEL
from bitryoshka.demo.embed import embed

WORDNET = Path("/usr/share/wordnet")
PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")
MAX_CHARACTERS = 100


def wordnet(folder: Path = WORDNET) -> Iterator[str]:
    """One text for each set of synonyms.

    A line is "offset file type count word id word id ... | gloss", the count in hexadecimal, see
    wndb(5WN); the licence's lines begin with two spaces.
    """
    for part in PARTS_OF_SPEECH:
        path = folder / f"data.{part}"
        if not path.is_file():
            raise FileNotFoundError(f"there is no {path}: apt-get install wordnet-base")
        for line in path.read_text("utf-8").splitlines():
            if line.startswith("  "):
                continue
            fields, _, gloss = line.partition("|")
            _, _, _, count, *rest = fields.split()
            words = ", ".join(rest[: 2 * int(count, 16) : 2]).replace("_", " ")
            yield f"{words}: {gloss.strip()}"


def packages() -> Iterator[str]:
    """One text for each package that apt knows."""
    command = ["apt-cache", "dumpavail"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    name = ""
    for line in found.splitlines():
        key, _, value = line.partition(": ")
        if key == "Package":
            name = value
        elif key in ("Description", "Description-en"):
            yield f"{name}: {value}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect, embed and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.texts", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args(arguments).folder
    texts = [t for t in dict.fromkeys([*wordnet(), *packages()]) if len(t) <= MAX_CHARACTERS]
    vectors = embed(texts, MODEL, refresh=False, progress=True, title="embed")
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "corpus.npy", vectors)
    ids = [str(i) for i in range(len(texts))]
    (folder / "ids.json").write_text(json.dumps({"corpus": ids, "queries": []}), "utf-8")
    with gzip.open(folder / "corpus.jsonl.gz", "wt", encoding="utf-8") as lines:
        for name, text in zip(ids, texts, strict=True):
            lines.write(json.dumps({"_id": name, "text": text}) + "\n")
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    print(f"{len(texts)} texts, sha256 {digest}")


if __name__ == "__main__":
    main()
