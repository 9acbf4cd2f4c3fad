"""Many short real texts, embedded by a static model: what `benchmarks.memory` searches.

Nothing is downloaded by this: texts are what Debian packages hold, and the model's weights lie in
the Python package ``wordllama``.

* entries of WordNet and names of packages, as in `benchmarks.texts`;
* sentences of the dictionaries GCIDE and FOLDOC, "headword: sentence"
  (``apt-get install dict-gcide dict-foldoc``);
* sentences of the text files under folders that are given, such as those of
  ``apt-get install linux-doc``.

The first three are some 550,000 texts, linux-doc has 220,000 more: a million takes more folders.
"""

from __future__ import annotations

import gzip
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.text_models import Texts, static
from benchmarks.texts import packages, wordnet

Floats = NDArray[np.float32]

DICTIONARIES = tuple(Path("/usr/share/dictd", f"{name}.dict.dz") for name in ("gcide", "foldoc"))
SHORTEST, LONGEST = 20, 200
BATCH = 20_000
_END = re.compile(r"(?<=[.;?!])\s+|\n\s*\n")
# origins and years in brackets, links, fields of knowledge, and who is quoted
_NOTES = re.compile(r"\[[^\]]*\]|[{}]|<[^>]*>|--.*$", re.MULTILINE)


def read_text(path: Path) -> str:
    """A text file's content, unpacked if it is compressed by gzip or dictzip."""
    if path.suffix in (".gz", ".dz"):
        return gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
    return path.read_text("utf-8", "replace")


def sentences(text: str) -> Iterator[str]:
    """What lies between stops and empty lines, where it is neither very short nor very long."""
    for part in _END.split(text):
        sentence = " ".join(part.split())
        if SHORTEST <= len(sentence) <= LONGEST and " " in sentence:
            yield sentence


def dictionary(path: Path) -> Iterator[str]:
    """One text for each sentence of an entry, which begins where a line is not indented."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: apt-get install dict-{path.name[:-8]}")
    for entry in re.split(r"\n(?=\S)", read_text(path)):
        head, _, body = entry.partition("\n")
        word = re.split(r"[\\,\[]", head)[0].strip()
        for sentence in sentences(_NOTES.sub("", body)):
            yield f"{word}: {sentence}"


def files(folder: Path) -> Iterator[str]:
    """One text for each sentence of the text files under a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and re.fullmatch(r".*\.(txt|rst|md)(\.gz)?", path.name):
            yield from sentences(read_text(path))


def short_texts(count: int, folders: Sequence[Path] = ()) -> list[str]:
    """So many different texts; ValueError where there are fewer."""
    sources = (wordnet(), packages(), *map(dictionary, DICTIONARIES), *map(files, folders))
    short = (text for text in itertools.chain.from_iterable(sources) if len(text) <= LONGEST)
    found = list(dict.fromkeys(short))
    if len(found) < count:
        raise ValueError(
            f"expected {count:,} different texts, found {len(found):,}: name folders of text files "
            "with --texts, such as /usr/share/doc/linux-doc-6.1 (apt-get install linux-doc-6.1)"
        )
    order = np.random.default_rng(0).permutation(len(found))[:count]
    return [found[row] for row in order]


def embedded(texts: Sequence[str]) -> Floats:
    """WordLlama's vectors (N, 256), of unit length, in the texts' order.

    Equal vectors and those of no known token are left out: they would be ties and no vectors.
    """
    parts = (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))
    vectors = np.concatenate([static(Texts(list(part), [])).documents for part in parts])
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.maximum(lengths, np.finfo(np.float32).tiny)
    _, first = np.unique(vectors, axis=0, return_index=True)
    found: Floats = vectors[np.sort(first[lengths[first, 0] > 0])]
    return found
