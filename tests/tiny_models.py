"""Models of sentence-transformers that are small and need no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Pooling,
    StaticEmbedding,
    Transformer,
)
from tokenizers import Tokenizer
from tokenizers.models import WordLevel, WordPiece
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertModel, BertTokenizerFast

WORDS = [f"w{i}" for i in range(200)]


def made_texts(seed: int, rows: int, words: int = 6) -> list[str]:
    drawn = np.random.default_rng(seed).choice(WORDS, (rows, words))
    return [" ".join(row) for row in drawn]


def made_pairs(seed: int, rows: int) -> tuple[list[str], list[str]]:
    """Texts of nine words, and three words of each."""
    texts = made_texts(seed, rows, 9)
    return [" ".join(text.split()[::3]) for text in texts], texts


def static_model(dimensions: int = 32, seed: int = 0) -> SentenceTransformer:
    """The mean of random word vectors."""
    tokenizer = Tokenizer(WordLevel({w: i for i, w in enumerate(["?", *WORDS])}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    table = torch.randn(len(WORDS) + 1, dimensions, generator=torch.Generator().manual_seed(seed))
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, table)], device="cpu")


def transformer_model(folder: Path, dropout: float = 0.0) -> SentenceTransformer:
    """A random BERT of two layers with 32 dimensions."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=32).save_pretrained(folder)
    body = Transformer(str(folder))
    return SentenceTransformer(modules=[body, Pooling(32)], device="cpu")
