"""Length-prefixed messages over a Unix stream socket, optionally with file descriptors."""

from __future__ import annotations

import array
import socket
import struct

_LENGTH = struct.Struct('!Q')
_MAX_FDS = 8


def send_frame(sock: socket.socket, payload: bytes, fds: tuple[int, ...] = ()) -> None:
    """Send one message; the descriptors travel with its first byte.

    Raises:
        OSError: The other side is gone.
    """
    header = _LENGTH.pack(len(payload))
    if fds:
        sent = socket.send_fds(sock, [header], list(fds))
        header = header[sent:]
    sock.sendall(header + payload if len(payload) < 65536 else header)
    if len(payload) >= 65536:
        sock.sendall(payload)


def recv_frame(sock: socket.socket) -> tuple[bytes, list[int]] | None:
    """Receive one whole message and its descriptors (close-on-exec), or None at end of file.

    Raises:
        OSError: The connection was reset.
    """
    header = b''
    fds: list[int] = []
    while len(header) < _LENGTH.size:
        chunk, received = _recv_with_fds(sock, _LENGTH.size - len(header))
        fds += received
        if not chunk:
            return None
        header += chunk
    (left,) = _LENGTH.unpack(header)
    chunks: list[bytes] = []
    while left:
        chunk = sock.recv(min(left, 1 << 20))
        if not chunk:
            return None
        chunks.append(chunk)
        left -= len(chunk)
    return b''.join(chunks), fds


def _recv_with_fds(sock: socket.socket, size: int) -> tuple[bytes, list[int]]:
    # socket.recv_fds leaves the descriptors inheritable on some versions; MSG_CMSG_CLOEXEC exists on Linux only
    flags = getattr(socket, 'MSG_CMSG_CLOEXEC', 0)
    numbers = array.array('i')
    data, ancillary, _, _ = sock.recvmsg(size, socket.CMSG_LEN(_MAX_FDS * numbers.itemsize), flags)
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(value[: len(value) - len(value) % numbers.itemsize])
    return data, list(numbers)
