"""Replicas with real disks and connections in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from jina.core.config import RaftOptions
from jina.core.errors import ConsensusError, DeadlineError, PortInUseError, TransportError
from jina.core.logging.logger import JinaLogger
from jina.runtime.raft.consensus import Consensus

QUICK = {'heartbeat_timeout': 150, 'election_timeout': 150, 'leader_lease_timeout': 100, 'commit_timeout': 10}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        return int(found.getsockname()[1])


async def until(happened: Callable[[], bool], seconds: float = 20) -> None:
    """Waits for what no event tells."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


class Words:
    """Keeps all words that it gets, once each."""

    def __init__(self, *, can_snapshot: bool = False) -> None:
        self.can_snapshot = can_snapshot
        self.words: list[str] = []
        self.restored = 0
        self.fails = False

    async def apply(self, command: bytes) -> bytes:
        if self.fails:
            raise OSError('no more')
        word = command.decode()
        if word not in self.words:
            self.words.append(word)
        return str(self.words.index(word)).encode()

    async def snapshot(self, folder: Path) -> None:
        (folder / 'inner').mkdir()
        (folder / 'inner' / 'words').write_text('\n'.join(self.words))
        (folder / 'large').write_bytes(b'x' * 3_000_000)

    async def restore(self, folder: Path) -> None:
        assert (folder / 'large').stat().st_size == 3_000_000
        self.words = (folder / 'inner' / 'words').read_text().split('\n')
        self.restored += 1


class Replicas:
    """A cluster whose members start and end one by one."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.can_snapshot = bool(options)
        self.options = RaftOptions(**{**QUICK, **options})
        self.peers = [f'127.0.0.1:{free_port()}' for _ in range(3)]
        self.machines: dict[int, Words] = {}
        self.running: dict[int, Consensus] = {}

    async def start(self, *numbers: int) -> None:
        for number in numbers:
            machine = self.machines[number] = Words(can_snapshot=self.can_snapshot)
            one = Consensus(
                self.options,
                folder=self.folder / str(number),
                number=number,
                peers=self.peers,
                machine=machine,
                logger=JinaLogger(f'words/rep-{number}', quiet=True),
            )
            await one.start()
            self.running[number] = one

    async def stop(self, number: int) -> None:
        await self.running.pop(number).close()

    async def leader(self) -> int:
        await until(lambda: any(one.is_leader for one in self.running.values()))
        return next(number for number, one in self.running.items() if one.is_leader)

    async def snapshot_of(self, number: int) -> None:
        """Waits for a snapshot of a replica."""
        await until(lambda: bool(list((self.folder / str(number) / 'snapshots').glob('at-*'))))

    async def same(self) -> list[str]:
        """The words of all, when they are the same everywhere."""
        await asyncio.gather(*(one.caught_up(10) for one in self.running.values()))
        first, *others = [self.machines[number].words for number in self.running]
        assert others == [first] * len(others)
        return first


@contextlib.asynccontextmanager
async def replicas(folder: Path, **options: Any) -> AsyncIterator[Replicas]:
    cluster = Replicas(folder, **options)
    try:
        await cluster.start(0, 1, 2)
        yield cluster
    finally:
        for number in list(cluster.running):
            await cluster.stop(number)


async def test_every_replica_takes_writes_and_all_apply_them(tmp_path: Path) -> None:
    async with replicas(tmp_path) as cluster:
        words = [f'word{number}' for number in range(300)]
        answers = await asyncio.gather(
            *(cluster.running[at % 3].write(word.encode(), 10) for at, word in enumerate(words))
        )
        found = await cluster.same()
        assert sorted(found) == sorted(words)
        assert [found[int(answer)] for answer in answers] == words


async def test_writes_go_on_when_the_leader_ends_and_it_catches_up(tmp_path: Path) -> None:
    async with replicas(tmp_path) as cluster:
        await cluster.running[0].write(b'first', 10)
        leader = await cluster.leader()
        writers = [number for number in range(3) if number != leader]
        writes = [asyncio.ensure_future(cluster.running[writers[at % 2]].write(b'%d' % at, 20)) for at in range(50)]
        await asyncio.sleep(0)
        await cluster.stop(leader)
        await asyncio.gather(*writes)
        await cluster.running[writers[0]].write(b'last', 10)
        await cluster.start(leader)
        found = await cluster.same()
        assert found[0] == 'first'
        assert found[-1] == 'last'
        assert len(found) == 52


async def test_what_was_written_is_there_after_all_have_ended(tmp_path: Path) -> None:
    async with replicas(tmp_path) as cluster:
        for number in range(20):
            await cluster.running[number % 3].write(b'%d' % number, 10)
        for number in range(3):
            await cluster.stop(number)
        await cluster.start(0, 1, 2)
        assert await cluster.same() == [str(number) for number in range(20)]


async def test_snapshots_shorten_the_log_and_bring_others_up_to_date(tmp_path: Path) -> None:
    async with replicas(tmp_path, snapshot_interval=20, snapshot_threshold=10, trailing_logs=0) as cluster:
        await cluster.running[0].write(b'before', 10)
        await cluster.stop(2)
        for number in range(60):
            await cluster.running[number % 2].write(b'%d' % number, 10)
        await asyncio.gather(cluster.snapshot_of(0), cluster.snapshot_of(1))
        await cluster.start(2)
        found = await cluster.same()
        assert found == ['before', *(str(number) for number in range(60))]
        assert cluster.machines[2].restored >= 1
        for number in range(3):
            await cluster.stop(number)
        await cluster.start(0, 1, 2)
        assert await cluster.same() == found
        assert all(machine.restored for machine in cluster.machines.values())


async def test_without_a_majority_writes_fail_in_time(tmp_path: Path) -> None:
    async with replicas(tmp_path) as cluster:
        leader = await cluster.leader()
        await cluster.running[leader].write(b'one', 10)
        for number in set(range(3)) - {leader}:
            await cluster.stop(number)
        with pytest.raises(DeadlineError, match=r'a majority of the replicas has not agreed within 0.3 seconds'):
            await cluster.running[leader].write(b'two', 0.3)
        with pytest.raises(
            TransportError, match=r'there is no leader for 1.5 seconds, since less than a majority of the 3'
        ):
            await cluster.running[leader].write(b'two', None)


async def test_a_write_fails_in_time_whose_leader_loses_the_majority_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def be_silent(_: object) -> None:
        await asyncio.Event().wait()

    async with replicas(tmp_path) as cluster:
        leader = await cluster.leader()
        await cluster.running[leader].write(b'one', 10)
        for number in set(range(3)) - {leader}:
            monkeypatch.setattr(cluster.running[number], 'append', be_silent)
            monkeypatch.setattr(cluster.running[number], 'vote', be_silent)
        assert cluster.running[leader].is_leader
        with pytest.raises(TransportError, match=r'there is no leader for 1.5 seconds'):
            await asyncio.wait_for(cluster.running[leader].write(b'two', None), 30)


async def test_a_state_machine_that_fails_ends_the_part_of_its_replica(tmp_path: Path) -> None:
    async with replicas(tmp_path) as cluster:
        await cluster.running[0].write(b'one', 10)
        leader = await cluster.leader()
        ended: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        broken = next(number for number in range(3) if number != leader)
        cluster.running[broken].on_fatal = ended.set_result
        cluster.machines[broken].fails = True
        await cluster.running[leader].write(b'two', 10)
        assert isinstance(await asyncio.wait_for(ended, 10), OSError)
        with pytest.raises(ConsensusError, match=r'does not take part any more: OSError'):
            await cluster.running[broken].write(b'three', 10)
        await cluster.running[leader].write(b'three', 10)
        await cluster.stop(broken)
        await cluster.start(broken)
        assert await cluster.same() == ['one', 'two', 'three']


async def test_a_folder_belongs_to_one_replica_and_one_process(tmp_path: Path) -> None:
    async with replicas(tmp_path) as cluster:
        peers = cluster.peers

        def other(number: int, folder: int, peers: list[str]) -> Consensus:
            logger = JinaLogger('other', quiet=True)
            place = tmp_path / str(folder)
            return Consensus(cluster.options, folder=place, number=number, peers=peers, machine=Words(), logger=logger)

        with pytest.raises(ConsensusError, match=r'another process uses .*; end it'):
            await other(0, 0, peers).start()
        await cluster.stop(0)
        with pytest.raises(
            ConsensusError, match='was written by one of 3 replicas, and now there are 5; start as many'
        ):
            await other(0, 0, [*peers, *peers[:2]]).start()
        with pytest.raises(ConsensusError, match='belongs to another replica'):
            await other(1, 0, peers).start()
        with pytest.raises(PortInUseError):
            await other(1, 7, peers).start()


async def test_a_snapshot_needs_a_machine_that_can_restore_it(tmp_path: Path) -> None:
    async with replicas(tmp_path, snapshot_interval=20, snapshot_threshold=1) as cluster:
        await cluster.running[0].write(b'one', 10)
        await cluster.snapshot_of(0)
        await cluster.stop(0)
        cluster.can_snapshot = False
        with pytest.raises(ConsensusError, match='the Executor can not restore it; give it the method restore'):
            await cluster.start(0)


async def test_a_leader_that_leaves_is_replaced_before_its_time(tmp_path: Path) -> None:
    async with replicas(tmp_path, heartbeat_timeout=5000, election_timeout=5000, leader_lease_timeout=4000) as cluster:
        leader = await cluster.leader()
        await cluster.running[leader].write(b'one', 20)
        began = time.monotonic()
        await cluster.stop(leader)
        await next(iter(cluster.running.values())).write(b'two', 20)
        assert time.monotonic() - began < 4
