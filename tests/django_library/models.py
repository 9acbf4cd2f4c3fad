from __future__ import annotations

from django.db import models
from pgvector.django import VectorField

from bitryoshka.django import CodeField, CodeIndex, CodeManager, CodeQuerySet


class Document(models.Model):
    title = models.TextField()
    lang = models.CharField(max_length=2, default="en")
    embedding = VectorField(dimensions=48, null=True)
    code = CodeField(bits=96, codec="docs@1", vector_field="embedding", prefix_bits=48)

    objects = CodeManager()

    class Meta:
        db_table = "Odd name's"
        indexes = (CodeIndex(fields=["code"], prefix_bits=48, name="docs_hnsw"),)


class Tag(models.Model):
    document = models.ForeignKey(Document, models.CASCADE, related_name="tags")
    word = models.TextField()


class Signature(models.Model):
    """Codes alone, which somebody else writes."""

    code = CodeField(bits=16)
    other = CodeField(bits=16, null=True, blank=True)
    document = models.ForeignKey(
        Document, models.CASCADE, null=True, blank=True, related_name="signatures"
    )

    objects = CodeQuerySet.as_manager()
