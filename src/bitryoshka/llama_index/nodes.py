"""Nodes as entries of a table, and rows as nodes."""

from __future__ import annotations

from typing import Any

from llama_index.core.schema import BaseNode, MetadataMode, TextNode
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from bitryoshka.documents.metadata import check_stored
from bitryoshka.documents.rows import Entry, floats

# where `node_to_metadata_dict` puts the whole node, and the id of the document that it is of
_NODE = "_node_content"
REF_DOC_ID = "ref_doc_id"


def node_entry(node: BaseNode, *, flat_metadata: bool) -> Entry:
    """A node with its text and, in the layout of LlamaIndex's own stores, all else of it."""
    # a node's JSON has null where there is NaN
    check_stored(node.metadata)
    content = node.get_content(metadata_mode=MetadataMode.NONE)
    metadata = node_to_metadata_dict(node, remove_text=True, flat_metadata=flat_metadata)
    return Entry(node.node_id, content, metadata)


def row_node(row: Any) -> BaseNode:
    """The node of a row; of one that LangChain's store wrote, a TextNode with its metadata."""
    if _NODE in row.metadata:
        return metadata_dict_to_node(row.metadata, text=row.content)
    return TextNode(id_=row.id, text=row.content, metadata=row.metadata)


def embedded_node(row: Any) -> BaseNode:
    """`row_node`, with the row's vector (d,) as its embedding."""
    node = row_node(row)
    node.embedding = floats(row.vector)
    return node
