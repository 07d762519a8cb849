"""Clients behind a real HTTP proxy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.client import Client
from jina.core.errors import ConnectError, ServerError

Texts = Callable[..., Any]


class Proxy:
    """Forwards requests and tunnels as the environment's proxy does, and notes where to."""

    def __init__(self, thread: Any) -> None:
        self.targets: list[str] = []
        self.refuses = False
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._thread = thread
        self._server = thread.call(self._start())
        self.url = f'http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}'

    async def _start(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, '127.0.0.1', 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)
        head = await reader.readuntil(b'\r\n\r\n')
        method, target, *_ = head.decode().split()
        self.targets.append(target)
        if self.refuses:
            writer.write(b'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
            writer.close()
            return
        host, _, port = target.removeprefix('http://').partition('/')[0].partition(':')
        there, onward = await asyncio.open_connection(host, int(port))
        self._writers.append(onward)
        if method == 'CONNECT':
            writer.write(b'HTTP/1.1 200 Connection established\r\n\r\n')
        else:
            onward.write(head)
        await asyncio.gather(pipe(reader, onward), pipe(there, writer))

    def stop(self) -> None:
        self._thread.call(self._end())

    async def _end(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@pytest.fixture
def proxy(server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    proxy = Proxy(server._thread)
    for name in ('grpc_proxy', 'https_proxy', 'all_proxy', 'no_proxy', 'no_grpc_proxy'):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv('http_proxy', proxy.url)
    yield proxy
    proxy.stop()


def post(texts: Texts, **options: Any) -> list[str]:
    with Client(**options) as client:
        docs = client.post(
            '/echo', texts('a', 'b'), request_size=1, return_type=DocList[TextDoc], results_in_order=True
        )
        single = client.post('/echo', texts('c'), return_type=TextDoc)
        return [*docs.text, single.text]


def test_the_environment_s_proxy_is_used_if_asked_for(options: dict[str, Any], proxy: Proxy, texts: Texts) -> None:
    assert post(texts, **options) == ['a', 'b', 'c']
    assert not proxy.targets
    assert post(texts, **options, proxy=True) == ['a', 'b', 'c']
    assert proxy.targets and all(f'localhost:{options["port"]}' in target for target in proxy.targets)


def test_hosts_without_proxy(
    options: dict[str, Any], proxy: Proxy, texts: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('no_proxy', 'localhost')
    assert post(texts, **options, proxy=True) == ['a', 'b', 'c']
    assert not proxy.targets


def test_a_proxy_that_refuses(options: dict[str, Any], proxy: Proxy, texts: Texts) -> None:
    proxy.refuses = True
    with pytest.raises((ConnectError, ServerError), match=r'403|[Pp]roxy'):
        post(texts, **options, proxy=True)
    assert proxy.targets
