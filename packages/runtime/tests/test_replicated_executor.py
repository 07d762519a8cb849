"""An Executor as what a log of writes is applied to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.core.config import ExecutorOptions, build
from jina.core.endpoints import requests, write
from jina.core.errors import ConfigError
from jina.core.executor import Executor
from jina.core.request import DataRequest
from jina.runtime import write_memory
from jina.runtime.stateful import ReplicatedExecutor, StatefulService, _command
from jina.runtime.worker import WorkerService

Texts = DocList[TextDoc]


class AppliedList(Executor):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.texts: list[str] = []

    @requests(on='/add')
    @write
    def add(self, docs: Texts, **kwargs: Any) -> Texts:
        if docs[0].text == 'bad':
            raise ValueError('bad text')
        self.texts += docs.text
        docs.text = [f'{len(self.texts)}: {text}' for text in docs.text]
        return docs


class AppliedListInFiles(AppliedList):
    def snapshot(self, snapshot_dir: str) -> None:
        (Path(snapshot_dir) / 'texts.json').write_text(json.dumps(self.texts))

    async def restore(self, snapshot_dir: str) -> None:
        self.texts = json.loads((Path(snapshot_dir) / 'texts.json').read_text())


def worker(kind: type, **options: Any) -> WorkerService:
    return WorkerService(build(ExecutorOptions, {'uses': kind, 'name': 'list', **options}))


def command(text: str, request_id: str = '') -> bytes:
    request = DataRequest()
    request.exec_endpoint = '/add'
    request.docs = Texts([TextDoc(id='x', text=text)])
    if request_id:
        request.request_id = request_id
    return _command(request)


def answer(raw: bytes) -> DataRequest:
    response = DataRequest.from_bytes(raw)
    response.document_array_cls = Texts
    return response


async def test_writes_are_applied_once() -> None:
    service = worker(AppliedList)
    machine = ReplicatedExecutor(service)
    assert not machine.can_snapshot
    first, again, other = command('a', 'r1'), command('a', 'r1'), command('b', 'r1')
    given = [await machine.apply(raw) for raw in (first, again, first, other)]
    assert [answer(raw).docs[0].text for raw in given] == ['1: a', '1: a', '1: a', '2: b']
    assert service.executor.texts == ['a', 'b']  # type: ignore[attr-defined]
    assert [route.executor for route in answer(given[0]).routes] == ['list']
    await service.close()


async def test_what_the_method_raises_is_an_answer_and_no_reason_to_try_again() -> None:
    service = worker(AppliedList)
    machine = ReplicatedExecutor(service)
    bad = command('bad', 'r1')
    given = await machine.apply(bad)
    assert given == await machine.apply(bad)
    assert answer(given).is_error
    assert 'bad text' in answer(given).status.description
    await service.close()


async def test_an_answer_that_is_not_kept_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_memory, 'ANSWER_BYTES', 1)
    service = worker(AppliedList)
    machine = ReplicatedExecutor(service)
    first = command('a', 'r1')
    await machine.apply(first)
    await machine.apply(command('b', 'r2'))
    given = answer(await machine.apply(first))
    assert given.is_error
    assert 'was done before' in given.status.description
    assert service.executor.texts == ['a', 'b']  # type: ignore[attr-defined]
    await service.close()


async def test_a_snapshot_has_state_and_answers(tmp_path: Path) -> None:
    service, other = worker(AppliedListInFiles), worker(AppliedListInFiles)
    machine, copy = ReplicatedExecutor(service), ReplicatedExecutor(other)
    assert machine.can_snapshot
    first = command('a', 'r1')
    given = await machine.apply(first)
    await machine.snapshot(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ['answers', 'executor']
    await copy.restore(tmp_path)
    assert other.executor.texts == ['a']  # type: ignore[attr-defined]
    assert await copy.apply(first) == given
    assert other.executor.texts == ['a']  # type: ignore[attr-defined]
    await service.close()
    await other.close()


async def test_a_snapshot_of_an_executor_that_has_no_restore_any_more(tmp_path: Path) -> None:
    service = worker(AppliedList)
    with pytest.raises(ConfigError, match=r'AppliedList has no restore\(\); add snapshot\(\) and restore\(\) again'):
        await ReplicatedExecutor(service).restore(tmp_path)
    await service.close()


async def test_the_trace_of_a_request_is_part_of_the_command_and_no_other_metadata() -> None:
    request = DataRequest()
    plain = _command(request)
    request.trace = [('authorization', 'Bearer secret'), ('x-bin', b'\xff'), ('traceparent', '00-a-b-01')]  # type: ignore[list-item]
    traced = _command(request)
    assert b'traceparent' in traced
    assert b'secret' not in traced
    assert traced.endswith(plain[2:])


def test_a_replica_needs_addresses() -> None:
    options = build(ExecutorOptions, {'uses': AppliedList, 'stateful': True, 'replicas': 3})
    service = worker(AppliedList)
    with pytest.raises(ConfigError, match='has no address for its 3 replicas; give peer_ports'):
        StatefulService(options, logger=service.logger)
    options = build(ExecutorOptions, {**dict(options), 'peer_ports': [1, 2, 3], 'replica_id': 3})
    with pytest.raises(ConfigError, match='a replica_id from 0 on'):
        StatefulService(options, logger=service.logger)
