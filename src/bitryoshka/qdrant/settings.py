"""What a collection holds: which vectors, how they are quantized, and whose codes they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import BitsError, CollectionError, FingerprintError

__all__ = ["BITS", "METADATA_KEY", "ORIGINAL", "Quantization", "Settings"]

Quantization = Literal["binary", "code", "turbo1", "turbo1_5", "turbo2", "turbo4", "turbo8"]
QueryEncoding = Literal["binary", "scalar4bits", "scalar8bits"]
Datatype = Literal["float16", "float32"]

BITS = "bits"
ORIGINAL = "original"
METADATA_KEY = "bitryoshka"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that search and upsert must know about a collection; kept in its metadata.

    * ``quantization``: what the engine makes of vector "bits". "code": all ``bits`` of the code
      are stored as -1 and +1, so that the engine's bits are the whole code. Of progressive codes
      also "binary": `Binarizer.project` is stored, and the engine's own sign bits are the Hamming
      part; and "turbo1" to "turbo8": the projection, in TurboQuant's bits a dimension.
    * ``query_encoding``: of queries against one-bit vectors. "binary" gives Hamming distance,
      where all stored bits are Hamming bits, "scalar8bits" and "scalar4bits" asymmetric scores.
    * ``keep_vectors``: whether the vectors themselves are kept, as vector ``original``: "original"
      in collections of ours, and any other name where codes were added to one that was there.
    * ``prefixes``: lengths of further vectors of leading Hamming bits, for a first stage.
    * ``datatype``: in which the vectors lie on disk.
    """

    fingerprint: str
    metric: str
    dimensions: int
    bits: int
    hamming_bits: int
    quantization: Quantization = "binary"
    query_encoding: QueryEncoding = "scalar8bits"
    keep_vectors: bool = True
    prefixes: tuple[int, ...] = ()
    datatype: Datatype = "float16"
    original: str = ORIGINAL

    @classmethod
    def of(
        cls,
        binarizer: Binarizer,
        *,
        quantization: Quantization | None = None,
        query_encoding: QueryEncoding = "scalar8bits",
        keep_vectors: bool = True,
        prefixes: tuple[int, ...] = (),
        datatype: Datatype = "float16",
        original: str = ORIGINAL,
    ) -> Settings:
        """Settings for a binarizer; BitsError for a prefix or a choice that it does not offer.

        ``quantization``: None means "code" for additive codes, "binary" for progressive ones.
        """
        kept = quantization or ("binary" if binarizer.additive is None else "code")
        for name, value, offered in (
            ("quantization", kept, get_args(Quantization)),
            ("query_encoding", query_encoding, get_args(QueryEncoding)),
            ("datatype", datatype, get_args(Datatype)),
        ):
            if value not in offered:
                raise BitsError(f"{name} must be one of {offered}, found {value!r}")
        if problem := _cannot_hold(binarizer, kept, query_encoding):
            raise BitsError(problem)
        lengths = tuple(b for b in binarizer.nested_bits if b <= binarizer.hamming_bits)
        if not set(prefixes) <= set(lengths):
            raise BitsError(f"prefixes must be among the Hamming bits {lengths}, found {prefixes}")
        return cls(
            fingerprint=binarizer.fingerprint,
            metric=binarizer.metric,
            dimensions=binarizer.dimensions,
            bits=binarizer.bits,
            hamming_bits=binarizer.hamming_bits,
            quantization=kept,
            query_encoding=query_encoding,
            keep_vectors=keep_vectors,
            prefixes=tuple(sorted(prefixes)),
            datatype=datatype,
            original=original,
        )

    @property
    def width(self) -> int:
        """Dimensions of vector "bits"."""
        return self.bits if self.quantization == "code" else self.hamming_bits

    @property
    def compares_signs(self) -> bool:
        """Whether "bits" gives the Hamming distance on all Hamming bits."""
        return self.query_encoding == "binary" and self.quantization in ("binary", "code")

    @property
    def sizes(self) -> dict[str, int]:
        """Dimensions of every named vector."""
        sizes = {BITS: self.width} | {prefix_name(p): p for p in self.prefixes}
        return sizes | ({self.original: self.dimensions} if self.keep_vectors else {})

    def as_metadata(self) -> dict[str, Any]:
        """What is written into the collection's metadata."""
        return {METADATA_KEY: {"format": FORMAT, **asdict(self), "prefixes": list(self.prefixes)}}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any] | None, place: str) -> Settings:
        """Read them back; CollectionError where they are missing, unreadable or newer."""
        found = (metadata or {}).get(METADATA_KEY)
        if not isinstance(found, Mapping):
            raise CollectionError(
                f"{place} has no settings of bitryoshka in its metadata: expected one made by "
                "create_collection or create_shard (a server needs Qdrant 1.16 or newer)"
            )
        version = found.get("format")
        if version != FORMAT:
            raise CollectionError(
                f"{place} has settings of format {version}, this version reads format {FORMAT}"
            )
        fields = {k: v for k, v in found.items() if k != "format"}
        try:
            return cls(**{**fields, "prefixes": tuple(fields["prefixes"])})
        except (KeyError, TypeError) as error:
            raise CollectionError(f"{place} has settings that cannot be read: {error}") from error

    def check(self, binarizer: Binarizer, place: str) -> None:
        """FingerprintError if the collection holds another binarizer's codes.

        CollectionError where what it keeps cannot be this binarizer's codes.
        """
        if binarizer.fingerprint != self.fingerprint:
            raise FingerprintError(
                f"{place} holds codes of another binarizer: expected fingerprint "
                f"{self.fingerprint}, found {binarizer.fingerprint}"
            )
        if problem := _cannot_hold(binarizer, self.quantization, self.query_encoding):
            raise CollectionError(f"{place} does not hold its binarizer's codes: {problem}")


def _cannot_hold(
    binarizer: Binarizer, quantization: Quantization, query_encoding: QueryEncoding
) -> str | None:
    """Why vector "bits" would not hold the codes that it is asked for as, None if it does."""
    if binarizer.additive is not None and quantization != "code":
        return (
            f"additive codes need quantization 'code', found {quantization!r}: the projection "
            "gives only the bits that the search for theirs starts from"
        )
    signs, bits = binarizer.hamming_bits, binarizer.bits
    if quantization == "code" and query_encoding == "binary" and signs < bits:
        return (
            f"query_encoding 'binary' needs a code of Hamming bits alone, found {signs} of {bits}: "
            f"take 'scalar8bits' or 'scalar4bits', and prefixes=({signs},) for Hamming distance"
        )
    return None


def prefix_name(bits: int) -> str:
    """Name of the vector that holds the first ``bits`` Hamming bits."""
    return f"prefix_{bits}"
