"""The Raft protocol as a state machine without clock, network or disk: those are given to it.

Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm", 2014 (the paper), with trial votes and the check of the
quorum from Ongaro's thesis (sections 9.6 and 6.2). The members are fixed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from jina.core.errors import ConsensusError
from jina.runtime.raft.messages import (
    Append,
    AppendReply,
    Entry,
    EntryKind,
    Install,
    Message,
    Resign,
    Vote,
    VoteReply,
)

__all__ = ['Log', 'Node', 'Role', 'Timing']

_MESSAGE_BYTES: Final = 4 << 20
"""One message has no more bytes of entries than this, unless a single one is longer."""


class Log(Protocol):
    """The log of a replica, as the node needs it. Entries are numbered from 1.

    Attributes:
        term: The latest term that the replica knows of.
        voted_for: Whom it voted for in that term.
        first: Index of the first entry that is there.
        synced: Index up to which entries are on disk.
        snapshot_index: Index of the last entry of the latest snapshot.
        snapshot_term: Term of that entry.
    """

    term: int
    voted_for: int | None
    first: int
    synced: int
    snapshot_index: int
    snapshot_term: int

    @property
    def last(self) -> int:
        """Index of the last entry; ``snapshot_index`` if there is none."""
        ...

    def term_of(self, index: int) -> int | None:
        """Term of an entry, 0 of the one in front of the first ever; None if it isn't there, and wasn't the last of the snapshot."""
        ...

    def read(self, start: int, count: int, size: int) -> Sequence[Entry]:
        """Entries from an index on: at most so many, and no more bytes than given, but at least one."""
        ...

    def append(self, entries: Sequence[Entry]) -> None:
        """Adds entries, which are on disk only later."""
        ...

    def cut(self, start: int) -> None:
        """Removes all entries from an index on."""
        ...

    def vote(self, term: int, voted_for: int | None) -> None:
        """Notes term and vote; they are on disk when it returns."""
        ...


class Role(Enum):
    """What a replica is at the moment."""

    FOLLOWER = 'follower'
    TRIAL = 'trial'
    CANDIDATE = 'candidate'
    LEADER = 'leader'


@dataclass(frozen=True)
class Timing:
    """Seconds, but for the last.

    Attributes:
        heartbeat: A follower that hears nothing from a leader for so long, or up to twice as long, asks for votes.
        election: So does a candidate that has no majority.
        commit: Followers learn at the latest so long after it what is committed.
        lease: A leader that hears nothing from a majority for so long isn't one any more.
        entries: Most entries of one message.
    """

    heartbeat: float = 1.0
    election: float = 1.0
    commit: float = 0.05
    lease: float = 0.5
    entries: int = 1024


@dataclass
class _Follower:
    """What a leader knows of another replica."""

    next: int
    contact: float
    match: int = 0
    is_busy: bool = False
    is_asked: bool = False
    is_silent: bool = False
    due: float = 0.0
    told: int = 0


@dataclass
class Node:
    """One replica.

    Attributes:
        number: Its number, from 0 on.
        size: Number of replicas of the cluster.
        log: Its log.
        timing: How long it waits for what.
        send: Sends a message to another replica; its answer, or that there was none, comes back by ``on_...``.
        chance: Where random times come from.
        now: Seconds on a clock that never goes back, at the start.
        role: What it is.
        leader: Number of the leader, if it knows one.
        committed: Index up to which entries are committed, that is, will never change.
    """

    number: int
    size: int
    log: Log
    timing: Timing
    send: Callable[[int, Message], object]
    chance: random.Random
    now: float = 0.0
    role: Role = Role.FOLLOWER
    leader: int | None = None
    committed: int = 0
    _votes: set[int] = field(default_factory=set)
    _followers: dict[int, _Follower] = field(default_factory=dict)
    _contact: float = float('-inf')
    _deadline: float = 0.0

    def __post_init__(self) -> None:
        self.committed = self.log.snapshot_index
        self._wait(self.now, self.timing.heartbeat)

    @property
    def majority(self) -> int:
        """How many replicas are more than half of them."""
        return self.size // 2 + 1

    @property
    def is_leader(self) -> bool:
        """Whether it leads."""
        return self.role is Role.LEADER

    @property
    def deadline(self) -> float:
        """When ``tick`` has something to do, unless something happens before."""
        if not self.is_leader:
            return self._deadline
        return min([self._lease_end(), *(follower.due for follower in self._followers.values())])

    def tick(self, now: float) -> None:
        """Does what is due.

        Args:
            now: The time.
        """
        self.now = now
        if self.is_leader:
            if now >= self._lease_end():
                self._follow(self.log.term, None)
                return
            for number, follower in self._followers.items():
                if now >= follower.due:
                    self._show(number, follower)
        elif now >= self._deadline:
            self._stand(is_trial=True)

    def propose(self, data: bytes, now: float, kind: EntryKind = EntryKind.COMMAND) -> int | None:
        """Adds an entry to the log, to be replicated.

        Args:
            data: The command.
            now: The time.
            kind: What the entry is.

        Returns:
            Its index; it belongs to the present term. None if this replica doesn't lead.
        """
        self.now = now
        if not self.is_leader:
            return None
        self.log.append([Entry(self.log.term, kind, data)])
        for number, follower in self._followers.items():
            self._feed(number, follower)
        return self.log.last

    def on_synced(self, now: float) -> None:
        """Takes note that ``log.synced`` has grown."""
        self.now = now
        if self.is_leader:
            self._commit()

    def on_append(self, message: Append, now: float) -> AppendReply:
        """Answers a leader. What was accepted has to be on disk before the answer is sent.

        Args:
            message: What it sent.
            now: The time.
        """
        self.now = now
        if message.term < self.log.term:
            return AppendReply(self.log.term, False, 0)
        self._obey(message.term, message.leader)
        known = self.log.term_of(message.before)
        if known is None and message.before < self.log.first:  # part of the snapshot, so it is committed and agrees
            return self._accept(message)
        if known != message.before_term:
            return AppendReply(self.log.term, False, self._where_it_may_agree(message.before))
        return self._accept(message)

    def on_vote(self, message: Vote, now: float) -> VoteReply:
        """Answers a candidate.

        Args:
            message: What it asked.
            now: The time.
        """
        self.now = now
        log = self.log
        is_current = (message.last_term, message.last) >= (log.term_of(log.last) or 0, log.last)
        if message.is_trial:
            has_leader = self.is_leader or now < self._contact + self.timing.heartbeat
            granted = is_current and message.term > log.term and not has_leader
            return VoteReply(message.term if granted else log.term, granted)
        if message.term > log.term:
            self._follow(message.term, None)
        granted = message.term == log.term and is_current and log.voted_for in (None, message.candidate)
        if granted:
            log.vote(log.term, message.candidate)
            self._wait(now, self.timing.heartbeat)
        return VoteReply(log.term, granted)

    def resign(self, now: float) -> None:
        """Asks the follower that has the most to lead, before this replica leaves.

        Args:
            now: The time.
        """
        self.now = now
        known = {number: follower.match for number, follower in self._followers.items() if not follower.is_silent}
        if self.is_leader and known:
            self.send(max(known, key=lambda number: known[number]), Resign(self.log.term, self.number))

    def on_resign(self, message: Resign, now: float) -> None:
        """Stands for the leadership at once, since the leader leaves.

        Args:
            message: What it sent.
            now: The time.
        """
        self.now = now
        if message.term == self.log.term and message.leader == self.leader and not self.is_leader:
            self._stand(is_trial=False)

    def on_install(self, message: Install, now: float) -> bool:
        """Whether a snapshot is to be taken that a leader sends.

        Args:
            message: What it sent.
            now: The time.
        """
        self.now = now
        if message.term < self.log.term:
            return False
        self._obey(message.term, message.leader)
        return message.index > self.committed

    def on_installed(self, message: Install, now: float) -> AppendReply:
        """Answers a leader whose snapshot was taken, or wasn't needed.

        Args:
            message: What it sent.
            now: The time.
        """
        self.now = now
        if message.term < self.log.term:
            return AppendReply(self.log.term, False, 0)
        self._obey(message.term, message.leader)
        self.committed = max(self.committed, self.log.snapshot_index)
        return AppendReply(self.log.term, True, max(message.index, self.log.snapshot_index))

    def on_append_reply(self, number: int, message: Append | Install, reply: AppendReply, now: float) -> None:
        """Takes an answer to what this replica has sent as the leader.

        Args:
            number: Who answers.
            message: What was sent.
            reply: The answer.
            now: The time.
        """
        self.now = now
        follower = self._sent(number, message)
        if reply.term > self.log.term:
            self._follow(reply.term, None)
            return
        if follower is None or not self.is_leader or message.term != self.log.term:
            return
        follower.contact = now
        follower.is_silent = False
        if reply.accepted:
            follower.match = max(follower.match, min(reply.index, self.log.last))
            follower.next = max(follower.next, follower.match + 1)
            self._commit()
        elif isinstance(message, Append):
            follower.next = max(follower.match + 1, min(reply.index, message.before))
        self._feed(number, follower)

    def on_no_reply(self, number: int, message: Message, now: float) -> None:
        """Takes note that another replica can't be reached. It is tried again when the next heartbeat is due.

        Args:
            number: Which one.
            message: What was sent.
            now: The time.
        """
        self.now = now
        follower = None if isinstance(message, Vote | Resign) else self._sent(number, message)
        if follower is not None:
            follower.is_silent = True

    def on_vote_reply(self, number: int, message: Vote, reply: VoteReply, now: float) -> None:
        """Takes an answer to a question for a vote.

        Args:
            number: Who answers.
            message: What was asked.
            reply: The answer.
            now: The time.
        """
        self.now = now
        if reply.term > self.log.term and not (message.is_trial and reply.granted):
            self._follow(reply.term, None)
            return
        wanted = self.log.term + 1 if message.is_trial else self.log.term
        role = Role.TRIAL if message.is_trial else Role.CANDIDATE
        if self.role is not role or message.term != wanted or not reply.granted:
            return
        self._votes.add(number)
        if len(self._votes) >= self.majority:
            if message.is_trial:
                self._stand(is_trial=False)
            else:
                self._lead()

    def _wait(self, now: float, seconds: float) -> None:
        """Sets when it asks for votes."""
        self._deadline = now + seconds * (1 + self.chance.random())

    def _follow(self, term: int, leader: int | None) -> None:
        if term > self.log.term:
            self.log.vote(term, None)
        self.role = Role.FOLLOWER
        self.leader = leader
        self._followers = {}
        self._wait(self.now, self.timing.heartbeat)

    def _obey(self, term: int, leader: int) -> None:
        """Follows a leader that has just been heard."""
        self._follow(term, leader)
        self._contact = self.now

    def _stand(self, *, is_trial: bool) -> None:
        """Asks for votes."""
        log = self.log
        self.role = Role.TRIAL if is_trial else Role.CANDIDATE
        self.leader = None
        self._votes = {self.number}
        self._wait(self.now, self.timing.election)
        if not is_trial:
            log.vote(log.term + 1, self.number)
        term = log.term + 1 if is_trial else log.term
        message = Vote(term, self.number, log.last, log.term_of(log.last) or 0, is_trial)
        for number in range(self.size):
            if number != self.number:
                self.send(number, message)
        if self.majority == 1:
            if is_trial:
                self._stand(is_trial=False)
            else:
                self._lead()

    def _lead(self) -> None:
        self.role = Role.LEADER
        self.leader = self.number
        others = (number for number in range(self.size) if number != self.number)
        self._followers = {number: _Follower(self.log.last + 1, self.now) for number in others}
        # what leaders before have replicated is committed with the first entry of this term (section 5.4.2 of the paper)
        self.propose(b'', self.now, EntryKind.NOTHING)

    def _lease_end(self) -> float:
        """When the leader has heard nothing from a majority for too long."""
        contacts = sorted((follower.contact for follower in self._followers.values()), reverse=True)
        needed = self.majority - 1
        return contacts[needed - 1] + self.timing.lease if needed else float('inf')

    def _show(self, number: int, follower: _Follower) -> None:
        """Shows a follower that the leader is there, and that more is committed."""
        follower.due = self._next_show()
        if not follower.is_busy:
            self._feed(number, follower, must=True)
        elif not follower.is_asked:  # it still writes, or takes a snapshot, which may take longer than its patience
            follower.is_asked = True
            self.send(number, Append(self.log.term, self.number, 0, 0, 0))

    def _next_show(self) -> float:
        return self.now + min(self.timing.heartbeat, self.timing.lease) / 5

    def _feed(self, number: int, follower: _Follower, *, must: bool = False) -> None:
        """Sends a follower what it lacks, unless it hasn't answered yet.

        Args:
            number: Which one.
            follower: What is known of it.
            must: Send nothing rather than no message.
        """
        if follower.is_busy or (follower.is_silent and not must):
            return
        log = self.log
        before = follower.next - 1
        before_term = log.term_of(before)
        if before_term is None:
            follower.is_busy = True
            self.send(number, Install(log.term, self.number, log.snapshot_index, log.snapshot_term))
            return
        entries = log.read(follower.next, self.timing.entries, _MESSAGE_BYTES) if before < log.last else ()
        if not entries and not must:
            if follower.told < self.committed:
                follower.due = min(follower.due, self.now + self.timing.commit)
            return
        follower.is_busy = True
        follower.due = self._next_show()
        follower.told = self.committed
        committed = min(self.committed, before + len(entries))
        self.send(number, Append(log.term, self.number, before, before_term, committed, tuple(entries)))

    def _sent(self, number: int, message: Append | Install) -> _Follower | None:
        """The follower that a message to it is answered by, or lost."""
        follower = self._followers.get(number)
        if follower is None or message.term != self.log.term:
            return None
        if isinstance(message, Append) and message.before == 0 and not message.entries:
            follower.is_asked = False
        else:
            follower.is_busy = False
        return follower

    def _commit(self) -> None:
        """Commits what a majority has on disk, if the last of it is of this term."""
        stored = sorted([self.log.synced, *(follower.match for follower in self._followers.values())], reverse=True)
        index = stored[self.majority - 1]
        if index <= self.committed or self.log.term_of(index) != self.log.term:
            return
        self.committed = index
        for number, follower in self._followers.items():
            self._feed(number, follower)

    def _accept(self, message: Append) -> AppendReply:
        """Takes entries that fit to the log."""
        log = self.log
        index = message.before
        for at, entry in enumerate(message.entries):
            index = message.before + at + 1
            known = log.term_of(index)
            if known is None and index < log.first:
                continue  # part of the snapshot
            if known == entry.term:
                continue
            if known is not None:
                if index <= self.committed:
                    raise ConsensusError(f'entry {index}, which is committed, would change')
                log.cut(index)
            log.append(message.entries[at:])
            break
        end = message.before + len(message.entries)
        self.committed = max(self.committed, min(message.committed, end))
        return AppendReply(log.term, True, end)

    def _where_it_may_agree(self, before: int) -> int:
        """The first index that the leader might send from: behind the end, or the first one of a term that it knows otherwise."""
        log = self.log
        if before > log.last:
            return log.last + 1
        term = log.term_of(before)
        while before > max(log.first, self.committed + 1) and log.term_of(before - 1) == term:
            before -= 1
        return before
