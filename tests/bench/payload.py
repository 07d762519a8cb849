"""The prepared requests: bytes on disk that every side gets alike."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from docarray.typing import NdArray

DIMENSIONS = 768
BATCH = 100
STREAM_ITEMS = 100
TEXT = 'the quick brown fox jumps over the lazy dog'


class VectorDoc(BaseDoc):
    """A text with an embedding."""

    text: str
    embedding: NdArray


@dataclass(frozen=True)
class Payloads:
    """Files with prepared requests."""

    text: Path
    """A gRPC request with one small TextDoc for ``/echo``."""
    vectors: Path
    """A gRPC request with a hundred docs of text and 768 float32 for ``/vectors``."""
    bare_vectors: Path
    """The same ids, texts and vectors in the message of the bare server, which has no schemas."""
    buffer: Path
    """The vectors alone, as one array of float32."""
    stream: Path
    """A gRPC request with a single document for the streaming endpoint ``/stream``."""
    http: Path
    """The JSON body with one small TextDoc."""


def prepare(folder: Path) -> Payloads:
    """Writes all payloads into ``folder``."""
    rows = np.random.default_rng(7).standard_normal((BATCH, DIMENSIONS)).astype(np.float32)
    text = TextDoc(id='0' * 32, text=TEXT)
    vectors = DocList[VectorDoc](
        [VectorDoc(id=f'{i:032d}', text=f'{TEXT} {i}', embedding=row) for i, row in enumerate(rows)]
    )
    files = Payloads(*(folder / name for name in ('text', 'vectors', 'bare_vectors', 'buffer', 'stream', 'http')))
    files.text.write_bytes(data_request('/echo', DocList[TextDoc]([text]).to_protobuf().SerializeToString()))
    files.vectors.write_bytes(data_request('/vectors', vectors.to_protobuf().SerializeToString()))
    files.bare_vectors.write_bytes(
        b''.join(
            _field(1, _field(1, doc.id.encode()) + _field(2, doc.text.encode()) + _field(3, doc.embedding.tobytes()))
            for doc in vectors
        )
    )
    files.buffer.write_bytes(rows.tobytes())
    files.stream.write_bytes(_header('/stream') + _field(4, text.to_protobuf().SerializeToString()))
    files.http.write_text(json.dumps({'data': [{'id': '0' * 32, 'text': TEXT}]}))
    return files


def data_request(endpoint: str, docs: bytes) -> bytes:
    """The bytes of a DataRequestProto, written without any generated code so that no side's own messages are favoured."""
    return _header(endpoint) + _field(4, _field(1, docs))


def _header(endpoint: str) -> bytes:
    return _field(1, _field(1, b'0' * 32) + _field(3, endpoint.encode()))


def _field(number: int, content: bytes) -> bytes:
    """One length-delimited protobuf field."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
