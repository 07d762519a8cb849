"""WebSocket clients wait for Executors behind the gateway that are at their limits, whoever causes the load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, requests
from jina.core.errors import OverloadError, TransportError


class Barrier(Executor):
    """Answers when a file is there."""

    def __init__(self, folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = Path(folder)

    async def opened(self) -> None:
        (self.folder / 'entered').touch()
        (self.folder / f'shard{self.runtime_args.shard_id}').touch()
        while not (self.folder / 'open').exists():  # noqa: ASYNC110 - who makes it is another process
            await asyncio.sleep(0.02)

    @requests
    async def pass_on(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        await self.opened()
        return docs

    @requests(on='/words')
    async def words(self, doc: TextDoc, **kwargs: Any) -> TextDoc:
        await self.opened()
        for word in doc.text.split():
            yield TextDoc(text=word)


@contextmanager
def opened_at_last(folder: Path) -> Iterator[None]:
    """Lets calls end also when the test fails: the threads that wait for them are joined before the servers end."""
    try:
        yield
    finally:
        (folder / 'open').touch()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize('replicas', [1, 2])
def test_load_from_elsewhere(replicas: int, tmp_path: Path) -> None:
    limits = {'max_concurrency': 1, 'max_queue': 0}
    with (
        Deployment(uses=Barrier, uses_with={'folder': str(tmp_path)}, quiet=True, replicas=replicas, **limits) as busy,
        Flow(protocol=['websocket', 'http'], quiet=True).add(external=True, host='localhost', port=busy.port) as flow,
        ThreadPoolExecutor(16) as threads,
        opened_at_last(tmp_path),
    ):
        direct = Client(port=busy.port)
        full = [threads.submit(direct.post, '/', TextDoc(), return_type=DocList[TextDoc]) for _ in range(replicas)]
        until(lambda: is_full(direct))
        client = Client(port=flow.port[0], protocol='websocket')
        with pytest.raises(TransportError):
            client.post('/', TextDoc(), timeout=0.5)  # it has gone, and leaves its place in the queue
        waiting = [
            threads.submit(client.post, '/', TextDoc(text=str(number)), return_type=DocList[TextDoc])
            for number in range(6)
        ]
        streams = [
            threads.submit(
                lambda: [doc.text for doc in client.stream_doc('/words', TextDoc(text='a b'), return_type=TextDoc)]
            )
            for _ in range(2)
        ]
        assert not wait([*waiting, *streams], timeout=1.5).done
        with pytest.raises(OverloadError):
            Client(port=flow.port[1], protocol='http').post('/', TextDoc())
        (tmp_path / 'open').touch()
        assert [call.result(60).text for call in waiting] == [[str(number)] for number in range(6)]
        assert [call.result(60) for call in streams] == [['a', 'b']] * 2
        assert all(len(call.result(60)) == 1 for call in full)


@pytest.mark.parametrize('polling', ['ANY', 'ALL'])
def test_shards_without_a_gateway(polling: str, tmp_path: Path) -> None:
    busy = Deployment(
        uses=Barrier,
        uses_with={'folder': str(tmp_path)},
        shards=2,
        polling=polling,
        protocol=['grpc', 'websocket'],
        max_concurrency=1,
        max_queue=0,
        quiet=True,
    )
    with busy, ThreadPoolExecutor(16) as threads, opened_at_last(tmp_path):
        direct = Client(port=busy.port[0])
        held = [TextDoc(text=str(number)) for number in range(2 if polling == 'ANY' else 1)]
        full = threads.submit(direct.post, '/', held, request_size=1, return_type=DocList[TextDoc])
        until(lambda: all((tmp_path / f'shard{number}').exists() for number in range(2)))
        with pytest.raises(OverloadError):
            direct.post('/', TextDoc())
        client = Client(port=busy.port[1], protocol='websocket')
        waiting = [
            threads.submit(client.post, '/', TextDoc(text=str(number)), return_type=DocList[TextDoc])
            for number in range(6)
        ]
        streams = [
            threads.submit(
                lambda: [doc.text for doc in client.stream_doc('/words', TextDoc(text='a b'), return_type=TextDoc)]
            )
            for _ in range(2 if polling == 'ANY' else 0)  # a stream comes from one shard
        ]
        assert not wait([*waiting, *streams], timeout=1.5).done
        (tmp_path / 'open').touch()
        assert [call.result(60).text for call in waiting] == [[str(number)] for number in range(6)]
        assert [call.result(60) for call in streams] == [['a', 'b']] * len(streams)
        assert len(full.result(60)) == len(held)


def test_a_shard_with_room_gets_a_request_once(tmp_path: Path) -> None:
    """One shard is at its limit and the other one isn't: that one answers, and isn't asked again."""

    class Counting(Barrier):
        """Counts what each shard gets in a file, and waits in one of them only."""

        def note(self, text: str) -> None:
            with open(tmp_path / f'tally{self.runtime_args.shard_id}', 'a') as file:
                file.write(text)

        @requests
        async def pass_on(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
            if self.runtime_args.shard_id == 0 and docs[0].text == 'held':
                await self.opened()
            self.note(f'{docs[0].text} ')
            return docs

    busy = Deployment(
        uses=Counting,
        uses_with={'folder': str(tmp_path)},
        shards=2,
        polling='ALL',
        protocol='websocket',
        max_concurrency=1,
        max_queue=0,
        quiet=True,
    )

    def tally(shard: int) -> str:
        file = tmp_path / f'tally{shard}'
        return file.read_text() if file.exists() else ''

    with busy, ThreadPoolExecutor(4) as threads, opened_at_last(tmp_path):
        client = Client(port=busy.port, protocol='websocket')
        held = threads.submit(client.post, '/', TextDoc(text='held'), return_type=DocList[TextDoc])
        until((tmp_path / 'entered').exists)
        other = threads.submit(client.post, '/', TextDoc(text='other'), return_type=DocList[TextDoc])
        until(lambda: 'other' in tally(1))
        assert not wait([held, other], timeout=1).done
        (tmp_path / 'open').touch()
        assert [call.result(60).text for call in (held, other)] == [['held'], ['other']]
        assert [tally(shard) for shard in range(2)] == ['held other '] * 2


def is_full(client: Client) -> bool:
    try:
        client.post('/', TextDoc(), timeout=0.3)
    except OverloadError:
        return True
    except TransportError:
        return False
    return False


def test_only_the_executor_that_refuses_gets_a_request_again(tmp_path: Path) -> None:
    limits = {'max_concurrency': 1, 'max_queue': 0}

    class Tally(Executor):
        """Counts what it gets in a file."""

        @requests
        def tally(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
            with open(tmp_path / 'tally', 'a') as file:
                file.write('x' * len(docs))
            return docs

    flow = Flow(protocol='websocket', quiet=True, monitoring=True)
    flow = flow.add(uses=Tally).add(uses=Barrier, uses_with={'folder': str(tmp_path)}, **limits)
    with flow, ThreadPoolExecutor(1) as thread, opened_at_last(tmp_path):
        client = Client(port=flow.port, protocol='websocket')
        docs = DocList[TextDoc]([TextDoc(text=str(number)) for number in range(20)])
        call = thread.submit(
            client.post, '/', docs, request_size=1, results_in_order=True, return_type=DocList[TextDoc]
        )
        until((tmp_path / 'entered').exists)
        assert not wait([call], timeout=0.5).done
        (tmp_path / 'open').touch()
        assert call.result(60).text == docs.text
        assert (tmp_path / 'tally').read_text() == 'x' * 20
