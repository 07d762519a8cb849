"""Frames of HTTP/2 (RFC 9113, sections 4 and 6): their numbers, and how they are written."""

from __future__ import annotations

from struct import Struct
from typing import Final

PREFACE: Final = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
"""What a client begins with."""

HEAD: Final = Struct('>HBBBI')
"""Beginning of a frame: length in two parts, type, flags, stream."""
HEAD_BYTES: Final = HEAD.size

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 1
ACK: Final = 1
END_HEADERS: Final = 4
PADDED: Final = 8
WITH_PRIORITY: Final = 0x20

HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6

NO_ERROR: Final = 0
PROTOCOL_ERROR: Final = 1
FLOW_CONTROL_ERROR: Final = 3
FRAME_SIZE_ERROR: Final = 6
REFUSED_STREAM: Final = 7
CANCEL: Final = 8
COMPRESSION_ERROR: Final = 9
ENHANCE_YOUR_CALM: Final = 11
INADEQUATE_SECURITY: Final = 12

DEFAULT_WINDOW: Final = (1 << 16) - 1
"""Bytes that may be sent at the beginning, on a connection and on a stream."""
LARGEST_WINDOW: Final = (1 << 31) - 1
DEFAULT_FRAME_BYTES: Final = 1 << 14
"""Content that a frame may have unless settings say more."""
MOST_FRAME_BYTES: Final = (1 << 24) - 1
STREAM_MASK: Final = (1 << 31) - 1

_NUMBER: Final = Struct('>I')
_SETTING: Final = Struct('>HI')
_TWO_NUMBERS: Final = Struct('>II')


class ConnectionFault(Exception):
    """A client breaks the rules, so that nothing more can be said on its connection.

    Args:
        code: Error code of HTTP/2.
        message: What is wrong.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def frame(kind: int, flags: int, stream: int, content: bytes = b'') -> bytes:
    """Returns a frame."""
    size = len(content)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + content


def settings(values: dict[int, int]) -> bytes:
    """Returns a frame with settings."""
    return frame(SETTINGS, 0, 0, b''.join(_SETTING.pack(*item) for item in values.items()))


def window_update(stream: int, increment: int) -> bytes:
    """Returns a frame that lets the other side send more."""
    return frame(WINDOW_UPDATE, 0, stream, _NUMBER.pack(increment))


def reset(stream: int, code: int) -> bytes:
    """Returns a frame that ends a stream at once."""
    return frame(RST_STREAM, 0, stream, _NUMBER.pack(code))


def goaway(last: int, code: int, message: str = '') -> bytes:
    """Returns a frame that says which stream was the last to be served."""
    return frame(GOAWAY, 0, 0, _TWO_NUMBERS.pack(last, code) + message.encode()[:512])


def read_settings(content: bytes) -> list[tuple[int, int]]:
    """Returns the settings in a frame.

    Raises:
        ConnectionFault: It has another length.
    """
    if len(content) % _SETTING.size:
        raise ConnectionFault(FRAME_SIZE_ERROR, 'a frame of settings ends in the middle of one')
    return list(_SETTING.iter_unpack(content))


def read_number(content: bytes) -> int:
    """Returns the one number that a frame consists of.

    Raises:
        ConnectionFault: It has another length.
    """
    if len(content) != _NUMBER.size:
        raise ConnectionFault(FRAME_SIZE_ERROR, f'a frame of {len(content)} bytes should have {_NUMBER.size}')
    number: int = _NUMBER.unpack(content)[0]
    return number


def unpadded(content: bytes, flags: int) -> bytes:
    """Returns the content of a DATA or HEADERS frame without padding and priority.

    Raises:
        ConnectionFault: There is more padding than content.
    """
    start, end = 0, len(content)
    if flags & PADDED:
        start, end = 1, end - content[0] if content else -1
    if flags & WITH_PRIORITY:
        start += 5
    if start > end:
        raise ConnectionFault(PROTOCOL_ERROR, 'a frame has more padding than content')
    return content[start:end]


def read_goaway(content: bytes) -> tuple[int, int, str]:
    """Returns the last stream that the other side serves, its error code and what it says about it.

    Raises:
        ConnectionFault: The frame is too short.
    """
    if len(content) < _TWO_NUMBERS.size:
        raise ConnectionFault(FRAME_SIZE_ERROR, f'a frame of {len(content)} bytes says goodbye')
    last, code = _TWO_NUMBERS.unpack_from(content)
    return last & STREAM_MASK, code, content[_TWO_NUMBERS.size :].decode(errors='replace')
