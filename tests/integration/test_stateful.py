"""Executors with state: all replicas do all writes, in the same order, also if some end, and know them again afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Deployment, Executor, Flow, TestClient, requests
from jina.core.errors import ConfigError, NotSupportedError, PortInUseError, RemoteError, StartupError
from jina.serve.executors.decorators import write

from tests.support.processes import free_port

Texts = DocList[TextDoc]
JINA = Path(sys.executable).with_name('jina')
TIMES = {'HeartbeatTimeout': 400, 'ElectionTimeout': 400, 'LeaderLeaseTimeout': 300}
pytestmark = pytest.mark.timeout(120)

SOURCE = """
import json
from pathlib import Path

from docarray import DocList
from docarray.documents import TextDoc
from jina import Executor, requests
from jina.serve.executors.decorators import write

Texts = DocList[TextDoc]


class Ledger(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.entries = []
        self.restored = 0

    @write
    @requests(on='/add')
    def add(self, docs: Texts, **kwargs) -> Texts:
        if 'bad' in docs.text:
            raise ValueError('a bad entry')
        self.entries += docs.text
        docs.text = [str(len(self.entries))] * len(docs)
        return docs

    @requests(on='/entries')
    def all(self, **kwargs) -> Texts:
        return Texts([TextDoc(text=json.dumps([self.restored, *self.entries]))])


class LedgerInFiles(Ledger):
    def snapshot(self, snapshot_dir):
        Path(snapshot_dir, 'entries').write_text(json.dumps(self.entries))

    def restore(self, snapshot_dir):
        self.entries = json.loads(Path(snapshot_dir, 'entries').read_text())
        self.restored = len(self.entries)
"""

SOMETHING_TO_CHECK = """
jtype: Flow
executors:
  - uses: {jtype: Reader, py_modules: [reader.py]}
    replicas: 3
    stateful: true
"""


class PageDictionary(Executor):
    """The example of the original's documentation."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._docs_dict: dict[str, TextDoc] = {}

    @requests(on=['/index'])
    @write
    def index(self, docs: Texts, **kwargs: Any) -> Texts:  # type: ignore[return]
        for doc in docs:
            self._docs_dict[doc.id] = doc

    @requests(on=['/search'])
    def search(self, docs: Texts, **kwargs: Any) -> Texts:  # type: ignore[return]
        for doc in docs:
            doc.text = self._docs_dict[doc.id].text


class NothingToWrite(Executor):
    @requests(on='/search')
    def search(self, docs: Texts, **kwargs: Any) -> Texts:
        return docs


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A folder with the Executors of ``SOURCE``."""
    (tmp_path / 'ledger.py').write_text(SOURCE)
    for name in ('Ledger', 'LedgerInFiles'):
        (tmp_path / f'{name}.yml').write_text(f'jtype: {name}\npy_modules: [ledger.py]\n')
    return tmp_path


def settings(folder: Path, kind: str = 'Ledger', **more: Any) -> dict[str, Any]:
    common = {'name': 'ledger', 'uses': str(folder / f'{kind}.yml'), 'workspace': str(folder / 'workspace')}
    return {**common, 'stateful': True, 'replicas': 3, 'raft_configuration': TIMES, **more}


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'it took too long'
        time.sleep(0.02)


def add(client: Any, *entries: str) -> None:
    for entry in entries:
        client.post('/add', Texts([TextDoc(text=entry)]), return_type=Texts)


def kept_at(port: int) -> tuple[int, list[str]]:
    """What a replica has restored, and what it has."""
    with Client(port=port) as client:
        restored, *entries = json.loads(client.post('/entries', Texts([TextDoc()]), return_type=Texts)[0].text)
    return restored, entries


def all_have(deployment: Deployment, entries: list[str]) -> bool:
    return [kept_at(address.port)[1] for address in deployment.replica_addresses] == [entries] * deployment.replicas


class Writer:
    """Writes numbered entries, one after the other, until the end of its context; none may fail."""

    def __init__(self, port: int) -> None:
        self.entries: list[str] = []
        self.failures: list[str] = []
        self._port = port
        self._stop = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[Writer]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()
        assert self.failures == []

    def wrote(self, more: int) -> Callable[[], bool]:
        goal = len(self.entries) + more
        return lambda: bool(self.failures) or len(self.entries) >= goal

    def _run(self) -> None:
        with Client(port=self._port) as client:
            while not self._stop.is_set():
                entry = f'entry {len(self.entries)}'
                try:
                    add(client, entry)
                except Exception as error:
                    self.failures.append(repr(error))
                    return
                self.entries.append(entry)


def test_the_example_of_the_page(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(3)]
    deployment = Deployment(
        name='stateful_executor',
        uses=PageDictionary,
        replicas=3,
        stateful=True,
        workspace=str(tmp_path),
        peer_ports=ports,
    )
    docs = Texts([TextDoc(id=str(number), text=f'I am document {number}') for number in range(200)])
    wanted = Texts([TextDoc(id=doc.id) for doc in docs])

    def finds(port: int) -> bool:
        with Client(port=port) as client:
            try:
                found = client.post('/search', wanted, request_size=50, results_in_order=True, return_type=Texts)
            except RemoteError:  # a replica answers with what it has so far
                return False
            return bool(found.text == docs.text)

    with deployment:
        deployment.post('/index', docs, request_size=20)
        for address in deployment.replica_addresses:
            until(lambda port=address.port: finds(port))  # type: ignore[misc]
        with pytest.raises(NotSupportedError, match=r"'stateful_executor' is stateful.*their number is fixed"):
            deployment.scale(5)


@pytest.mark.parametrize('kind', ['Ledger', 'LedgerInFiles'])
def test_state_outlives_the_deployment(kind: str, ledger: Path) -> None:
    times = {**TIMES, 'SnapshotInterval': 20, 'SnapshotThreshold': 5, 'TrailingLogs': 2}
    deployment = Deployment(**settings(ledger, kind, raft_configuration=times, quiet=True))
    entries = [f'entry {number}' for number in range(30)]
    with deployment:
        add(deployment, *entries)
        with pytest.raises(RemoteError, match='a bad entry'):
            add(deployment, 'bad')
        until(lambda: all_have(deployment, entries))
        if kind == 'LedgerInFiles':
            until(lambda: len(list(ledger.glob('workspace/**/snapshots/*/executor/entries'))) >= 3)
    with deployment:
        restored = [kept_at(address.port)[0] for address in deployment.replica_addresses]
        assert all_have(deployment, entries)
        assert all(count > 0 for count in restored) == (kind == 'LedgerInFiles')
        add(deployment, 'one more')
        until(lambda: all_have(deployment, [*entries, 'one more']))
    five = Deployment(**settings(ledger, kind, replicas=5, quiet=True))
    with pytest.raises(StartupError, match='replicas'), five:
        raise AssertionError('a cluster of another size took the folder')


def test_each_write_is_done_once_while_replicas_are_killed(ledger: Path) -> None:
    with Deployment(**settings(ledger, restart='on-failure', quiet=True)) as deployment:
        replicas = [pod for pod in deployment.pods if '/rep-' in pod.name and pod.name.startswith('ledger/')]
        assert len(replicas) == 3
        with Writer(deployment.port).at_work() as writer:
            for replica in replicas:  # the leader is one of them
                until(writer.wrote(20))
                os.kill(replica.pid, signal.SIGKILL)
                until(lambda pod=replica: pod.restarts and pod.is_ready)  # type: ignore[misc]
            until(writer.wrote(20))
        until(lambda: all_have(deployment, writer.entries))


def test_without_a_majority_only_reads_are_answered(ledger: Path) -> None:
    times = {'heartbeat_timeout': 150, 'election_timeout': 150, 'leader_lease_timeout': 100}
    with Deployment(**settings(ledger, raft_configuration=times, quiet=True)) as deployment:
        add(deployment, 'a')
        until(lambda: all_have(deployment, ['a']))
        with pytest.raises(StartupError, match='another process uses'), Deployment(**settings(ledger, quiet=True)):
            pass
        for pod in deployment.pods:
            if pod.name in ('ledger/rep-0', 'ledger/rep-1'):
                os.kill(pod.pid, signal.SIGKILL)
                assert pod.wait(10)
        with pytest.raises(ConnectionError, match='UNAVAILABLE'):
            add(deployment, 'b')
        left = deployment.replica_addresses[2].port
        said = r'there is no leader for 1\.5 seconds, since less than a majority of the 3 replicas'
        with Client(port=left) as client, pytest.raises(ConnectionError, match=said):
            add(client, 'c')
        assert kept_at(left)[1] == ['a']


def test_what_ends_the_process_ends_it_once(ledger: Path) -> None:
    deployment = Deployment(
        **settings(
            ledger, exit_on_exceptions=['ValueError'], restart='on-failure', quiet=True, uses_before=NothingToWrite
        )
    )
    with deployment:
        add(deployment, 'a')
        with pytest.raises(RemoteError, match='a bad entry'):
            add(deployment, 'bad')
        until(lambda: list(deployment.restarts.values()).count(1) == 3 and deployment.is_ready)
        add(deployment, 'b')
        until(lambda: all_have(deployment, ['a', 'b']))
        assert sum(deployment.restarts.values()) == 3


def test_a_rolling_restart_loses_no_request(ledger: Path) -> None:
    flow = Flow(quiet=True).add(**settings(ledger, shards=1))
    with flow:
        before = [pod.pid for pod in flow['ledger'].pods]
        with Writer(flow.port).at_work() as writer:
            until(writer.wrote(10))
            flow.restart('ledger')
            until(writer.wrote(10))
        assert not set(before) & {pod.pid for pod in flow['ledger'].pods}
        until(lambda: all_have(flow['ledger'], writer.entries))


def test_shards_are_clusters_of_their_own(ledger: Path) -> None:
    ports = {shard: [free_port() for _ in range(3)] for shard in range(2)}
    polling = {'/add': 'ANY', '/entries': 'ALL'}
    with Deployment(**settings(ledger, shards=2, peer_ports=ports, polling=polling, quiet=True)) as deployment:
        add(deployment, *map(str, range(10)))
        ports_of = [[int(address.rpartition(':')[2]) for address in shard] for shard in deployment.shard_addresses]

        def agreed() -> bool:
            kept = [[kept_at(port)[1] for port in shard] for shard in ports_of]
            same = all(entries == shard[0] for shard in kept for entries in shard)
            return same and sorted(kept[0][0] + kept[1][0], key=int) == list(map(str, range(10)))

        until(agreed)


def test_a_flow_in_yaml(ledger: Path) -> None:
    path = ledger / 'flow.yml'
    path.write_text(
        f"""
jtype: Flow
with: {{quiet: true, protocol: http, workspace: {ledger}/workspace}}
executors:
  - name: left
  - name: right
    needs: gateway
  - name: ledger
    needs: [left, right]
    uses: LedgerInFiles.yml
    stateful: true
    replicas: 3
    peer_ports: ['{free_port()}', '{free_port()}', '{free_port()}']
    raft_configuration: {{HeartbeatTimeout: 400, LeaderLeaseTimeout: 300}}
"""
    )
    with Flow.load_config(str(path)) as flow:
        add(flow, 'a', 'b')
        until(lambda: all_have(flow['ledger'], ['a', 'b']))


@contextmanager
def command(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [str(JINA), *arguments, '--log-config', 'plain'],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_the_commands(ledger: Path) -> None:
    peers = [str(free_port()) for _ in range(3)]
    common = ['--uses', 'Ledger.yml', '--workspace', 'workspace', '--name', 'ledger', '--stateful', '--replicas', '3']
    common += ['--peer-ports', *peers, '--raft-configuration', *(f'{name}: {value}' for name, value in TIMES.items())]
    port = free_port()
    with command(ledger, 'deployment', *common, '--port', str(port)):
        client = Client(port=port)
        until(lambda: client.is_flow_ready())
        add(client, 'a', 'b')
    # The same replicas without a Deployment around them go on where that one ended.
    with ExitStack() as stack:
        ports = [free_port() for _ in range(3)]
        for number, own in enumerate(ports):
            arguments = ['executor', *common, '--replica-id', str(number), '--port', str(own)]
            stack.enter_context(command(ledger, *arguments))
        clients = [Client(port=own) for own in ports]
        until(lambda: all(client.is_flow_ready() for client in clients))
        add(clients[0], 'c')
        add(clients[1], 'd')
        until(lambda: [kept_at(own)[1] for own in ports] == [['a', 'b', 'c', 'd']] * 3)


def test_a_replica_alone_says_what_it_waits_for(ledger: Path) -> None:
    peers = [str(free_port()) for _ in range(3)]
    arguments = ['--uses', 'Ledger.yml', '--workspace', 'workspace', '--stateful', '--replicas', '3']
    done = subprocess.run(
        [str(JINA), 'executor', *arguments, '--peer-ports', *peers, '--timeout-ready', '1000'],
        cwd=ledger,
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = ' '.join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    assert re.search('executor/rep-0 was not ready after 1 seconds: .*start all replicas at the same time', said)


def test_what_can_not_be_stateful(ledger: Path) -> None:
    with (
        pytest.raises(StartupError, match='NothingToWrite is to be stateful and has no endpoint with @write'),
        Deployment(uses=NothingToWrite, stateful=True, replicas=3, workspace=str(ledger), quiet=True),
    ):
        pass
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        deployment = Deployment(**settings(ledger, peer_ports=[port, free_port(), free_port()], quiet=True))
        with pytest.raises(PortInUseError, match=str(port)), deployment:
            pass
    with pytest.raises(ConfigError, match='takes no stateful'), Deployment(**settings(ledger) | {'uses': 'docker://a'}):
        pass
    flow = ledger / 'flow.yml'
    (ledger / 'reader.py').write_text('from jina import Executor\nclass Reader(Executor): ...\n')
    flow.write_text(SOMETHING_TO_CHECK)
    checked = subprocess.run([JINA, 'check', str(flow)], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 1
    assert 'Reader is to be stateful and has no endpoint with @write' in checked.stdout + checked.stderr


def test_a_test_client_has_one_replica(ledger: Path) -> None:
    with TestClient(Deployment(**settings(ledger))) as client:
        add(client, 'a')
        assert len(client.executors) == 1
        assert client.executor.entries == ['a']
