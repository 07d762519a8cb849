from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from hypothesis import given, settings
from hypothesis import strategies as st
from jina.core import memory_file
from jina.core.errors import RequestTypeError
from jina.core.frames import REQUEST, SHARES, TAKEN, FrameReader, FrameWriter, decode_request, request_prefix
from jina.core.memory_file import FileId, MappedMessage
from jina.core.payloads import Assembly, Message, Spliced, as_bytes
from jina.core.request import DataRequest

needs_files = pytest.mark.skipif(not memory_file.AVAILABLE, reason='memory files are a thing of Linux')
SIZE = 6_000_000


class Array(BaseDoc):
    name: str
    array: NdArray


def request_with(count: int, *, name: str = 'a') -> DataRequest:
    request = DataRequest()
    request.exec_endpoint = '/array'
    request.docs = DocList[Array]([Array(name=name * (i + 1), array=np.arange(SIZE // 8) + i) for i in range(count)])
    return request


def decoded(raw: Any) -> Any:
    request = DataRequest.from_bytes(raw)
    request.document_array_cls = DocList[Array]
    return request.docs


def travel(payload: Any, writer: FrameWriter, reader: FrameReader, timeout: float | None = None) -> Any:
    flags, prefix = request_prefix(timeout, [('key', 'value')] if timeout else [])
    writer.add(REQUEST, 1, payload, flags, prefix)
    records: list[Any] = []
    while (frame := writer.take()) is not None:
        records += reader.read(frame)
    (kind, number, flags, arrived), found = records[0], len(records)
    assert (kind, number, found) == (REQUEST, 1, 1)
    found_timeout, metadata, raw = decode_request(flags, arrived)
    assert (found_timeout, list(metadata)) == (timeout, [('key', 'value')] if timeout else [])
    return raw


@given(st.lists(st.binary(min_size=1, max_size=70), min_size=1, max_size=9), st.integers(0, 70))
@settings(deadline=None)
def test_parts_make_the_message_whatever_they_are(parts: list[bytes], skipped: int) -> None:
    assembly = Assembly(memoryview(parts[0]), skipped)
    for part in parts[1:]:
        assembly.add(part)
    assert len(assembly) == len(b''.join(parts))
    message = assembly.finish()
    assert bytes(message) == b''.join(parts) and type(message[:1]) is bytes


@pytest.mark.parametrize('timeout', [None, 3.0])
@pytest.mark.parametrize('name', ['a', 'abcdef', 'x' * 300])
def test_a_large_tensor_is_decoded_where_it_arrived(timeout: float | None, name: str) -> None:
    sent = request_with(1, name=name)
    raw: Any = travel(sent.to_bytes(), FrameWriter(), FrameReader(), timeout)
    assert type(raw) is Message and raw == sent.to_bytes()
    array = decoded(raw)[0].array
    assert np.shares_memory(array, np.frombuffer(raw, np.uint8))
    assert array.flags.aligned and array.flags.writeable and isinstance(array, NdArray)
    np.testing.assert_array_equal(array, np.arange(SIZE // 8))
    array += 1


def test_tensors_that_are_small_parts_of_a_message_do_not_keep_it() -> None:
    raw: Any = travel(request_with(3).to_bytes(), FrameWriter(), FrameReader())
    docs = decoded(raw)
    assert [doc.array[0] for doc in docs] == [0, 1, 2]
    assert not any(np.shares_memory(doc.array, np.frombuffer(raw, np.uint8)) for doc in docs)


@pytest.mark.parametrize('timeout', [None, 3.0])
def test_a_changed_envelope_does_not_copy_the_documents(timeout: float | None) -> None:
    request = DataRequest.from_bytes(request_with(1).to_bytes())
    request.parameters = {'a': 1}
    payload = request.to_payload()
    assert isinstance(payload, Spliced) and len(payload) == len(bytes(payload))
    assert as_bytes(payload) == request.to_bytes()
    raw = travel(payload, FrameWriter(), FrameReader(), timeout)
    assert DataRequest.from_bytes(raw).parameters == {'a': 1}
    assert decoded(raw)[0].array[-1] == SIZE // 8 - 1


@needs_files
@pytest.mark.parametrize('timeout', [None, 3.0])
def test_a_large_message_travels_as_a_file(timeout: float | None) -> None:
    sent = request_with(1)
    payload = sent.to_payload()
    assert isinstance(payload, Spliced) and bytes(payload) == sent.to_bytes()
    writer, reader = FrameWriter(), FrameReader()
    writer.shares, reader.owner = True, os.getpid()
    raw = travel(payload, writer, reader, timeout)
    assert isinstance(raw.owner, MappedMessage) and raw.owner is not payload.owner
    assert bytes(raw) == bytes(payload)
    docs = decoded(raw)
    docs[0].array[:] = 7  # private: the sender's file stays as it is
    np.testing.assert_array_equal(decoded(payload)[0].array, np.arange(SIZE // 8))
    assert docs[0].array.flags.aligned and np.shares_memory(docs[0].array, np.frombuffer(raw.owner, np.uint8))
    # And on to the next process, under another envelope.
    request = DataRequest.from_bytes(raw)
    request.parameters = {'a': 1}
    again = travel(request.to_payload(), writer, reader)
    assert DataRequest.from_bytes(again).parameters == {'a': 1}
    assert decoded(again)[0].array[0] == 0


@needs_files
def test_a_file_goes_in_chunks_to_who_can_not_open_it() -> None:
    payload = request_with(1).to_payload()
    raw = travel(payload, FrameWriter(), FrameReader())
    assert bytes(raw) == bytes(payload)


@needs_files
def test_a_file_is_given_back_when_it_was_opened() -> None:
    writer, reader = FrameWriter(), FrameReader()
    writer.shares, reader.owner = True, os.getpid()
    payload = request_with(1).to_payload()
    travel(payload, writer, reader)
    assert reader.opened == [1] and writer._lent == {1: payload}
    writer.taken(1)
    writer.taken(2)
    assert writer._lent == {}
    assert SHARES != TAKEN


@needs_files
def test_only_sealed_files_of_the_right_size_are_opened(tmp_path: Any) -> None:
    mapped = memory_file.write([b'abc', np.arange(3, dtype=np.uint8)])
    me, file = os.getpid(), mapped.file
    assert bytes(memory_file.open_file(me, file, 6)) == b'abc\x00\x01\x02'
    assert mapped.startswith(b'abc') and mapped.startswith(b'c\x00', 2) and not mapped.startswith(b'b')
    with pytest.raises(OSError, match='is another one'):
        memory_file.open_file(me, file, 7)
    with pytest.raises(OSError, match='is another one'):
        memory_file.open_file(me, FileId(file.number, file.inode + 1), 6)
    with pytest.raises(FileNotFoundError):
        memory_file.open_file(me, FileId(999_999, 1), 6)
    with pytest.raises(PermissionError):
        os.pwrite(file.number, b'x', 0)
    with (tmp_path / 'file').open('w+b') as ordinary:
        ordinary.write(b'abcdef')
        ordinary.flush()
        found = FileId(ordinary.fileno(), os.fstat(ordinary.fileno()).st_ino)
        with pytest.raises(OSError):
            memory_file.open_file(me, found, 6)
    assert not memory_file.can_open(me, file)  # only a probe has its size
    shown = memory_file.probe(me)
    assert shown is not None and memory_file.can_open(me, shown.file)


@needs_files
def test_files_that_nobody_offered_are_refused() -> None:
    writer, reader = FrameWriter(), FrameReader()
    writer.shares = True
    writer.add(REQUEST, 1, request_with(1).to_payload())
    with pytest.raises(RequestTypeError, match='is not wanted'):
        reader.read(writer.take() or b'')
    reader.owner = 1 << 30
    writer.add(REQUEST, 2, request_with(1).to_payload())
    with pytest.raises(RequestTypeError, match='a memory file is not there'):
        reader.read(writer.take() or b'')


@needs_files
def test_files_are_closed_with_their_messages() -> None:
    before = len(os.listdir('/proc/self/fd'))
    docs = decoded(request_with(1).to_payload())
    assert len(os.listdir('/proc/self/fd')) > before
    del docs
    assert len(os.listdir('/proc/self/fd')) == before


def test_there_is_a_way_without_memory_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise OSError('no memory')

    monkeypatch.setattr(memory_file, 'write', refuse)
    sent = request_with(1)
    assert sent.to_payload() == sent.to_bytes()
    assert sys.getsizeof(sent.to_payload()) > SIZE
