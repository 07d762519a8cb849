"""The methods that a gRPC server offers, whichever server calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias

if TYPE_CHECKING:
    from jina.core.calls import StatusCode
    from jina.runtime.unary_method import UnaryMethod

__all__ = ['AnyMethod', 'CallDetails', 'Context', 'Method', 'MethodTable', 'Methods']

AnyMethod: TypeAlias = 'Method | UnaryMethod'


class CallDetails(Protocol):
    """What is known of a call when it begins."""

    @property
    def method(self) -> str:
        """Full name of the method, as in ``/jina.JinaRPC/Call``."""
        ...

    @property
    def invocation_metadata(self) -> Any:
        """What the client says besides, as pairs."""
        ...


class Context(Protocol):
    """What a method may use of its call."""

    def invocation_metadata(self) -> Any:
        """Returns what the client says besides its messages, as pairs."""
        ...

    def time_remaining(self) -> float | None:
        """Returns the seconds until the client gives up; None if it never does."""
        ...

    def peer(self) -> str:
        """Returns the client's address."""
        ...

    def set_trailing_metadata(self, metadata: Sequence[tuple[str, str | bytes]], /) -> None:
        """Keeps what is sent behind the response."""
        ...

    async def abort(self, status: StatusCode, details: str = '', /) -> NoReturn:
        """Ends the call with a status."""
        ...

    async def read(self) -> Any:
        """Returns the next message, ``EOF`` after the last one."""
        ...

    async def write(self, message: bytes, /) -> None:
        """Sends a message."""
        ...


@dataclass(frozen=True)
class Method:
    """A method that a coroutine answers, or a generator.

    Attributes:
        answer: Takes the message, or an iterator over the messages, and the ``Context``. It returns the response, or yields
            the responses; a method with many responses may also write them to the context.
        request_streaming: Whether a client sends many messages.
        response_streaming: Whether it gets many.
    """

    answer: Callable[[Any, Any], Any]
    request_streaming: bool = False
    response_streaming: bool = False


class Methods(Protocol):
    """Finds what answers a call."""

    def find(self, details: CallDetails) -> AnyMethod | None:
        """Returns the method; None if somebody else may know it."""
        ...


class MethodTable:
    """Methods by their full names.

    Args:
        methods: The methods.
    """

    def __init__(self, methods: Mapping[str, AnyMethod]) -> None:
        self._methods = dict(methods)

    def find(self, details: CallDetails) -> AnyMethod | None:
        """Returns the method that a call names, if it is here."""
        return self._methods.get(details.method)
