"""A LangChain vector store over Postgres tables that hold codes."""

from bitryoshka.errors import MissingExtraError

try:
    import langchain_core  # noqa: F401
    import pgvector.sqlalchemy  # noqa: F401
except ImportError as error:
    raise MissingExtraError("bitryoshka.langchain", "langchain") from error

from bitryoshka.langchain.store import CodeVectorStore

__all__ = ["CodeVectorStore"]
