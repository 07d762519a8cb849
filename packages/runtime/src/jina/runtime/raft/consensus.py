"""One replica of a cluster: its log, its snapshots, its peers, and the state machine that the log is applied to."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import grpc
from jina.core.config import RaftOptions
from jina.core.errors import ConsensusError, DeadlineError, JinaError, TransportError
from jina.core.logging.logger import JinaLogger
from jina.runtime.raft.home import Home
from jina.runtime.raft.journal import Journal
from jina.runtime.raft.messages import Append, AppendReply, EntryKind, Install, Message, Resign, Vote, VoteReply
from jina.runtime.raft.node import Node, Timing
from jina.runtime.raft.peers import NotLeaderError, Peer, PeerServer
from jina.runtime.raft.snapshots import Receiver, Snapshots, pieces_of

__all__ = ['Consensus', 'StateMachine']

_READ_ENTRIES: Final = 256
_READ_BYTES: Final = 8 << 20
_LATE_S: Final = 0.05
_RETRY_S: Final = 0.1
_HAND_OVER_S: Final = 0.5
_PATIENCE: Final = 10
"""A write is given up when there has been no leader for so many times ``heartbeat_timeout``."""


class StateMachine(Protocol):
    """What the log is applied to: one command after another, in the same order at every replica.

    Attributes:
        can_snapshot: It has ``snapshot`` and ``restore``. Otherwise the log grows without end.
    """

    can_snapshot: bool

    async def apply(self, command: bytes) -> bytes:
        """Applies a command. It may get one again that it knows, and must change nothing then.

        Args:
            command: What was given to ``Consensus.write``.

        Returns:
            What ``Consensus.write`` returns.
        """
        ...

    async def snapshot(self, folder: Path) -> None:
        """Writes the state into a folder, which is empty."""
        ...

    async def restore(self, folder: Path) -> None:
        """Takes the state in a folder instead of the own one."""
        ...


class Consensus:
    """Takes part in a cluster of replicas that apply the same commands in the same order.

    It belongs to one event loop. What it can't recover from, a disk that fails for example, is given to ``on_fatal``.

    Args:
        options: Times and limits.
        folder: The own folder, for log and snapshots; it is made.
        number: Number of this replica.
        peers: ``host:port`` of all replicas in the order of their numbers, this one included.
        machine: What commands are applied to.
        logger: Told of leaders and snapshots.

    Attributes:
        applied: Index of the last entry that was applied.
    """

    def __init__(
        self,
        options: RaftOptions,
        *,
        folder: Path,
        number: int,
        peers: Sequence[str],
        machine: StateMachine,
        logger: JinaLogger,
    ) -> None:
        self.applied = 0
        self.on_fatal: Callable[[BaseException], object] = lambda _: None
        """Called with what ended the part of this replica."""
        self._options = options
        self._folder = folder
        self._number = number
        self._addresses = list(peers)
        self._machine = machine
        self._logger = logger
        self._home: Home | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._peers: dict[int, Peer] = {}
        self._waiters: dict[int, tuple[int, asyncio.Future[bytes]]] = {}
        self._in_use = asyncio.Lock()
        self._is_installing = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._known: tuple[int, int | None] = (0, None)
        self._news: asyncio.Future[None] | None = None
        self._may_sync = asyncio.Event()
        self._was_synced = asyncio.Event()
        self._may_apply = asyncio.Event()
        self._was_applied = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def is_leader(self) -> bool:
        """Whether this replica leads."""
        return self._home is not None and self._node.is_leader

    @property
    def leader(self) -> int | None:
        """Number of the leader, if one is known."""
        return None if self._home is None else self._node.leader

    async def start(self) -> None:
        """Takes the state from the disk, and takes part.

        Raises:
            ConsensusError: The folder belongs to another replica or cluster, is in use, or damaged.
            PortInUseError: The own port is taken.
        """
        self._home = home = Home.open(self._folder, self._number, len(self._addresses))
        try:
            await self._begin(home)
        except BaseException:
            home.close()
            self._home = None
            raise

    async def _begin(self, home: Home) -> None:
        self._snapshots = Snapshots(home.snapshots)
        latest = self._snapshots.latest
        if latest.index and not self._machine.can_snapshot:
            raise ConsensusError(
                f'{latest.folder} is a snapshot, and the Executor can not restore it', hint='give it the method restore'
            )
        if latest.index and not self._options.no_snapshot_restore_on_start:
            await self._machine.restore(latest.folder)
        self._journal = Journal(home.log, snapshot_index=latest.index, snapshot_term=latest.term)
        self.applied = latest.index
        loop = asyncio.get_running_loop()
        size = len(self._addresses)
        timing = _timing(self._options)
        self._node = Node(self._number, size, self._journal, timing, self._send, random.Random(), loop.time())
        self._server = PeerServer(self._addresses[self._number], self, self._logger.name)
        try:
            await self._server.start()
        except BaseException:
            self._journal.close()
            raise
        self._peers = {number: Peer(it) for number, it in enumerate(self._addresses) if number != self._number}
        for work in (self._keep_synced(), self._keep_applied(), self._keep_snapshots()):
            self._run(work)
        self._stir()

    async def close(self) -> None:
        """Hands over, if this replica leads, and ends. Writes that wait here fail."""
        if self._home is None:
            return
        if self.is_leader and len(self._addresses) > 1 and self._failure is None:
            self._node.resign(self._now())
            deadline = self._now() + _HAND_OVER_S
            while self._node.leader in (None, self._number) and self._now() < deadline:
                await self._change(deadline - self._now())
        self._fail_waiters(TransportError(f'replica {self._number} ends'))
        await self._server.stop(_HAND_OVER_S)
        if self._alarm is not None:
            self._alarm.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(peer.close() for peer in self._peers.values()))
        self._journal.close()
        self._home.close()
        self._home = None

    async def write(self, command: bytes, timeout: float | None) -> bytes:
        """Has all replicas apply a command.

        Args:
            command: The command. It may be applied more than once if a leader is lost meanwhile, see ``StateMachine``.
            timeout: Seconds that it may take; None for no limit but that of the patience with clusters that have no leader.

        Returns:
            What the leader's state machine gave, after a majority has it on disk.

        Raises:
            DeadlineError: It took longer. It may be applied nevertheless.
            TransportError: There is no majority.
            ConsensusError: This replica doesn't take part any more.
        """
        return (await self._submit(EntryKind.COMMAND, command, timeout))[1]

    async def caught_up(self, timeout: float | None) -> None:
        """Returns when everything is applied here that was committed when it was called.

        Args:
            timeout: Seconds that it may take.

        Raises:
            DeadlineError: It took longer.
            TransportError: There is no majority.
            ConsensusError: This replica doesn't take part any more.
        """
        deadline = None if timeout is None else self._now() + timeout
        index, _ = await self._submit(EntryKind.NOTHING, b'', timeout)
        while self.applied < index:
            self._check()
            self._was_applied.clear()
            await _within(self._was_applied.wait(), None if deadline is None else deadline - self._now())

    async def append(self, message: Append) -> AppendReply:
        """Answers a leader, when everything that was accepted is on disk."""
        self._check()
        reply = self._node.on_append(message, self._now())
        self._stir()
        if not reply.accepted or not message.entries:
            return reply
        while not self._journal.is_synced and self._journal.synced < reply.index:
            self._was_synced.clear()
            await self._was_synced.wait()
            self._check()
            if self._journal.term != reply.term:
                raise NotLeaderError('there is another leader meanwhile')
        return reply

    async def vote(self, message: Vote) -> VoteReply:
        """Answers a candidate."""
        self._check()
        reply = self._node.on_vote(message, self._now())
        self._stir()
        return reply

    async def resign(self, message: Resign) -> None:
        """Takes the place of a leader that leaves."""
        self._check()
        self._node.on_resign(message, self._now())
        self._stir()

    async def install(self, message: Install, pieces: AsyncIterator[bytes]) -> AppendReply:
        """Takes a snapshot that a leader sends."""
        self._check()
        if self._node.on_install(message, self._now()):
            if self._is_installing:
                raise TransportError('another snapshot is being received')
            self._is_installing = True
            try:
                await self._receive(message, pieces)
            finally:
                self._is_installing = False
        reply = self._node.on_installed(message, self._now())
        self._stir()
        return reply

    async def submit(self, kind: EntryKind, command: bytes, timeout: float | None) -> tuple[int, bytes]:
        """Has a command committed and applied here, as the leader; returns its index and what it gave."""
        self._check()
        index = self._node.propose(command, self._now(), kind)
        if index is None:
            raise NotLeaderError(f'replica {self._number} does not lead')
        done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiters[index] = (self._journal.term, done)
        self._stir()
        try:
            return index, await _within(done, timeout)
        finally:
            if self._waiters.get(index, (0, None))[1] is done:
                del self._waiters[index]

    async def _submit(self, kind: EntryKind, command: bytes, timeout: float | None) -> tuple[int, bytes]:
        """The same wherever the leader is, and again if it is lost."""
        deadline = None if timeout is None else self._now() + timeout
        patience = _PATIENCE * self._options.heartbeat_timeout / 1000
        seen = self._now()
        while True:
            self._check()
            left = None if deadline is None else deadline - self._now()
            leader = self._node.leader
            try:
                if left is not None and left <= 0:
                    raise DeadlineError
                if leader is not None:
                    return await self._submit_to(leader, kind, command, left)
            except NotLeaderError:
                pass
            except DeadlineError as error:
                raise DeadlineError(
                    f'{self._logger.name}: a majority of the replicas has not agreed within {timeout:g} seconds'
                ) from error
            if leader is None and self._now() > seen + patience:
                raise TransportError(
                    f'{self._logger.name}: there is no leader for {patience:g} seconds, since less than a majority of the'
                    f' {len(self._addresses)} replicas can be reached',
                    hint='start the others',
                )
            seen = seen if leader is None else self._now()
            await self._change(_RETRY_S)

    async def _submit_to(
        self, leader: int, kind: EntryKind, command: bytes, timeout: float | None
    ) -> tuple[int, bytes]:
        """Has a leader commit a command, unless another one is known before it has."""
        if leader == self._number:
            return await self.submit(kind, command, timeout)
        call = asyncio.ensure_future(self._peers[leader].submit(kind, command, timeout))
        try:
            while not call.done():
                await asyncio.wait((call, self._next_news()), return_when=asyncio.FIRST_COMPLETED)
                if not call.done() and self._node.leader not in (None, leader):
                    raise NotLeaderError('there is another leader meanwhile')
            return call.result()
        finally:
            call.cancel()

    async def _change(self, timeout: float) -> None:
        """Waits for another leader, but not longer."""
        await asyncio.wait((self._next_news(),), timeout=timeout)

    def _next_news(self) -> asyncio.Future[None]:
        """Done when there is another leader than now. Who takes it and then looks who leads misses nothing."""
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        return self._news

    def _tell_news(self) -> None:
        if self._news is not None:
            self._news.set_result(None)
            self._news = None

    def _send(self, number: int, message: Message) -> None:
        self._run(self._exchange(number, message))

    async def _exchange(self, number: int, message: Message) -> None:
        """Sends a message and gives the answer to the node."""
        peer = self._peers[number]
        try:
            if isinstance(message, Append):
                self._node.on_append_reply(number, message, await peer.append(message), self._now())
            elif isinstance(message, Vote):
                self._node.on_vote_reply(number, message, await peer.vote(message), self._now())
            elif isinstance(message, Install):
                self._node.on_append_reply(number, message, await self._send_snapshot(peer, message), self._now())
            else:
                await peer.resign(message)
        except (grpc.RpcError, JinaError) as error:
            if isinstance(error, ConsensusError):
                raise
            self._node.on_no_reply(number, message, self._now())
        self._stir()

    async def _send_snapshot(self, peer: Peer, message: Install) -> AppendReply:
        snapshot = self._snapshots.latest
        self._logger.info('sends its snapshot, %d entries, to a replica that lacks them', snapshot.index)
        self._snapshots.reading(snapshot)
        try:
            actual = Install(message.term, message.leader, snapshot.index, snapshot.term)
            return await peer.install(actual, pieces_of(snapshot.folder))
        finally:
            self._snapshots.read(snapshot)

    async def _receive(self, message: Install, pieces: AsyncIterator[bytes]) -> None:
        draft = self._snapshots.draft('received')
        receiver = Receiver(draft)
        try:
            async for piece in pieces:
                await asyncio.to_thread(receiver.take, piece)
        finally:
            receiver.close()
        async with self._in_use:
            if message.index <= self.applied:
                shutil.rmtree(draft)
                return
            snapshot = await asyncio.to_thread(self._snapshots.keep, draft, message.index, message.index_term)
            self._journal.restart(message.index, message.index_term)
            try:
                await self._machine.restore(snapshot.folder)
            except Exception as error:
                self._fail(error)
                raise ConsensusError(f'a snapshot can not be restored: {error!r}') from error
            self._applied_until(message.index)
            self._snapshots.clean()
        self._logger.info('took a snapshot of the leader, %d entries', message.index)

    async def _keep_synced(self) -> None:
        while True:
            await self._may_sync.wait()
            self._may_sync.clear()
            while not self._journal.is_synced:
                sync = self._journal.begin_sync()
                await asyncio.to_thread(sync.run)
                self._journal.end_sync(sync)
                self._was_synced.set()
                self._node.on_synced(self._now())
                self._stir()

    async def _keep_applied(self) -> None:
        while True:
            await self._may_apply.wait()
            self._may_apply.clear()
            while self.applied < self._node.committed:
                async with self._in_use:
                    await self._apply_some()

    async def _apply_some(self) -> None:
        count = min(_READ_ENTRIES, self._node.committed - self.applied)
        if count <= 0:
            return
        for entry in self._journal.read(self.applied + 1, count, _READ_BYTES):
            result = b'' if entry.kind is EntryKind.NOTHING else await self._machine.apply(entry.data)
            term, waiter = self._waiters.pop(self.applied + 1, (0, None))
            if waiter is not None and not waiter.done():
                if term == entry.term:
                    waiter.set_result(result)
                else:
                    waiter.set_exception(NotLeaderError('another leader has replaced the command'))
            self._applied_until(self.applied + 1)

    def _applied_until(self, index: int) -> None:
        for passed in [one for one in self._waiters if one <= index] if index - self.applied > 1 else ():
            waiter = self._waiters.pop(passed)[1]
            if not waiter.done():
                waiter.set_exception(NotLeaderError('another leader has gone on'))
        self.applied = index
        self._was_applied.set()

    async def _keep_snapshots(self) -> None:
        interval = self._options.snapshot_interval / 1000
        while self._machine.can_snapshot:
            await asyncio.sleep(interval * (1 + random.random()))  # not all replicas at the same time
            if self.applied - self._journal.snapshot_index >= self._options.snapshot_threshold:
                await self._snapshot()

    async def _snapshot(self) -> None:
        async with self._in_use:
            index = self.applied
            term = self._journal.term_of(index)
            if term is None or index <= self._journal.snapshot_index:
                return
            draft = self._snapshots.draft('own')
            try:
                await self._machine.snapshot(draft)
            except Exception as error:
                self._logger.error('no snapshot: %r; the log goes on', error, exc_info=error)
                return
            await asyncio.to_thread(self._snapshots.keep, draft, index, term)
        self._journal.compact(index, term, self._options.trailing_logs)
        self._snapshots.clean()
        self._logger.info('made a snapshot of %d entries', index)

    def _stir(self) -> None:
        """Has done what follows from what the node has just heard."""
        if not self._journal.is_synced:
            self._may_sync.set()
        if self.applied < self._node.committed:
            self._may_apply.set()
        known = (self._journal.term, self._node.leader)
        if known != self._known:
            if known[1] is not None and known != self._known:
                what = 'leads' if known[1] == self._number else f'follows replica {known[1]}'
                self._logger.debug('%s in term %d', what, known[0])
            if self._known[1] == self._number != known[1]:  # what waits here might wait for ever
                self._fail_waiters(NotLeaderError(f'replica {self._number} does not lead any more'))
            self._known = known
            self._tell_news()
        deadline = self._node.deadline
        if self._alarm is None or self._alarm_at > deadline or self._alarm.cancelled():
            self._set_alarm(deadline)

    def _set_alarm(self, deadline: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = deadline  # the handles of uvloop don't tell when they are due
        self._alarm = asyncio.get_running_loop().call_at(deadline, self._ring, deadline)

    def _ring(self, planned: float) -> None:
        self._alarm = None
        now = self._now()
        if now - planned > _LATE_S:  # the loop was busy; what came meanwhile is read first
            self._set_alarm(now + _LATE_S / 5)
            return
        try:
            if now >= self._node.deadline:
                self._node.tick(now)
            self._stir()
        except Exception as error:  # noqa: BLE001 - nobody else would see it
            self._fail(error)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Ends the part of this replica: what it would say from now on might be wrong."""
        if self._failure is not None:
            return
        self._failure = error
        self._logger.error('the consensus ends: %r', error, exc_info=error)
        if self._alarm is not None:
            self._alarm.cancel()
        self._fail_waiters(ConsensusError(f'replica {self._number} does not take part any more: {error!r}'))
        for event in (self._was_synced, self._was_applied):
            event.set()
        self._tell_news()
        self.on_fatal(error)

    def _fail_waiters(self, error: JinaError) -> None:
        for _, waiter in self._waiters.values():
            if not waiter.done():
                waiter.set_exception(error)
        self._waiters.clear()

    def _check(self) -> None:
        if self._failure is not None:
            raise ConsensusError(f'replica {self._number} does not take part any more: {self._failure!r}')
        if self._home is None:
            raise TransportError(f'replica {self._number} has ended')

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _timing(options: RaftOptions) -> Timing:
    return Timing(
        heartbeat=options.heartbeat_timeout / 1000,
        election=options.election_timeout / 1000,
        commit=options.commit_timeout / 1000,
        lease=options.leader_lease_timeout / 1000,
        entries=options.max_append_entries,
    )


async def _within(what: Any, seconds: float | None) -> Any:
    try:
        return await asyncio.wait_for(what, None if seconds is None else max(0.0, seconds))
    except asyncio.TimeoutError as error:
        raise DeadlineError(f'it has taken more than {seconds:g} seconds') from error
