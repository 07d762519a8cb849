"""The event loop of a process: uvloop where it is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from jina.core.environment import uvloop_disabled
from jina.core.errors import MissingExtraError

_Result = TypeVar('_Result')


def run(main: Coroutine[Any, Any, _Result], *, loop: str = 'auto') -> _Result:
    """Runs a coroutine in a new event loop.

    Unlike ``asyncio.run`` it doesn't wait for threads of the loop's default executor: a call that hangs there must not
    keep the process.

    Args:
        main: The coroutine.
        loop: ``asyncio`` or ``uvloop``; all else is uvloop where it is installed and ``JINA_DISABLE_UVLOOP`` is not set.

    Raises:
        MissingExtraError: uvloop is asked for and isn't installed.
    """
    try:
        new = _new_loop(loop)
    except BaseException:
        main.close()
        raise
    return _run_in(new, main)


def _run_in(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, _Result]) -> _Result:
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=1))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()


def _new_loop(kind: str) -> asyncio.AbstractEventLoop:
    if kind == 'asyncio' or (kind != 'uvloop' and uvloop_disabled()):
        return asyncio.new_event_loop()
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if kind == 'uvloop':
            raise MissingExtraError("the event loop of uvicorn_kwargs={'loop': 'uvloop'}", install='uvloop') from error
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
