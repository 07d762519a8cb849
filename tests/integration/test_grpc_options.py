"""Settings of gRPC through real processes: compression as it is on the wire, options of servers and channels, protocols."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, requests
from jina.core.errors import ConfigError, TransportError

SIZE = 300_000


class Echo(Executor):
    @requests
    def echo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs


class Wire:
    """Passes bytes on to a server and counts them in both directions."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = 0
        self.sent = self.received = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(30)

    def counted(self) -> tuple[int, int]:
        """Bytes since the last time: to the server, and from it."""
        found = self.sent, self.received
        self.sent = self.received = 0
        return found

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, '127.0.0.1', 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, away = await asyncio.open_connection('127.0.0.1', self._target)
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pump(reader, away, 'sent'), self._pump(there, writer, 'received'))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counter: str) -> None:
        try:
            while data := await reader.read(1 << 16):
                setattr(self, counter, getattr(self, counter) + len(data))
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


@pytest.fixture(scope='module')
def executor() -> Iterator[Wire]:
    """A way to an Executor that compresses what it sends."""
    with Deployment(uses=Echo, quiet=True, compression='Deflate') as deployment:
        wire = Wire(deployment.port)
        yield wire
        wire.close()


@pytest.fixture
def inputs() -> DocList[TextDoc]:
    return DocList[TextDoc]([TextDoc(text='y' * SIZE)] * 2)


@pytest.mark.parametrize('compression', [None, 'NoCompression', 'gzip', 'Gzip', 'deflate'])
@pytest.mark.parametrize('stream', [True, False])
def test_the_client_compresses_what_it_sends(
    executor: Wire, inputs: DocList[TextDoc], compression: str | None, stream: bool
) -> None:
    with Client(port=executor.port) as client:
        executor.counted()
        docs = client.post(
            '/', inputs, request_size=1, compression=compression, stream=stream, return_type=type(inputs)
        )
        sent, received = executor.counted()
    assert docs.text == inputs.text
    assert (sent < SIZE / 10) == (compression in ('gzip', 'Gzip', 'deflate'))
    assert received < SIZE / 10


@pytest.mark.parametrize('compression', [None, 'gzip'])
def test_the_gateway_compresses_what_it_sends(
    executor: Wire, inputs: DocList[TextDoc], compression: str | None
) -> None:
    with Flow(quiet=True).config_gateway(compression=compression).add(external=True, port=executor.port) as flow:
        wire = Wire(flow.port)
        executor.counted()
        with Client(port=wire.port) as client:
            assert client.post('/', inputs, request_size=1, return_type=type(inputs)).text == inputs.text
        sent, _ = executor.counted()
        assert (sent < SIZE / 10) == (compression is not None)
        assert min(wire.counted()) > SIZE  # it is for traffic inside only
        wire.close()


def test_options_of_servers_and_channels_win_over_the_defaults(inputs: DocList[TextDoc]) -> None:
    name = 'grpc.max_receive_message_length'
    small = TextDoc(text='a')
    cases: list[dict[str, Any]] = [
        {'gateway': {'grpc_server_options': {name: 10_000}}},
        {'executor': {'grpc_server_options': {name: 10_000}}},
        {'gateway': {'grpc_channel_options': {'grpc.max_send_message_length': 10_000}}},
    ]
    for case in cases:
        with (
            Flow(quiet=True)
            .config_gateway(**case.get('gateway', {}))
            .add(uses=Echo, **case.get('executor', {})) as flow
        ):
            assert len(flow.post('/', small)) == 1
            for stream in (True, False):
                with pytest.raises(TransportError, match='RESOURCE_EXHAUSTED'):
                    flow.post('/', inputs[:1], stream=stream)
            assert len(flow.post('/', small)) == 1
            if 'grpc_server_options' in case.get('gateway', {}):
                client = Client(port=flow.port, grpc_channel_options={'grpc.max_send_message_length': 100})
                with pytest.raises(TransportError, match='100'):
                    client.post('/', TextDoc(text='y' * 1000))


def test_protocols_and_ports_differ_in_number() -> None:
    for kind in (Flow, Deployment):
        with pytest.raises(ConfigError, match=r'port \[1, 2\] and protocol GRPC, HTTP, WEBSOCKET differ in number'):
            kind(protocol=['grpc', 'http', 'websocket'], port=[1, 2])
        with pytest.raises(ConfigError, match='give one port for each protocol'):
            kind(protocol='grpc', port=[1, 2])


@pytest.mark.parametrize('first', ['grpc', 'http', 'websocket'])
def test_several_protocols_and_the_health_of_the_first(first: str) -> None:
    protocols = [first, *(name for name in ('grpc', 'http', 'websocket') if name != first)]
    with Flow(protocol=protocols, quiet=True).add(uses=Echo) as flow:
        assert len(flow.port) == 3
        assert flow.client.protocol.name.lower() == first and flow.is_flow_ready(60)
        for protocol, port in zip(protocols, flow.port, strict=True):
            client = Client(host='localhost', port=port, protocol=protocol)
            assert client.post('/', TextDoc(text='x'), return_type=DocList[TextDoc]).text == ['x']
            assert client.is_flow_ready(60)
