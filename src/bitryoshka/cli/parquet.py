"""Codes into a Parquet file, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bitryoshka.arrow import encode_stream
from bitryoshka.atomic_file import replacing
from bitryoshka.binarizer import Binarizer
from bitryoshka.cli.sample import named
from bitryoshka.errors import FileFormatError
from bitryoshka.progress import progress_bar
from bitryoshka.vector_files import read_vectors

BATCH_ROWS = 8192
# of a row group, which readers take as one piece of work
GROUP_ROWS = 131_072
READ_BYTES = 2**20


def write_codes(
    output: Path, binarizer: Binarizer, vectors: Path, column: str | None, progress: bool
) -> int:
    """Encode a file of vectors into a Parquet file; give the number of rows."""
    with ExitStack() as stack:
        source: Any
        if vectors.suffix.lower() == ".parquet":
            source = stack.enter_context(_opened(vectors))
            count = source.metadata.num_rows
        else:
            rows = read_vectors(vectors, column)
            source, count, column = _numbered(rows), len(rows), "vector"
        stack.enter_context(named(vectors))
        encoded = encode_stream(source, binarizer, column, keep_vectors=False)
        target = stack.enter_context(replacing(output))
        writer = stack.enter_context(pq.ParquetWriter(target, encoded.schema))
        step = stack.enter_context(progress_bar(count, "encode", progress, "rows"))
        for batch in encoded:
            writer.write_batch(batch, GROUP_ROWS)
            step(by=len(batch))
    return int(count)


@contextmanager
def _opened(file: Path) -> Iterator[pq.ParquetFile]:
    """FileFormatError where it is no Parquet file, or turns out to be damaged while it is read."""
    file.open("rb").close()  # one that is not there or may not be read is not a damaged one
    try:
        # else the whole of a row group is read ahead
        with pq.ParquetFile(file, pre_buffer=False, buffer_size=READ_BYTES) as opened:
            yield opened
    except pa.ArrowInvalid as error:
        raise FileFormatError(f"{file} is truncated or no .parquet file: {error}") from error


def _numbered(vectors: NDArray[np.number]) -> pa.RecordBatchReader:
    """Vectors (N, d) with the numbers of their rows."""
    d = vectors.shape[1]
    schema = pa.schema({"id": pa.int64(), "vector": pa.list_(pa.float32(), d)})

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(vectors), BATCH_ROWS):
            block = np.ascontiguousarray(vectors[start : start + BATCH_ROWS], np.float32)
            ids = pa.array(np.arange(start, start + len(block)))
            lists = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), d)
            yield pa.RecordBatch.from_arrays([ids, lists], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())
