"""Frames of the fast lane: many records of many requests in one gRPC message.

A frame is a row of records, each with a head of ten bytes (kind, flags, id, length) and a payload. A payload that is
longer than a chunk travels as a first record and ``CHUNK`` records with the same id, in several frames, between the
records of other requests; so neither gRPC's limits on messages nor a big request stand in the way of small ones.

Ids are chosen by the client, one per request. Both directions use the same records.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias, cast

from jina.core.errors import RequestTypeError
from jina.core.memory_file import FileId, MappedMessage, open_file
from jina.core.payloads import Assembly, Payload, Spliced, pieces_of, without_front
from jina.core.trace_headers import CHECKED_PARENT, PARENT, PARENT_FORM
from jina.core.wire import MESSAGE_BYTES

__all__ = [
    'CANCEL',
    'CHUNK',
    'ERROR',
    'GATHER_BYTES',
    'GATHER_FROM',
    'GOODBYE',
    'HELLO',
    'LAST_NUMBER',
    'REQUEST',
    'REQUEST_MANY',
    'RESPONSE',
    'SHARES',
    'TAKEN',
    'FrameReader',
    'FrameWriter',
    'Hello',
    'Record',
    'decode_error',
    'decode_request',
    'encode_error',
    'gather_s',
    'message_too_long',
    'request_prefix',
]

HELLO: Final = 1
"""First record of each side: a ``Hello``."""
REQUEST: Final = 2
"""A serialised ``DataRequestProto``, after what ``request_prefix`` writes."""
REQUEST_MANY: Final = 3
"""A serialised ``DataRequestListProto``, after what ``request_prefix`` writes."""
RESPONSE: Final = 4
"""A serialised ``DataRequestProto``."""
ERROR: Final = 5
"""The request failed on the way, see ``encode_error``. What an Executor raises is a RESPONSE."""
CANCEL: Final = 6
"""Nobody waits for the request any more. No payload."""
CHUNK: Final = 7
"""The next part of a payload."""
GOODBYE: Final = 8
"""The server answers what it has read, and nothing that comes later. No payload."""
SHARES: Final = 9
"""The sender can open memory files of the receiver. No payload."""
TAKEN: Final = 10
"""The sender has opened the memory file of a payload. No payload."""

MORE: Final = 1
"""Flag: the payload goes on in a CHUNK."""
_DEADLINE: Final = 2
"""Flag: the payload starts with the milliseconds that the caller still waits."""
_METADATA: Final = 4
"""Flag: metadata stand before the request, after the deadline."""
_SHARED: Final = 8
"""Flag: instead of the payload, a ``_FILE`` and what stands before the message, which lies in a memory file."""

VERSION: Final = 1
LAST_NUMBER: Final = (1 << 32) - 1
"""The highest id of a request."""
GATHER_FROM: Final = 4
"""From so many requests under way, a side waits a moment after each frame. A message costs a process more than the work for
several small requests: what the next frame gathers meanwhile makes all of them faster, the waiting ones too."""
_GATHER_EACH_S: Final = 0.0004
_GATHER_MOST_S: Final = 0.003
GATHER_BYTES: Final = 1 << 14
"""It doesn't wait while more than this is to be sent."""
FRAME_BYTES: Final = 1 << 19
CHUNK_BYTES: Final = 1 << 19
_WHOLE_BYTES: Final = 1 << 15
"""Payloads longer than this aren't copied to stand behind their heads, nor out of the frames that they come in."""
_LARGE_AT_ONCE: Final = 4
"""Payloads that are cut into chunks at the same time. The others wait: the receiver has to keep unfinished ones."""

_CONTROL_BYTES: Final = 1 << 16
"""Hello and error messages have this size at most; a limit on requests doesn't apply to them."""

_HEAD: Final = Struct('<BBII')
_HEAD_SIZE: Final = _HEAD.size
_LENGTH: Final = Struct('<I')
_FILE: Final = Struct('<IQQQ')
"""Number of the file in its process, its inode and its size, and where the message goes on in it."""
_LONGEST_MS: Final = 0xFFFFFFFF
_PARENT_HEAD: Final = _LENGTH.pack(75) + b'[["traceparent","'
"""What stands before the value of a ``traceparent`` that is all the metadata of a request."""
_PARENT_TAIL: Final = b'"]]'
_PARENT_BLOCK: Final = re.compile(
    re.escape(_PARENT_HEAD) + b'(' + PARENT_FORM.pattern.encode() + b')' + re.escape(_PARENT_TAIL)
)

Record: TypeAlias = 'tuple[int, int, int, Any]'
"""Kind, id, flags, payload. The payload of a record that was cut into chunks is whole again."""


@dataclass(frozen=True)
class Hello:
    """What a side says about itself.

    Attributes:
        version: Version of these frames that it speaks at most.
        oldest: Version that it speaks at least.
        window: Client: requests under way that it wants, 0 for no limit, None for what the server allows. Server:
            requests under way that it allows, 0 for no limit.
        message_bytes: Bytes that it takes in a payload, and in a frame.
        door: Server: where clients of its machine find it, see ``jina.core.local_stream``.
        probe: Number and inode of a memory file of this process, see ``jina.core.sharing``; None if it has none.
    """

    version: int = VERSION
    oldest: int = VERSION
    window: int | None = None
    message_bytes: int = MESSAGE_BYTES
    door: str = ''
    probe: FileId | None = None

    def to_bytes(self) -> bytes:
        """Serialises it; fields that a later version adds are ignored by this one."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Hello:
        """Reads it.

        Raises:
            RequestTypeError: The bytes are something else.
        """
        try:
            found: Any = json.loads(raw)
            window = found.get('window')
            return cls(
                int(found['version']),
                int(found['oldest']),
                None if window is None else max(0, int(window)),
                max(0, int(found.get('message_bytes', MESSAGE_BYTES))),
                str(found.get('door', '')),
                FileId(*map(int, found['probe'])) if found.get('probe') else None,
            )
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise RequestTypeError(f'{raw[:100]!r} is no hello of the fast lane: {error!r}') from error

    def understands(self, other: Hello) -> bool:
        """Whether there is a version that both speak."""
        return self.oldest <= other.version and other.oldest <= self.version


def gather_s(under_way: int) -> float:
    """Returns the seconds to wait after a frame: with few callers less than they notice."""
    return min(under_way * _GATHER_EACH_S, _GATHER_MOST_S)


class FrameWriter:
    """Collects records, and packs as many of them as fit into each frame.

    Args:
        frame_bytes: Size at which a frame is full; it may be longer by one small record or one chunk.
        chunk_bytes: Payloads longer than this are cut.

    Attributes:
        size: Bytes that wait.
        shares: Whether the receiver opens memory files of this process.
    """

    def __init__(self, frame_bytes: int = FRAME_BYTES, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.size = 0
        self.shares = False
        self._lent: dict[int, Spliced] = {}
        self._frame_bytes = frame_bytes
        self._chunk_bytes = chunk_bytes
        self._small: deque[bytes] = deque()
        self._large: deque[_Large] = deque()

    def __bool__(self) -> bool:
        return bool(self._small or self._large)

    def add(self, kind: int, number: int, payload: Payload = b'', flags: int = 0, prefix: bytes = b'') -> None:
        """Queues a record.

        Args:
            kind: Its kind.
            number: The id of the request.
            payload: The payload, which isn't copied if it is long.
            flags: Its flags.
            prefix: What stands before the payload.
        """
        if self.shares and isinstance(payload, Spliced) and isinstance(payload.owner, MappedMessage):
            front = prefix + payload.front
            if _FILE.size + len(front) <= self._chunk_bytes:
                self._lent[number] = payload
                file = payload.owner.file
                prefix = _FILE.pack(file.number, file.inode, len(payload.owner), payload.start)
                payload, flags = front, flags | _SHARED
        size = len(prefix) + len(payload)
        if size > self._chunk_bytes or size > _WHOLE_BYTES:
            self._large.append(_Large(kind, number, flags, prefix, payload))
            self.size += size
            return
        head = _HEAD.pack(kind, flags, number, size)
        if type(payload) is Spliced:
            self._small.append(b''.join((head, prefix, payload.front, payload.back)))
        else:
            self._small.append(head + prefix + payload if prefix else head + payload)  # type: ignore[operator]
        self.size += size + _HEAD_SIZE

    def taken(self, number: int) -> None:
        """Notes that the receiver has opened the memory file of a payload."""
        self._lent.pop(number, None)

    def limit(self, message_bytes: int) -> list[tuple[int, int]]:
        """Keeps frames within a limit. To be called before the first one is taken.

        Returns:
            Number and size of each payload that is longer than the limit; they are forgotten.
        """
        # The longest frame is nearly full, and gets a small record and a chunk.
        third = max(message_bytes // 3, _HEAD_SIZE + 1)
        self._frame_bytes = min(self._frame_bytes, third)
        self._chunk_bytes = min(self._chunk_bytes, third - _HEAD_SIZE)
        small, self._small = self._small, deque()
        too_long = [large for large in self._large if large.left > message_bytes]
        for large in too_long:
            self._large.remove(large)
        self.size = sum(large.left for large in self._large)
        refused = [(large.number, large.left) for large in too_long]
        for record in small:
            kind, flags, number, size = _HEAD.unpack_from(record)
            if kind == HELLO:
                self._small.append(record)  # first and whole, whatever the limit
                self.size += len(record)
            elif size > message_bytes:
                refused.append((number, size))
            else:
                self.add(kind, number, record[_HEAD_SIZE:], flags)
        return refused

    def drop(self, number: int) -> bool:
        """Forgets the rest of a long payload; small records stay.

        Returns:
            True if the receiver has got nothing of it.
        """
        for large in self._large:
            if large.number == number:
                self._large.remove(large)
                self.size -= large.left
                return not large.started
        return False

    def take(self) -> bytes | None:
        """Returns the next frame, None if nothing waits."""
        parts = self.pieces()
        if parts is None:
            return None
        if self._large:  # a frame costs more here than a copy: whole payloads that fit into this one come with it
            parts = list(parts)
            size = sum(map(len, parts))
            while self._next_is_whole() and size + self._large[0].left <= self._frame_bytes:
                size += self._add_chunk(parts)
        return b''.join(parts)

    def pieces(self) -> Sequence[bytes | memoryview] | None:
        """The same as ``take``, for who needs no single ``bytes`` object."""
        small, limit = self._small, self._frame_bytes
        if not self._large and self.size <= limit:
            if not small:
                return None
            whole = (b''.join(small),)
            small.clear()
            self.size = 0
            return whole
        parts: list[bytes | memoryview] = []
        size = 0
        while small and size < limit:
            part = small.popleft()
            parts.append(part)
            size += len(part)
        self.size -= size
        # A chunk in each frame, however many small records wait: neither kind may starve the other.
        if self._large:
            self._add_chunk(parts)
        return parts

    def _next_is_whole(self) -> bool:
        return bool(self._large) and not self._large[0].started and self._large[0].left <= self._chunk_bytes

    def _add_chunk(self, parts: list[bytes | memoryview]) -> int:
        large = self._large.popleft()
        kind, flags = (CHUNK, 0) if large.started else (large.kind, large.flags)
        size, chunk = large.cut(self._chunk_bytes)
        self.size -= size
        if large.left:
            flags |= MORE
            # Takes turns with those that are under way, before those that have not begun.
            self._large.insert(min(_LARGE_AT_ONCE - 1, len(self._large)), large)
        parts.append(_HEAD.pack(kind, flags, large.number, size))
        parts += chunk
        return size


class _Large:
    """A payload that is cut into chunks."""

    __slots__ = ('_pieces', 'flags', 'kind', 'left', 'number', 'started')

    def __init__(self, kind: int, number: int, flags: int, prefix: bytes, payload: Payload) -> None:
        self.kind = kind
        self.number = number
        self.flags = flags
        self.started = False
        self.left = len(prefix) + len(payload)
        self._pieces = deque(memoryview(piece) for piece in (prefix, *pieces_of(payload)) if piece)

    def cut(self, most: int) -> tuple[int, list[memoryview]]:
        """Takes the next chunk: its size, and the pieces that it consists of."""
        self.started = True
        size = min(most, self.left)
        self.left -= size
        found: list[memoryview] = []
        wanted = size
        while wanted:
            piece = self._pieces.popleft()
            if len(piece) > wanted:
                self._pieces.appendleft(piece[wanted:])
                piece = piece[:wanted]
            found.append(piece)
            wanted -= len(piece)
        return size, found


class FrameReader:
    """Takes frames apart, and puts the chunks of long payloads together.

    Args:
        message_bytes: Bytes that a payload may have, as the hello of this side says.

    Attributes:
        owner: Id of the process at the other end, whose memory files are opened; None if they can't be.
        opened: Ids of payloads whose memory files were opened, to be told to the other end.
    """

    def __init__(self, message_bytes: int = MESSAGE_BYTES) -> None:
        self._message_bytes = max(message_bytes, _CONTROL_BYTES)
        self.owner: int | None = None
        self.opened: list[int] = []
        self._parts: dict[int, _Unfinished] = {}

    @property
    def unfinished(self) -> int:
        """How many long payloads have come in part."""
        return len(self._parts)

    def read(self, frame: bytes) -> list[Record]:
        """Returns the records that are complete with this frame, in their order.

        Raises:
            RequestTypeError: The frame is damaged.
        """
        records: list[Record] = []
        position, end = 0, len(frame)
        unpack = _HEAD.unpack_from
        try:
            while position < end:
                kind, flags, number, size = unpack(frame, position)
                position += _HEAD_SIZE
                stop = position + size
                if stop > end:
                    raise _damaged(f'a record of {size} bytes ends behind its frame of {end} bytes')
                if kind == CHUNK or flags & MORE:
                    record = self._collect(kind, flags, number, memoryview(frame)[position:stop])
                    if record is not None:
                        records.append(record)
                else:
                    if kind == CANCEL:
                        self._parts.pop(number, None)
                    if flags & _SHARED:
                        records.append((kind, number, flags & ~_SHARED, self._open(number, frame[position:stop])))
                    elif stop == end and size > _WHOLE_BYTES:
                        records.append((kind, number, flags, without_front(frame, position)))
                    else:
                        records.append((kind, number, flags, frame[position:stop]))
                position = stop
        except ValueError as error:
            raise _damaged(str(error)) from error
        except Exception as error:
            if isinstance(error, RequestTypeError):
                raise
            raise _damaged(f'{end - position} bytes at the end of a frame are no record') from error
        return records

    def drop(self, number: int) -> None:
        """Forgets what has come of a long payload; its other chunks are left out."""
        self._parts.pop(number, None)

    def _open(self, number: int, payload: bytes) -> Spliced:
        """Returns a payload that lies in a memory file."""
        file, inode, size, start = _FILE.unpack_from(payload)
        if self.owner is None or start > size or size - start > self._message_bytes:
            raise _damaged(f'a memory file of {size} bytes is not wanted')
        try:
            owner = open_file(self.owner, FileId(file, inode), size)
        except OSError as error:
            raise _damaged(f'a memory file is not there: {error}') from error
        self.opened.append(number)
        return Spliced(payload[_FILE.size :], cast('bytes', owner), start)

    def _collect(self, kind: int, flags: int, number: int, part: memoryview) -> Record | None:
        if kind != CHUNK:
            if number in self._parts:
                raise _damaged(f'a second payload has the number {number} before the first is complete')
            assembly = Assembly(part, _prefix_size(flags, part))
            self._parts[number] = _Unfinished(kind, flags & ~MORE, assembly)
            return None
        found = self._parts.get(number)
        if found is None:
            return None  # of a request that was cancelled
        found.assembly.add(part)
        if len(found.assembly) > self._message_bytes:
            raise _damaged(f'a payload is longer than {self._message_bytes} bytes')
        if flags & MORE:
            return None
        del self._parts[number]
        return found.kind, number, found.flags, found.assembly.finish()


class _Unfinished(NamedTuple):
    """A payload that has come in part."""

    kind: int
    flags: int
    assembly: Assembly


def request_prefix(timeout: float | None, metadata: Sequence[tuple[str, str]]) -> tuple[int, bytes]:
    """Returns the flags of a request, and what stands before it in the payload.

    Args:
        timeout: Seconds that the caller still waits; None for no limit.
        metadata: Metadata of this request.
    """
    flags, prefix = 0, b''
    if timeout is not None:
        flags = _DEADLINE
        prefix = _LENGTH.pack(min(max(int(timeout * 1000), 0), _LONGEST_MS))
    if metadata:
        flags |= _METADATA
        prefix += _trace_block(metadata) or _metadata_block(tuple(metadata))
    return flags, prefix


def _trace_block(metadata: Sequence[tuple[str, str]]) -> bytes:
    """Returns the block of what most metadata are, the place of a request in its trace: another one for each request."""
    if len(metadata) != 1:
        return b''
    ((key, value),) = metadata
    if key is not CHECKED_PARENT and (key != PARENT or PARENT_FORM.fullmatch(value) is None):
        return b''
    return _PARENT_HEAD + value.encode() + _PARENT_TAIL


@lru_cache(maxsize=1000)
def _metadata_block(metadata: tuple[tuple[str, str], ...]) -> bytes:
    block = json.dumps(metadata, separators=(',', ':')).encode()
    return _LENGTH.pack(len(block)) + block


def decode_request(flags: int, payload: Payload) -> tuple[float | None, Sequence[tuple[str, str]], Payload]:
    """Reads a request: timeout in seconds, metadata, and the serialised request itself.

    Raises:
        RequestTypeError: The payload is damaged.
    """
    if not flags & (_DEADLINE | _METADATA):
        return None, (), payload
    timeout: float | None = None
    metadata: Sequence[tuple[str, str]] = ()
    position = 0
    front = payload.front if isinstance(payload, Spliced) else payload
    try:
        if flags & _DEADLINE:
            timeout = _LENGTH.unpack_from(front)[0] / 1000
            position = _LENGTH.size
        if flags & _METADATA:
            found = _PARENT_BLOCK.match(front, position)
            if found is not None:
                return timeout, ((CHECKED_PARENT, str(found[1], 'ascii')),), without_front(payload, found.end())
            start = position + _LENGTH.size
            position = start + _LENGTH.unpack_from(front, position)[0]
            metadata = _read_metadata(front[start:position])
    except Exception as error:
        raise _damaged(f'what stands before a request is unreadable: {error!r}') from error
    return timeout, metadata, without_front(payload, position)


def _prefix_size(flags: int, start: memoryview) -> int:
    """Returns how long what stands before a request is; anything if it is damaged."""
    size = _LENGTH.size if flags & _DEADLINE else 0
    if flags & _METADATA:
        block = start[size : size + _LENGTH.size]
        size += _LENGTH.size + (_LENGTH.unpack(block)[0] if len(block) == _LENGTH.size else 0)
    return size


@lru_cache(maxsize=1000)
def _read_metadata(block: bytes) -> tuple[tuple[str, str], ...]:
    return tuple((str(key), str(value)) for key, value in json.loads(block))


def encode_error(code: str, message: str) -> bytes:
    """Returns the payload of an ERROR.

    Args:
        code: Name of a ``grpc.StatusCode``.
        message: What happened.
    """
    return f'{code}\n{message}'.encode('utf-8', 'backslashreplace')


def decode_error(payload: bytes) -> tuple[str, str]:
    """Reads code and message of an ERROR."""
    code, _, message = payload.decode('utf-8', 'replace').partition('\n')
    return code, message


def message_too_long(size: int, most: int) -> str:
    """Returns what is said of a payload beyond a limit, which begins like gRPC's own words for a message."""
    if most == MESSAGE_BYTES:
        what = 'the longest message of protobuf; send fewer documents in a request'
    else:
        what = 'grpc.max_send_message_length here, or grpc.max_receive_message_length there'
    return f'Sent message larger than max ({size} vs. {most}), {what}'


def _damaged(what: str) -> RequestTypeError:
    return RequestTypeError(f'a frame of the fast lane is damaged: {what}')
