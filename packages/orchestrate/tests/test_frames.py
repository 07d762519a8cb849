from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest
from jina.orchestrate.frames import recv_frame, send_frame


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    yield left, right
    left.close()
    right.close()


def test_message_arrives_whole(pair: tuple[socket.socket, socket.socket]) -> None:
    payload = os.urandom(5_000_000)
    thread = threading.Thread(target=send_frame, args=(pair[0], payload))
    thread.start()
    assert recv_frame(pair[1]) == (payload, [])
    thread.join()


def test_messages_keep_their_borders(pair: tuple[socket.socket, socket.socket]) -> None:
    for payload in (b'', b'a', b'bb'):
        send_frame(pair[0], payload)
    assert [recv_frame(pair[1]) for _ in range(3)] == [(b'', []), (b'a', []), (b'bb', [])]


def test_descriptors_travel_and_are_not_inheritable(pair: tuple[socket.socket, socket.socket]) -> None:
    reader, writer = os.pipe()
    send_frame(pair[0], b'pipe', (writer,))
    os.close(writer)
    message = recv_frame(pair[1])
    assert message is not None
    payload, (received,) = message
    assert payload == b'pipe'
    assert not os.get_inheritable(received)
    os.write(received, b'through')
    os.close(received)
    assert os.read(reader, 100) == b'through'
    os.close(reader)


def test_end_of_file_is_none(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].sendall(b'\x00\x00')
    pair[0].close()
    assert recv_frame(pair[1]) is None
