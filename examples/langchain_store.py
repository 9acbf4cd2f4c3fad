"""A LangChain vector store whose documents are found by codes.

Needs the extra `langchain` and a database with pgvector; the table is dropped at the end:

    DATABASE_URL=postgresql+psycopg://user@host/database python langchain_store.py
"""

from __future__ import annotations

import os

from langchain_core.embeddings import DeterministicFakeEmbedding
from sqlalchemy import create_engine

import bitryoshka
from bitryoshka.langchain import CodeVectorStore

embedding = DeterministicFakeEmbedding(size=64)  # your model
texts = [f"document {i}" for i in range(300)]
binarizer = bitryoshka.fit(embedding.embed_documents(texts), bits=64).binarizer

engine = create_engine(os.environ["DATABASE_URL"])
store = CodeVectorStore(embedding, binarizer, "example_documents", engine=engine)
store.create_table()
store.add_texts(texts, [{"chapter": i % 5} for i in range(300)])

for document, score in store.similarity_search_with_score("document 7", k=3):
    print(document.page_content, round(score, 3))

[nearest] = store.similarity_search("document 7", k=1, filter={"chapter": 3})
print("of chapter 3:", nearest.page_content, nearest.metadata)

store.table.drop(engine)
engine.dispose()
