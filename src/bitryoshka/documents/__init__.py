"""What the vector stores of LangChain and LlamaIndex have in common: a table of documents."""

from bitryoshka.errors import MissingExtraError

try:
    import pgvector.sqlalchemy  # noqa: F401
except ImportError as error:
    raise MissingExtraError("bitryoshka.documents", "sqlalchemy") from error

from bitryoshka.documents.document_table import DocumentTable

__all__ = ["DocumentTable"]
