"""What only WebSocket has."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.client import AsyncWebSocketClient, Client, WebSocketClient
from jina.core.errors import (
    ClientError,
    ConnectError,
    DeadlineError,
    NotSupportedError,
    RemoteError,
    TransportError,
)

pytest.importorskip('websockets')

Texts = Callable[..., Any]


@pytest.fixture
def client(socket_server: Any) -> Iterator[Any]:
    with Client(host=f'ws://localhost:{socket_server.port}') as client:
        yield client


def test_the_class_of_the_protocol(client: Any) -> None:
    assert isinstance(client, WebSocketClient)
    assert isinstance(Client(host='ws://a:1', asyncio=True), AsyncWebSocketClient)


def test_requests_of_a_call_share_a_connection_that_is_kept(client: Any, socket_server: Any, texts: Texts) -> None:
    for _ in range(3):
        client.post('/echo', texts(*range(20)), request_size=1)
    assert socket_server.opened == ['/']
    assert len(socket_server.messages) == 60


def test_calls_of_several_threads_have_a_connection_each(client: Any, socket_server: Any, texts: Texts) -> None:
    threads = [threading.Thread(target=client.post, args=('/slow', texts('a'))) for _ in range(3)]
    for thread in threads:
        thread.start()
    socket_server.wait_for_in_flight(3)
    for thread in threads:
        thread.join()
    assert len(socket_server.opened) == 3


def test_metadata_are_headers_of_the_connection(client: Any, socket_server: Any, texts: Texts) -> None:
    client.post('/echo', texts('a'), metadata={'X-Key': 'one'})
    client.post('/echo', texts('a'), headers={'x-key': 'two'})
    client.post('/echo', texts('a'), metadata={'X-Key': 'one'})
    assert [headers.get('x-key') for headers in socket_server.metadata] == ['one', 'two']


def test_a_network_failure_behind_the_server(client: Any, texts: Texts) -> None:
    with pytest.raises(TransportError, match=r'\(1011\): Communication error with deployment e1'):
        client.post('/down', texts('a'))
    assert client.post('/echo', texts('a'), return_type=DocList[TextDoc]).text == ['a']


def test_what_is_unanswered_is_sent_again(client: Any, socket_server: Any, texts: Texts) -> None:
    socket_server.outages = 2
    docs = client.post(
        '/echo',
        texts(*range(10)),
        request_size=1,
        max_attempts=5,
        initial_backoff=0.01,
        return_type=DocList[TextDoc],
        results_in_order=True,
    )
    assert docs.text == [str(number) for number in range(10)]


def test_a_kept_connection_that_the_server_closed(client: Any, socket_server: Any, texts: Texts) -> None:
    client.post('/echo', texts('a'))
    socket_server.restart()
    assert client.post('/echo', texts('b'), return_type=DocList[TextDoc], max_attempts=2).text == ['b']


@pytest.mark.parametrize(
    ('code', 'error', 'text'),
    [(1009, ClientError, 'smaller request_size'), (1007, ClientError, 'same protocol'), (1001, TransportError, 'away')],
)
def test_other_ends_of_a_connection(
    client: Any, socket_server: Any, texts: Texts, code: int, error: type[Exception], text: str
) -> None:
    socket_server.close, socket_server.outages = (code, 'go away'), 1
    with pytest.raises(error, match=text):
        client.post('/echo', texts('a'))


@pytest.mark.parametrize('close', [(1001, 'gateway/rep-0 is shutting down'), (1012, 'gateway/rep-0 is shutting down')])
def test_a_server_that_leaves_and_has_answered_all(
    client: Any, socket_server: Any, texts: Texts, close: tuple[int, str]
) -> None:
    socket_server.close, socket_server.outages = close, 1
    assert client.post('/echo', texts('a'), return_type=DocList[TextDoc], max_attempts=1).text == ['a']


def test_time_limit(client: Any, socket_server: Any, texts: Texts) -> None:
    with pytest.raises(DeadlineError, match='raise the timeout'):
        client.post('/slow', texts('a'), parameters={'delay_s': 60}, timeout=0.2)
    socket_server.wait_for_in_flight(0)  # the connection went, and the work with it


def test_nobody_listens() -> None:
    with pytest.raises(ConnectError, match='no WebSocket server answers at ws://localhost:1'):
        Client(host='ws://localhost', port=1).post('/')


def test_a_stream_takes_parameters(client: Any) -> None:
    docs = client.stream_doc('/generate', TextDoc(text='x'), parameters={'count': 5}, return_type=TextDoc)
    assert [doc.text for doc in docs] == [f'x {number}' for number in range(5)]


def test_a_stream_that_fails(client: Any) -> None:
    seen = []
    with pytest.raises(RemoteError, match='boom') as failed:
        for doc in client.stream_doc('/fail', TextDoc(text='x'), return_type=TextDoc):
            seen.append(doc.text)
    assert seen == ['x 0', 'x 1', 'x 2']
    assert failed.value.executor == 'MyExecutor'


def test_a_stream_that_is_left_ends_at_the_server(client: Any, socket_server: Any) -> None:
    docs = client.stream_doc('/generate', TextDoc(text='x' * 10_000), parameters={'count': 100_000})
    next(docs)
    docs.close()
    for _ in range(200):
        if socket_server.left:
            break
        threading.Event().wait(0.05)
    assert socket_server.left == ['/generate']


def test_a_server_that_does_not_stream(client: Any) -> None:
    with pytest.raises(NotSupportedError, match='does not stream over this protocol'):
        list(client.stream_doc('/echo', TextDoc(text='x')))


def test_a_stream_has_a_time_limit(client: Any) -> None:
    with pytest.raises(DeadlineError):
        list(client.stream_doc('/generate', TextDoc(text='x'), parameters={'count': 0, 'delay_s': 60}, timeout=0.2))


def test_profiling_reads_the_routes(client: Any) -> None:
    profile = client.profiling(show_table=False)
    assert 0 <= profile.server_ms <= profile.roundtrip_ms


async def test_an_asynchronous_call_leaves_nothing_open(socket_server: Any, texts: Texts) -> None:
    client = Client(host=f'ws://localhost:{socket_server.port}', asyncio=True)
    async for docs in client.post('/echo', texts('a'), return_type=DocList[TextDoc]):
        assert docs.text == ['a']
    assert await client.is_flow_ready()
    assert socket_server.opened == ['/', '/dry_run']
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def test_without_the_library() -> None:
    code = (
        'import sys; sys.modules["websockets"] = None\n'
        'from jina.client import Client\n'
        'Client(host="ws://localhost:1").post("/")'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert 'MissingExtraError' in done.stderr
    assert 'pip install "jina-client[websocket]"' in done.stderr
