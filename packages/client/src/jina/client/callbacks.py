"""Functions of the user that are called with each response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from jina.core.errors import CallbackError, ClientError
from jina.core.request import Response

__all__ = ['Callback', 'Callbacks']

Callback = Callable[[Response], Any]
"""Takes one response; an ``async def`` function is awaited."""


@dataclass(frozen=True)
class Callbacks:
    """The callbacks of one call."""

    on_done: Callback | None = None
    """Called when no Executor failed."""
    on_error: Callback | None = None
    """Called when an Executor failed; the error isn't raised then."""
    on_always: Callback | None = None
    """Called in both cases, last."""

    def __post_init__(self) -> None:
        for name in ('on_done', 'on_error', 'on_always'):
            function = getattr(self, name)
            if function is not None and not callable(function):
                raise ClientError(
                    f'{name} is a {type(function).__name__}: {function!r}', hint='give a function of one argument'
                )

    def __bool__(self) -> bool:
        return bool(self.on_done or self.on_error or self.on_always)

    @property
    def consume(self) -> bool:
        """True if the callbacks take the results, so that the call returns none."""
        return bool(self.on_done or self.on_always)

    def run(self, response: Response) -> list[tuple[Callback, Awaitable[Any]]]:
        """Calls the functions that fit the response.

        Returns:
            What the caller has still to await: the results of ``async def`` functions, each with its function.

        Raises:
            CallbackError: A function raised.
        """
        outcome = self.on_error if response.is_error else self.on_done
        pending: list[tuple[Callback, Awaitable[Any]]] = []
        for function in (outcome, self.on_always):
            if function is None:
                continue
            try:
                result = function(response)
            except Exception as error:
                raise _failure(function, error) from error
            if isawaitable(result):
                pending.append((function, result))
        return pending

    @staticmethod
    async def finish(pending: list[tuple[Callback, Awaitable[Any]]]) -> None:
        """Awaits what ``run`` left over.

        Raises:
            CallbackError: A function raised.
        """
        for function, result in pending:
            try:
                await result
            except Exception as error:
                raise _failure(function, error) from error


def _failure(function: Callback, error: Exception) -> CallbackError:
    name = getattr(function, '__qualname__', repr(function))
    return CallbackError(f'uncaught exception in callback {name}(): {error!r}')
