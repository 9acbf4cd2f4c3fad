"""A LlamaIndex vector store over Postgres tables that hold codes."""

from bitryoshka.errors import MissingExtraError

try:
    import llama_index.core  # noqa: F401
    import pgvector.sqlalchemy  # noqa: F401
except ImportError as error:
    raise MissingExtraError("bitryoshka.llama_index", "llama-index") from error

from bitryoshka.llama_index.store import CodeVectorStore

__all__ = ["CodeVectorStore"]
