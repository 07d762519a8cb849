"""What the replicas of a cluster say to each other, and how it is written as bytes.

All numbers are little-endian. A message begins with the version of this format, so that another one is noticed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, TypeAlias

from jina.core.errors import RequestTypeError

__all__ = ['Append', 'AppendReply', 'Entry', 'EntryKind', 'Install', 'Message', 'Reply', 'Resign', 'Vote', 'VoteReply']

_VERSION: Final = 1
_ENTRY: Final = struct.Struct('<QBI')
_APPEND: Final = struct.Struct('<BQIQQQ')
_APPEND_REPLY: Final = struct.Struct('<BQ?Q')
_VOTE: Final = struct.Struct('<BQIQQ?')
_VOTE_REPLY: Final = struct.Struct('<BQ?')
_INSTALL: Final = struct.Struct('<BQIQQ')
_RESIGN: Final = struct.Struct('<BQI')


class EntryKind(IntEnum):
    """What an entry of the log is: a command, or the first one of a leader and others that mean nothing."""

    COMMAND = 0
    NOTHING = 1


@dataclass(frozen=True)
class Entry:
    """One entry of the log; its index is its place.

    Attributes:
        term: Term of the leader that added it.
        kind: What it is.
        data: The command.
    """

    term: int
    kind: EntryKind
    data: bytes = b''


@dataclass(frozen=True)
class Append:
    """A leader sends entries, or none to show that it is there.

    Attributes:
        term: Its term.
        leader: Its number.
        before: Index of the entry in front of these.
        before_term: Term of that entry.
        committed: Index up to which entries are committed.
        entries: The entries.
    """

    term: int
    leader: int
    before: int
    before_term: int
    committed: int
    entries: tuple[Entry, ...] = ()

    def to_bytes(self) -> bytes:
        """Returns the message as bytes."""
        head = _APPEND.pack(_VERSION, self.term, self.leader, self.before, self.before_term, self.committed)
        return b''.join((head, *_entries_as_bytes(self.entries)))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Append:
        """Reads the message.

        Raises:
            RequestTypeError: It is something else.
        """
        term, leader, before, before_term, committed = _read(_APPEND, raw)
        return cls(term, leader, before, before_term, committed, _read_entries(raw, _APPEND.size))


@dataclass(frozen=True)
class AppendReply:
    """What the receiver of an ``Append`` answers.

    Attributes:
        term: Its term.
        accepted: The entries are in its log, on disk.
        index: Index up to which its log agrees with the leader's; if it doesn't accept, where to try next.
    """

    term: int
    accepted: bool
    index: int

    def to_bytes(self) -> bytes:
        """Returns the message as bytes."""
        return _APPEND_REPLY.pack(_VERSION, self.term, self.accepted, self.index)

    @classmethod
    def from_bytes(cls, raw: bytes) -> AppendReply:
        """Reads the message.

        Raises:
            RequestTypeError: It is something else.
        """
        return cls(*_read(_APPEND_REPLY, raw))


@dataclass(frozen=True)
class Vote:
    """A candidate asks for a vote.

    Attributes:
        term: Term that it wants to lead in.
        candidate: Its number.
        last: Index of the last entry of its log.
        last_term: Term of that entry.
        is_trial: It only asks whether it would get the vote, so that one that can't win doesn't disturb the leader (section 9.6 of
            Ongaro's thesis, "Consensus: Bridging Theory and Practice", 2014).
    """

    term: int
    candidate: int
    last: int
    last_term: int
    is_trial: bool

    def to_bytes(self) -> bytes:
        """Returns the message as bytes."""
        return _VOTE.pack(_VERSION, self.term, self.candidate, self.last, self.last_term, self.is_trial)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Vote:
        """Reads the message.

        Raises:
            RequestTypeError: It is something else.
        """
        return cls(*_read(_VOTE, raw))


@dataclass(frozen=True)
class VoteReply:
    """What the receiver of a ``Vote`` answers.

    Attributes:
        term: Its term; of a trial that it would grant, the term that was asked for.
        granted: The candidate has its vote.
    """

    term: int
    granted: bool

    def to_bytes(self) -> bytes:
        """Returns the message as bytes."""
        return _VOTE_REPLY.pack(_VERSION, self.term, self.granted)

    @classmethod
    def from_bytes(cls, raw: bytes) -> VoteReply:
        """Reads the message.

        Raises:
            RequestTypeError: It is something else.
        """
        return cls(*_read(_VOTE_REPLY, raw))


@dataclass(frozen=True)
class Install:
    """A leader sends its snapshot, since it doesn't have the entries any more; the files follow. It is answered by an ``AppendReply``.

    Attributes:
        term: Its term.
        leader: Its number.
        index: Index of the last entry that is part of the snapshot.
        index_term: Term of that entry.
    """

    term: int
    leader: int
    index: int
    index_term: int

    def to_bytes(self) -> bytes:
        """Returns the message as bytes."""
        return _INSTALL.pack(_VERSION, self.term, self.leader, self.index, self.index_term)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Install:
        """Reads the message.

        Raises:
            RequestTypeError: It is something else.
        """
        return cls(*_read(_INSTALL, raw))


@dataclass(frozen=True)
class Resign:
    """A leader that leaves asks a follower to stand at once. There is no answer.

    Attributes:
        term: Its term.
        leader: Its number.
    """

    term: int
    leader: int

    def to_bytes(self) -> bytes:
        """Returns the message as bytes."""
        return _RESIGN.pack(_VERSION, self.term, self.leader)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Resign:
        """Reads the message.

        Raises:
            RequestTypeError: It is something else.
        """
        return cls(*_read(_RESIGN, raw))


Message: TypeAlias = 'Append | Vote | Install | Resign'
Reply: TypeAlias = 'AppendReply | VoteReply'


def _entries_as_bytes(entries: Iterable[Entry]) -> Iterable[bytes]:
    for entry in entries:
        yield _ENTRY.pack(entry.term, entry.kind, len(entry.data))
        yield entry.data


def _read_entries(raw: bytes, at: int) -> tuple[Entry, ...]:
    entries = []
    try:
        while at < len(raw):
            term, kind, size = _ENTRY.unpack_from(raw, at)
            at += _ENTRY.size
            data = raw[at : at + size]
            if len(data) != size:
                raise RequestTypeError('an entry of a replica is cut off')
            at += size
            entries.append(Entry(term, EntryKind(kind), data))
    except (struct.error, ValueError) as error:
        raise RequestTypeError(f'entries of a replica can not be read: {error}') from error
    return tuple(entries)


def _read(form: struct.Struct, raw: bytes) -> tuple[Any, ...]:
    try:
        version, *fields = form.unpack_from(raw)
    except struct.error as error:
        raise RequestTypeError(f'a message of a replica can not be read: {error}') from error
    if version != _VERSION:
        raise RequestTypeError(
            f'a replica speaks version {version} of the consensus protocol, this one version {_VERSION}',
            hint='let all replicas have the same version of the framework',
        )
    return tuple(fields)
