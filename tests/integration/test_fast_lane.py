"""The client on the fast lane, with servers in processes of their own."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, requests
from jina.core import lane
from jina.core.errors import DeadlineError, InputError, RemoteError, TransportError

Texts = DocList[TextDoc]


class Echo(Executor):
    """Answers, slowly or not at all, and counts how many requests run at the same time."""

    running = most = 0

    @requests(on='/echo')
    def echo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs

    @requests(on='/count')
    async def count(self, docs: DocList[TextDoc], **kwargs: Any) -> dict[str, Any]:
        import asyncio

        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.003 * (len(docs.text[0]) % 3))
        self.running -= 1
        return {'most': self.most}

    @requests(on='/shuffle')
    async def shuffle(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        import asyncio

        await asyncio.sleep(0.02 if int(docs[0].text or 0) % 7 == 0 else 0)
        return docs

    @requests(on='/fail')
    def fail(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        if docs[0].text == '5':
            raise ValueError('boom')
        return docs

    @requests(on='/slow')
    async def slow(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        import asyncio

        await asyncio.sleep(20)
        return docs

    @requests(on='/pid')
    def pid(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        time.sleep(0.002)
        for doc in docs:
            doc.text = f'{doc.text} {os.getpid()}'
        return docs


@pytest.fixture(scope='module')
def port() -> Iterator[int]:
    with Deployment(uses=Echo, quiet=True) as deployment:
        yield deployment.port if isinstance(deployment.port, int) else deployment.port[0]


@pytest.fixture
def client(port: int) -> Iterator[Any]:
    with Client(port=port) as client:
        yield client


def texts(count: int) -> DocList[TextDoc]:
    return Texts([TextDoc(text=str(number)) for number in range(count)])


def transport(client: Any) -> Any:
    (found,) = client._transports.values()
    return found


def test_a_call_with_many_requests_and_one_with_one_take_the_lane(client: Any) -> None:
    assert sorted(client.post('/echo', texts(300), request_size=1, return_type=Texts).text, key=int) == texts(300).text
    assert client.post('/echo', TextDoc(text='a'), return_type=TextDoc).text == 'a'
    assert not transport(client)._shared.missing
    assert transport(client)._shared._session is not None
    assert client.post('/echo', texts(3), request_size=1, stream=False, return_type=Texts).text == ['0', '1', '2']


@pytest.mark.parametrize('prefetch', [1, 4, 0])
def test_prefetch_is_never_exceeded(client: Any, prefetch: int) -> None:
    responses = client.post('/count', texts(60), request_size=1, prefetch=prefetch, return_responses=True)
    most = max(response.parameters['__results__']['executor/rep-0']['most'] for response in responses)
    assert len(responses) == 60
    if prefetch == 1:
        assert most == 1
    elif prefetch:
        assert most <= prefetch


def test_results_in_order(client: Any) -> None:
    found = client.post('/shuffle', texts(200), request_size=1, results_in_order=True, return_type=Texts).text
    assert found == [str(number) for number in range(200)]
    assert client.post('/shuffle', texts(200), request_size=1, return_type=Texts).text != found


def test_errors_callbacks_and_responses(client: Any) -> None:
    with pytest.raises(RemoteError, match='boom'):
        client.post('/fail', texts(10), request_size=1)
    done: list[str] = []
    failed: list[str] = []
    result = client.post(
        '/fail',
        texts(10),
        request_size=1,
        on_done=lambda response: done.append(response.request_id),
        on_error=lambda response: failed.append(response.request_id),
    )
    assert result is None
    assert (len(set(done)), len(set(failed))) == (9, 1)
    responses = client.post('/echo', texts(5), request_size=2, return_responses=True)
    assert sorted(len(response.docs) for response in responses) == [1, 2, 2]
    assert all(len(response.request_id) == 32 for response in responses)


def test_inputs_that_fail_half_way(client: Any) -> None:
    def broken() -> Iterator[TextDoc]:
        yield from texts(50)
        raise RuntimeError('no more')

    with pytest.raises(InputError, match='no more'):
        client.post('/echo', broken(), request_size=1)
    assert client.post('/echo', texts(2), request_size=1, return_type=Texts).text == ['0', '1']


@pytest.mark.parametrize('count', [1, 3])
def test_a_deadline(client: Any, count: int) -> None:
    start = time.monotonic()
    with pytest.raises(DeadlineError):
        client.post('/slow', texts(count), request_size=1, timeout=0.3)
    assert time.monotonic() - start < 10


def test_a_document_of_64_mb_in_between(client: Any) -> None:
    docs = texts(40)
    docs[20].text = 'x' * 64_000_000
    found = client.post('/echo', docs, request_size=1, return_type=Texts)
    assert sorted(len(doc.text) for doc in found)[-1] == 64_000_000
    assert len(found) == 40


@pytest.mark.parametrize('with_lane', [True, False], ids=['lane', 'unary'])
@pytest.mark.parametrize('count', [1, 30])
def test_a_document_beyond_the_limit_of_the_channel(
    port: int, with_lane: bool, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_lane:
        monkeypatch.setenv('JINA_DISABLE_FAST_LANE', '1')
    docs = texts(count)
    docs[count // 2].text = 'x' * 200_000
    options = {'grpc.max_send_message_length': 100_000}
    with Client(port=port, grpc_channel_options=options) as client:
        with pytest.raises(TransportError, match=r'larger than max \(200\d\d\d vs. 100000\)') as caught:
            client.post('/echo', docs, request_size=1)
        assert caught.value.code == 'RESOURCE_EXHAUSTED'
        assert len(client.post('/echo', texts(count), request_size=1)) == count
        assert transport(client)._shared.missing is not with_lane


async def test_a_consumer_that_takes_its_time_holds_the_sender_back(port: int) -> None:
    made = 0

    def inputs() -> Iterator[TextDoc]:
        nonlocal made
        for number in range(500):
            made += 1
            yield TextDoc(text=str(number))

    found = 0
    async for docs in Client(port=port, asyncio=True).post('/echo', inputs, request_size=1, prefetch=10):
        found += len(docs)
        # Those that were taken, those in flight, a frame of responses, and what is read ahead.
        assert made <= found + 10 + 10 + 32
    assert found == 500


def test_more_requests_than_a_lane_has_numbers(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, 'LAST_NUMBER', 100)
    found = client.post('/echo', texts(350), request_size=1, results_in_order=True, return_type=Texts).text
    assert found == [str(number) for number in range(350)]


def test_servers_and_clients_without_the_lane(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv('JINA_DISABLE_FAST_LANE', '1')
    with Client(port=port) as plain:
        assert len(plain.post('/echo', texts(30), request_size=1)) == 30
        assert transport(plain)._shared.missing
    with Deployment(uses=Echo, quiet=True, env={'JINA_DISABLE_FAST_LANE': '1'}) as deployment:
        monkeypatch.delenv('JINA_DISABLE_FAST_LANE')
        with Client(port=deployment.port) as client:
            for count in (30, 1):
                assert len(client.post('/echo', texts(count), request_size=1)) == count
            assert transport(client)._shared.missing


def test_replicas_that_are_killed_lose_nothing() -> None:
    with Flow(quiet=True).add(uses=Echo, replicas=3) as flow:
        docs = flow.post('/pid', texts(60), request_size=1, return_type=Texts)
        pids = {int(doc.text.split()[1]) for doc in docs}
        assert len(pids) == 3
        killer = threading.Timer(0.3, lambda: os.kill(min(pids), signal.SIGKILL))
        killer.start()
        found = flow.post('/pid', texts(1500), request_size=1, return_type=Texts)
        killer.join()
        assert sorted(int(doc.text.split()[0]) for doc in found) == list(range(1500))


def test_a_server_that_drains_in_the_middle() -> None:
    deployment = Deployment(uses=Echo, quiet=True).start()
    port = deployment.port if isinstance(deployment.port, int) else deployment.port[0]
    stopper = threading.Thread(target=deployment.close)
    answered: list[Any] = []

    def inputs() -> Iterator[TextDoc]:
        for number in range(100_000):
            if number == 50:
                stopper.start()
            time.sleep(0.002)
            yield TextDoc(text=str(number))

    with Client(port=port) as client, pytest.raises(TransportError) as caught:
        client.post('/echo', inputs, request_size=1, prefetch=5, on_done=answered.append)
    stopper.join()
    assert caught.value.code == 'UNAVAILABLE'
    assert len(answered) >= 40
