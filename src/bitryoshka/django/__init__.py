"""Django: a field of codes, searches as querysets, and operations of migrations.

The codes are written by the database: `AttachCodec` gives a column its trigger. Example::

    class Document(models.Model):
        embedding = VectorField(dimensions=384)
        code = CodeField(bits=384, codec="docs@1", vector_field="embedding")
        objects = CodeManager()

    Document.objects.filter(lang="en").search(query)
"""

from bitryoshka.errors import MissingExtraError

try:
    import django  # noqa: F401
    import pgvector.django  # noqa: F401
except ImportError as error:
    raise MissingExtraError("bitryoshka.django", "django") from error

from bitryoshka.django.codec_operations import DropCodec, RegisterCodec
from bitryoshka.django.column_operations import AttachCodec, DetachCodec, FillCodes
from bitryoshka.django.expressions import AsymmetricScore, HammingDistance, Prefix, QueryBits
from bitryoshka.django.fields import CodeField
from bitryoshka.django.indexes import CodeIndex
from bitryoshka.django.preparing import PreparedSearch
from bitryoshka.django.schema_operations import InstallBitryoshka, UpgradeBitryoshka
from bitryoshka.django.searching import CodeManager, CodeQuerySet

__all__ = [
    "AsymmetricScore",
    "AttachCodec",
    "CodeField",
    "CodeIndex",
    "CodeManager",
    "CodeQuerySet",
    "DetachCodec",
    "DropCodec",
    "FillCodes",
    "HammingDistance",
    "InstallBitryoshka",
    "Prefix",
    "PreparedSearch",
    "QueryBits",
    "RegisterCodec",
    "UpgradeBitryoshka",
]
