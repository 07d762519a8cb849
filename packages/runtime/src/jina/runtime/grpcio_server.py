"""The server of grpcio, for what only it has: TLS, compressed responses, unusual options. Only who needs it imports this."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from inspect import isasyncgenfunction
from typing import Any, Final, NoReturn

import grpc
import grpc.aio
from jina.core.calls import EOF, BrokenCallError, StatusCode
from jina.core.errors import PortInUseError
from jina.runtime.methods import Methods

__all__ = ['GrpcioMethods', 'GrpcioServer']

_EOF: Final[Any] = grpc.aio.EOF  # type: ignore[attr-defined,unused-ignore]
_HANDLERS: Final[dict[tuple[bool, bool], Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class GrpcioServer:
    """Serves methods by ``grpc.aio``.

    Args:
        options: Options of the server.
        compression: Compression of responses: ``Deflate`` or ``Gzip``; None for none.
        pair: Key and certificates as PEM; None without TLS.
    """

    def __init__(
        self, options: Sequence[tuple[str, object]], compression: str | None, pair: tuple[bytes, bytes] | None
    ) -> None:
        chosen = None if compression is None else grpc.Compression[compression]
        self._server = grpc.aio.server(options=options, compression=chosen)
        self._pair = pair

    def add_methods(self, methods: Sequence[Methods]) -> None:
        """Adds what answers calls; the first that knows a method has it."""
        self._server.add_generic_rpc_handlers((GrpcioMethods(methods),))

    def bind(self, host: str, port: int, name: str) -> int:
        """Binds a port of a host.

        Args:
            host: Address or name.
            port: 0 for any that is free.
            name: Name of the process, for errors.

        Returns:
            The port.

        Raises:
            PortInUseError: It can't be bound.
        """
        host = f'[{host}]' if ':' in host and not host.startswith('[') else host
        address = f'{host}:{port}'
        try:
            if self._pair is None:
                bound: int = self._server.add_insecure_port(address)
            else:
                bound = self._server.add_secure_port(address, grpc.ssl_server_credentials([self._pair]))
        except RuntimeError as error:
            raise PortInUseError(port, name) from error
        if bound == 0:
            raise PortInUseError(port, name)
        return bound

    async def start(self) -> None:
        """Begins to serve."""
        await self._server.start()

    async def stop(self, grace: float | None) -> None:
        """Refuses new calls, and cancels those in flight after ``grace`` seconds; None cancels them at once."""
        await self._server.stop(grace)


class GrpcioMethods(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Methods as a server of grpcio takes them.

    Args:
        methods: The first that knows a method has it.
    """

    def __init__(self, methods: Sequence[Methods]) -> None:
        self._methods = tuple(methods)

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """Returns what answers a call; None if nobody knows its method."""
        for methods in self._methods:
            method = methods.find(details)
            if method is not None:
                break
        else:
            return None
        make = _HANDLERS[method.request_streaming, method.response_streaming]
        return make((_generating if isasyncgenfunction(method.answer) else _awaiting)(method.answer))


# grpcio looks at a function to learn how to call it: these are what the functions in them are.


def _awaiting(answer: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    async def handle(request: Any, context: Any) -> Any:
        return await answer(request, _Context(context))

    return handle


def _generating(answer: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    async def handle(request: Any, context: Any) -> AsyncIterator[bytes]:
        async with aclosing(answer(request, _Context(context))) as messages:
            async for message in messages:
                yield message

    return handle


class _Context:
    """A ``Context`` of grpcio's server."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.invocation_metadata = context.invocation_metadata
        self.time_remaining = context.time_remaining
        self.peer = context.peer
        self.set_trailing_metadata = context.set_trailing_metadata

    async def abort(
        self, status: StatusCode, details: str = '', trailing_metadata: Sequence[tuple[str, str | bytes]] = ()
    ) -> NoReturn:
        await self._context.abort(status.to_grpc(), details, trailing_metadata)
        raise AssertionError('abort raises')  # pragma: no cover

    async def read(self) -> Any:
        message = await self._context.read()
        return EOF if message is _EOF else message

    async def write(self, message: bytes) -> None:
        try:
            await self._context.write(message)
        except grpc.aio.InternalError as error:
            raise BrokenCallError(str(error)) from error
