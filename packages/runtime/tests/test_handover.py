"""Two processes at one port: the one that leaves accepts what is its own, and all that comes reaches the other one."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from jina.core.errors import NotSupportedError
from jina.runtime.handover import listens, share, turn_away
from jina.runtime.ports import listen

SUCCESSOR = """
import socket, sys
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])), reuse_port=True, backlog=512)
print('listens', flush=True)
while True:
    connection, _ = listener.accept()
    connection.sendall(b'successor')
    connection.close()
"""

linux = pytest.mark.skipif(
    not sys.platform.startswith('linux'), reason='only Linux tells which packets a listener takes'
)


@contextmanager
def successor(port: int) -> Iterator[None]:
    with subprocess.Popen([sys.executable, '-c', SUCCESSOR, str(port)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b'listens\n'
            yield
        finally:
            process.kill()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listen('127.0.0.1', 0, 'first') as listener:
        yield listener


def test_a_port_is_shared_when_it_is_asked_for(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(OSError, match='in use'):
        socket.create_server(('127.0.0.1', port), reuse_port=True)
    with socket.create_connection(('127.0.0.1', port)):  # connections that there are don't matter
        listener.accept()[0].close()
        share([port], 'first')
        with successor(port):
            pass


def test_only_ports_of_this_process_are_shared(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert listens(port)
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        bound = other.getsockname()[1]
        assert not listens(bound)
        with pytest.raises(NotSupportedError, match=f'gateway does not listen on port {bound} in its own process'):
            share([port, bound], 'gateway')


@linux
async def test_nothing_that_comes_at_the_end_is_lost(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.setblocking(False)
    loop = asyncio.get_running_loop()
    share([port], 'first')

    async def accept() -> None:
        while True:
            connection, _ = await loop.sock_accept(listener)
            connection.sendall(b'first')
            connection.close()

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection('127.0.0.1', port)
        try:
            return await reader.read()
        finally:
            writer.close()

    async def ask_all_the_time(seen: list[bytes], first: asyncio.Event) -> None:
        while True:
            seen.append(await ask())
            if seen[-1] == b'first':
                first.set()
            await asyncio.sleep(0)

    with successor(port):
        waiting = [asyncio.ensure_future(ask()) for _ in range(100)]
        accepting = asyncio.ensure_future(accept())
        assert set(await asyncio.gather(*waiting)) == {b'first', b'successor'}
        seen: list[list[bytes]] = [[] for _ in range(8)]
        asked = [asyncio.Event() for _ in seen]
        asking = [asyncio.ensure_future(ask_all_the_time(*pair)) for pair in zip(seen, asked, strict=True)]
        await asyncio.gather(*(first.wait() for first in asked))
        await turn_away([port])
        accepting.cancel()
        await asyncio.wait((accepting,))
        listener.close()
        before = [len(answers) for answers in seen]
        while not all(len(answers) > count + 20 for answers, count in zip(seen, before, strict=True)):
            assert not any(task.done() for task in asking), [task.exception() for task in asking if task.done()]
            await asyncio.sleep(0.01)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        assert all(set(answers[count + 1 :]) == {b'successor'} for answers, count in zip(seen, before, strict=True))
