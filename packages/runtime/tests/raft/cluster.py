"""A cluster of nodes in one process, with a clock, a network and disks that a test controls."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from jina.runtime.raft.messages import Append, AppendReply, Entry, EntryKind, Install, Message, Resign, Vote
from jina.runtime.raft.node import Node, Timing


class MemoryLog:
    """A log whose entries are lost in a crash unless they were synced."""

    def __init__(self) -> None:
        self.term = 0
        self.voted_for: int | None = None
        self.first = 1
        self.entries: list[Entry] = []
        self.before_term = 0
        self.synced = 0
        self.snapshot_index = 0
        self.snapshot_term = 0
        self.snapshot: tuple[bytes, ...] = ()

    @property
    def last(self) -> int:
        return self.first + len(self.entries) - 1

    def term_of(self, index: int) -> int | None:
        if self.first <= index <= self.last:
            return self.entries[index - self.first].term
        if index == self.first - 1:
            return self.before_term
        return self.snapshot_term if index == self.snapshot_index else None

    def read(self, start: int, count: int, size: int) -> Sequence[Entry]:
        return self.entries[start - self.first : start - self.first + count]

    def append(self, entries: Sequence[Entry]) -> None:
        self.entries.extend(entries)

    def cut(self, start: int) -> None:
        del self.entries[start - self.first :]
        self.synced = min(self.synced, start - 1)

    def vote(self, term: int, voted_for: int | None) -> None:
        assert term >= self.term
        assert term > self.term or self.voted_for in (None, voted_for), 'two votes in a term'
        self.term, self.voted_for = term, voted_for

    def compact(self, index: int, trailing: int, state: tuple[bytes, ...]) -> None:
        term = self.term_of(index)
        assert term is not None
        self.snapshot_index, self.snapshot_term, self.snapshot = index, term, state
        first = max(self.first, index - trailing + 1)
        before = self.term_of(first - 1)
        assert before is not None
        del self.entries[: first - self.first]
        self.first, self.before_term = first, before

    def restart(self, index: int, term: int, state: tuple[bytes, ...]) -> None:
        self.snapshot_index, self.snapshot_term, self.snapshot = index, term, state
        if self.first <= index <= self.last and self.term_of(index) == term:
            return
        self.entries = []
        self.first, self.before_term, self.synced = index + 1, term, index

    def crash(self) -> None:
        """Forgets what isn't on disk."""
        self.synced = max(self.synced, self.snapshot_index)
        del self.entries[max(0, self.synced - self.first + 1) :]


@dataclass
class Replica:
    """One process: it may be down."""

    number: int
    log: MemoryLog = field(default_factory=MemoryLog)
    node: Node | None = None
    applied: list[bytes] = field(default_factory=list)
    applied_index: int = 0
    life: int = 0


class Cluster:
    """Runs nodes until a time, and checks at each step what must always hold."""

    def __init__(self, size: int, seed: int, *, loss: float = 0.0, snapshot_every: int = 0) -> None:
        self.chance = random.Random(seed)
        self.timing = Timing(heartbeat=1.0, election=1.0, commit=0.05, lease=0.5, entries=16)
        self.now = 0.0
        self.loss = loss
        self.snapshot_every = snapshot_every
        self.replicas = [Replica(number) for number in range(size)]
        self.parts: list[set[int]] | None = None
        self.committed: dict[int, Entry] = {}
        self.leaders: dict[int, int] = {}
        self.proposed: dict[bytes, float] = {}
        self.answered: list[tuple[bytes, float]] = []
        self.waiting: dict[int, dict[int, tuple[int, bytes]]] = {number: {} for number in range(size)}
        self.messages = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        for replica in self.replicas:
            self.start(replica.number)

    def at(self, delay: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._count), what))

    def start(self, number: int) -> None:
        replica = self.replicas[number]
        if replica.node is not None:
            return
        replica.life += 1
        log = replica.log
        replica.applied, replica.applied_index = list(log.snapshot), log.snapshot_index
        replica.node = Node(
            number,
            len(self.replicas),
            log,
            self.timing,
            lambda to, message: self._send(number, to, message),
            random.Random(self.chance.random()),
            self.now,
        )
        self._plan(number)

    def crash(self, number: int) -> None:
        replica = self.replicas[number]
        replica.node = None
        replica.log.crash()
        self.waiting[number].clear()

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, what = heapq.heappop(self._events)
            what()
            self._check()
        self.now = end

    def leader(self) -> int | None:
        led = [one.number for one in self.replicas if one.node is not None and one.node.is_leader]
        return max(led, key=lambda number: self.replicas[number].log.term) if led else None

    def propose(self, data: bytes, number: int | None = None) -> bool:
        number = self.leader() if number is None else number
        if number is None:
            return False
        replica = self.replicas[number]
        if replica.node is None:
            return False
        index = replica.node.propose(data, self.now)
        if index is None:
            return False
        self.waiting[number][index] = (replica.log.term, data)
        self.proposed[data] = self.now
        self._sync(number)
        self._plan(number)
        return True

    def _plan(self, number: int) -> None:
        """Wakes a node when it has something to do."""
        replica = self.replicas[number]
        assert replica.node is not None
        life = replica.life

        def wake() -> None:
            if replica.node is not None and replica.life == life and self.now >= replica.node.deadline:
                replica.node.tick(self.now)
                self._after(number)

        self.at(max(0.0, replica.node.deadline - self.now), wake)

    def _after(self, number: int) -> None:
        self._sync(number)
        self._apply(number)
        self._plan(number)

    def _sync(
        self, number: int, then: Callable[[], None] | None = None, lost: Callable[[], None] | None = None
    ) -> None:
        replica = self.replicas[number]
        life, last, log = replica.life, replica.log.last, replica.log
        snapshot = [entry for entry in log.entries]
        first = log.first
        if log.synced >= last and then is None:
            return

        def done() -> None:
            if replica.node is None or replica.life != life:
                if lost is not None:
                    self.at(0.1, lost)
                return
            same = 0  # what was cut meanwhile doesn't count
            for at, entry in enumerate(snapshot):
                index = first + at
                if index < log.first or (index <= log.last and log.entries[index - log.first] is entry):
                    same = index
                else:
                    break
            log.synced = max(log.synced, same)
            replica.node.on_synced(self.now)
            if then is not None:
                then()
            self._after(number)

        self.at(self.chance.expovariate(1 / 0.004), done)

    def _send(self, source: int, to: int, message: Message) -> None:
        self.messages += 1
        life = self.replicas[source].life

        def lost() -> None:
            one = self.replicas[source]
            if one.node is not None and one.life == life:
                one.node.on_no_reply(to, message, self.now)
                self._after(source)

        if self.chance.random() < self.loss or not self._connected(source, to):
            self.at(0.5, lost)
            return
        copies = 2 if self.chance.random() < self.loss / 4 else 1
        for _ in range(copies):
            self.at(self._delay(), lambda: self._receive(source, life, to, message, lost))

    def _delay(self) -> float:
        return (
            self.chance.expovariate(1 / 0.3)
            if self.chance.random() < self.loss / 4
            else self.chance.expovariate(1 / 0.003)
        )

    def _connected(self, one: int, other: int) -> bool:
        return self.parts is None or any(one in part and other in part for part in self.parts)

    def _receive(self, source: int, life: int, to: int, message: Message, lost: Callable[[], None]) -> None:
        replica = self.replicas[to]
        if replica.node is None or not self._connected(source, to):
            self.at(0.1, lost)
            return
        node, own_life = replica.node, replica.life

        def answer(reply: AppendReply | object) -> None:
            if self.chance.random() < self.loss or not self._connected(source, to):
                self.at(0.5, lost)
                return
            self.at(self._delay(), lambda: self._answered(source, life, to, message, reply))

        if isinstance(message, Append):
            reply = node.on_append(message, self.now)
            term = replica.log.term

            def synced() -> None:
                if replica.life == own_life and replica.log.term == term:
                    answer(reply)
                else:
                    self.at(0.1, lost)

            if reply.accepted and replica.log.synced < replica.log.last:
                self._sync(to, synced, lost)
            else:
                answer(reply)
        elif isinstance(message, Vote):
            answer(node.on_vote(message, self.now))
        elif isinstance(message, Resign):
            node.on_resign(message, self.now)
        else:
            self._install(source, to, message, answer, lost)
        self._after(to)

    def _install(
        self, source: int, to: int, message: Install, answer: Callable[[object], None], lost: Callable[[], None]
    ) -> None:
        replica, node = self.replicas[to], self.replicas[to].node
        assert node is not None
        sender = self.replicas[source].log
        state = sender.snapshot if sender.snapshot_index == message.index else None
        if node.on_install(message, self.now):
            if state is None:
                self.at(0.1, lost)
                return
            replica.log.restart(message.index, message.index_term, state)
            if message.index > replica.applied_index:
                replica.applied, replica.applied_index = list(state), message.index
        answer(node.on_installed(message, self.now))

    def _answered(self, source: int, life: int, to: int, message: Message, reply: object) -> None:
        replica = self.replicas[source]
        if replica.node is None or replica.life != life:
            return
        if isinstance(message, Vote):
            replica.node.on_vote_reply(to, message, reply, self.now)  # type: ignore[arg-type]
        elif not isinstance(message, Resign):
            replica.node.on_append_reply(to, message, reply, self.now)  # type: ignore[arg-type]
        self._after(source)

    def _apply(self, number: int) -> None:
        replica = self.replicas[number]
        if replica.node is None:
            return
        log = replica.log
        while replica.applied_index < replica.node.committed:
            index = replica.applied_index + 1
            entry = log.read(index, 1, 0)[0]
            replica.applied_index = index
            if entry.kind is EntryKind.COMMAND:
                replica.applied.append(entry.data)
            waiter = self.waiting[number].pop(index, None)
            if waiter is not None and waiter == (entry.term, entry.data):
                self.answered.append((entry.data, self.now))
        if self.snapshot_every and replica.applied_index - log.snapshot_index >= self.snapshot_every:
            log.compact(replica.applied_index, 3, tuple(replica.applied))

    def _check(self) -> None:
        for replica in self.replicas:
            if replica.node is None:
                continue
            if replica.node.is_leader:
                assert self.leaders.setdefault(replica.log.term, replica.number) == replica.number, 'two leaders'
            log = replica.log
            assert replica.node.committed <= log.last, 'committed what is not there'
            for index in range(max(log.first, replica.applied_index - 4), replica.node.committed + 1):
                entry = log.entries[index - log.first]
                assert self.committed.setdefault(index, entry) == entry, f'entry {index} has changed'
