"""How replicas reach each other: gRPC calls whose messages are the bytes of ``messages``."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final, Protocol

import grpc
import grpc.aio
from jina.core.errors import JinaError, PortInUseError, RequestTypeError, TransportError
from jina.runtime.raft.messages import Append, AppendReply, EntryKind, Install, Resign, Vote, VoteReply

__all__ = ['Answers', 'NotLeaderError', 'Peer', 'PeerServer']

_SERVICE: Final = 'jina.raft.Replica'
_ANSWER_S: Final = 5.0
"""An answer that takes longer doesn't come."""
_INSTALL_S: Final = 600.0
_UNLIMITED: Final = [('grpc.max_receive_message_length', -1), ('grpc.max_send_message_length', -1)]
_CHANNEL: Final = [
    *_UNLIMITED,
    ('grpc.enable_http_proxy', 0),
    ('grpc.use_local_subchannel_pool', 1),
    ('grpc.initial_reconnect_backoff_ms', 100),
    ('grpc.min_reconnect_backoff_ms', 100),
    ('grpc.max_reconnect_backoff_ms', 500),
    # a machine that is gone says nothing; without these TCP waits for it for a quarter of an hour
    ('grpc.keepalive_time_ms', 5000),
    ('grpc.keepalive_timeout_ms', 5000),
    ('grpc.http2.max_pings_without_data', 0),
]
_SERVER: Final = [*_UNLIMITED, ('grpc.so_reuseport', 0), ('grpc.http2.min_ping_interval_without_data_ms', 2500)]
_RENEW_S: Final = 5.0
"""A replica that can't be reached for so long may be elsewhere now. gRPC asks for its address again after up to two minutes."""
_NO_ANSWER: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_UNARY: Final = ('append', 'vote', 'resign', 'submit')
_SUBMIT: Final = struct.Struct('<B')
_OUTCOME: Final = struct.Struct('<?q')
_LOOPBACK: Final = ('127.0.0.1', 'localhost', '::1', '[::1]')


class NotLeaderError(TransportError):
    """The replica that was asked doesn't lead, or not any more; the command may have to be given to another one."""


class Answers(Protocol):
    """What a replica answers the others."""

    async def append(self, message: Append) -> AppendReply:
        """Answer a leader, when everything that was accepted is on disk."""
        ...

    async def vote(self, message: Vote) -> VoteReply:
        """Answer a candidate."""
        ...

    async def resign(self, message: Resign) -> None:
        """Take the place of a leader that leaves."""
        ...

    async def install(self, message: Install, pieces: AsyncIterator[bytes]) -> AppendReply:
        """Take a snapshot."""
        ...

    async def submit(self, kind: EntryKind, command: bytes, timeout: float | None) -> tuple[int, bytes]:
        """Have a command committed and applied here, as the leader; returns its index and what it gave."""
        ...


class _Link:
    """A connection, with the number of calls under way on it."""

    def __init__(self, address: str) -> None:
        channel: Any = grpc.aio.insecure_channel(address, options=_CHANNEL)
        self.channel = channel
        self.unary = {name: channel.unary_unary(f'/{_SERVICE}/{name}') for name in _UNARY}
        self.install = channel.stream_unary(f'/{_SERVICE}/install')
        self.calls = 0


class Peer:
    """Another replica.

    Args:
        address: Its ``host:port``.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._link = _Link(address)
        self._reached = time.monotonic()

    async def _call(self, method: str, message: bytes, timeout: float | None) -> bytes:
        async with self._linked() as link:
            answer: bytes = await link.unary[method](message, timeout=timeout)
        return answer

    @contextlib.asynccontextmanager
    async def _linked(self) -> AsyncIterator[_Link]:
        """The connection for a call. If the replica has been out of reach for a while, the next call has another one."""
        link = self._link
        link.calls += 1
        try:
            yield link
            self._reached = time.monotonic()
        except grpc.aio.AioRpcError as error:
            now = time.monotonic()
            if error.code() not in _NO_ANSWER:
                self._reached = now
            elif now > self._reached + _RENEW_S and link is self._link:
                self._reached = now
                self._link = _Link(self._address)
            raise
        finally:
            link.calls -= 1
            if link is not self._link and not link.calls:
                await link.channel.close()

    async def append(self, message: Append) -> AppendReply:
        """Sends entries.

        Raises:
            grpc.RpcError: There is no answer.
            RequestTypeError: The answer can't be read.
        """
        return AppendReply.from_bytes(await self._call('append', message.to_bytes(), _ANSWER_S))

    async def vote(self, message: Vote) -> VoteReply:
        """Asks for a vote; raises as ``append``."""
        return VoteReply.from_bytes(await self._call('vote', message.to_bytes(), _ANSWER_S))

    async def resign(self, message: Resign) -> None:
        """Asks it to lead; raises as ``append``."""
        await self._call('resign', message.to_bytes(), _ANSWER_S)

    async def install(self, message: Install, pieces: Iterator[bytes]) -> AppendReply:
        """Sends a snapshot; raises as ``append``.

        Args:
            message: What it is.
            pieces: Its files, which are read in another thread.
        """

        async def stream() -> AsyncIterator[bytes]:
            yield message.to_bytes()
            while piece := await asyncio.to_thread(next, pieces, b''):
                yield piece

        async with self._linked() as link:
            answer = await link.install(stream(), timeout=_INSTALL_S)
        return AppendReply.from_bytes(answer)

    async def submit(self, kind: EntryKind, command: bytes, timeout: float | None) -> tuple[int, bytes]:
        """Has it commit a command as the leader.

        Raises:
            NotLeaderError: It doesn't lead, or can't be reached.
        """
        try:
            raw = await self._call('submit', _SUBMIT.pack(kind) + command, timeout)
        except grpc.RpcError as error:
            raise NotLeaderError(f'the leader does not answer: {error.details()}') from error
        is_done, index = _OUTCOME.unpack_from(raw)
        if not is_done:
            raise NotLeaderError('the replica that was asked does not lead')
        return index, raw[_OUTCOME.size :]

    async def close(self) -> None:
        """Closes the connection."""
        await self._link.channel.close()


class PeerServer:
    """Answers other replicas.

    Args:
        address: The own ``host:port``. With a name of this machine alone, nobody else can connect.
        answers: What answers.
        owner: Whose port it is, for messages.
    """

    def __init__(self, address: str, answers: Answers, owner: str) -> None:
        self._address = address
        self._answers = answers
        self._owner = owner
        self._server = grpc.aio.server(options=_SERVER)

    async def start(self) -> None:
        """Binds the port.

        Raises:
            PortInUseError: Another process listens there.
        """
        host, _, port = self._address.rpartition(':')
        bind = '127.0.0.1' if host in _LOOPBACK else '0.0.0.0'
        try:
            bound = self._server.add_insecure_port(f'{bind}:{port}')
        except RuntimeError as error:
            raise PortInUseError(int(port), self._owner) from error
        if not bound:
            raise PortInUseError(int(port), self._owner)
        unary = grpc.unary_unary_rpc_method_handler
        handlers = {
            'append': unary(_answering(self._append)),
            'vote': unary(_answering(self._vote)),
            'resign': unary(_answering(self._resign)),
            'install': grpc.stream_unary_rpc_method_handler(_answering(self._install)),
            'submit': unary(_answering(self._submit)),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
        await self._server.start()

    async def stop(self, grace: float | None = None) -> None:
        """Stops; calls in flight have ``grace`` seconds."""
        await self._server.stop(grace)

    async def _append(self, raw: bytes, _: Any) -> bytes:
        return (await self._answers.append(Append.from_bytes(raw))).to_bytes()

    async def _vote(self, raw: bytes, _: Any) -> bytes:
        return (await self._answers.vote(Vote.from_bytes(raw))).to_bytes()

    async def _resign(self, raw: bytes, _: Any) -> bytes:
        await self._answers.resign(Resign.from_bytes(raw))
        return b''

    async def _install(self, stream: AsyncIterator[bytes], _: Any) -> bytes:
        first = await anext(aiter(stream), b'')
        return (await self._answers.install(Install.from_bytes(first), stream)).to_bytes()

    async def _submit(self, raw: bytes, context: Any) -> bytes:
        try:
            kind = EntryKind(raw[0])
        except (IndexError, ValueError) as error:
            raise RequestTypeError('a command of a replica can not be read') from error
        try:
            index, given = await self._answers.submit(kind, raw[_SUBMIT.size :], context.time_remaining())
        except NotLeaderError:
            return _OUTCOME.pack(False, 0)
        return _OUTCOME.pack(True, index) + given


def _answering(answer: Callable[[Any, Any], Awaitable[bytes]]) -> Callable[[Any, Any], Awaitable[bytes]]:
    """Ends a call with the status of an error of ours."""

    async def handle(request: Any, context: Any) -> bytes:
        try:
            return await answer(request, context)
        except JinaError as error:
            await context.abort(grpc.StatusCode[error.grpc_code], str(error))
            raise

    return handle
