"""Threads that run the synchronous methods of an Executor.

``concurrent.futures`` is not used for two reasons: its threads are joined when the interpreter ends, so that a method
that never returns would keep a stopped pod alive, and its double future costs several times the hop below.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

_Result = TypeVar('_Result')
_Job: TypeAlias = 'tuple[asyncio.AbstractEventLoop, asyncio.Future[Any], Callable[[], Any]]'


class CallThreads:
    """Runs functions in daemon threads and gives their results to the event loop.

    Calls start in the order of ``run``. With one thread they never overlap. A call whose future is cancelled before it
    starts is dropped; one that runs already runs to its end.

    Args:
        size: How many calls may run at the same time.
        name: Name of the threads, shown by debuggers.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy = 0

    def run(self, function: Callable[[], _Result]) -> asyncio.Future[_Result]:
        """Calls the function in a thread; call it from the event loop that awaits the result."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Result] = loop.create_future()
        self._busy += 1
        future.add_done_callback(self._one_less)
        if len(self._threads) < min(self._busy, self._size):
            self._start_thread()
        self._jobs.put((loop, future, function))
        return future

    def close(self) -> None:
        """Lets the threads end after the calls that are queued. Does not wait for them."""
        for _ in self._threads:
            self._jobs.put(None)

    def _one_less(self, _: asyncio.Future[Any]) -> None:
        self._busy -= 1

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=f'{self._name}-{len(self._threads)}', daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, future, function = job
            if future.cancelled():
                continue
            try:
                result, error = function(), None
            except BaseException as raised:  # noqa: BLE001 - belongs to the awaiting task, whatever it is
                result, error = None, raised
            try:
                loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:
                return  # the loop was closed while the function ran: nobody waits any more
            del job, future, function, result, error


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration):
        # A future refuses StopIteration: it would end the coroutine that awaits it.
        future.set_exception(RuntimeError(f'the method raised {error!r}'))
    elif isinstance(error, Exception):
        future.set_exception(error)
    else:
        # SystemExit or KeyboardInterrupt of a method must not end the event loop.
        future.set_exception(_wrap(error))


def _wrap(error: BaseException) -> RuntimeError:
    wrapped = RuntimeError(f'the method raised {error!r}')
    wrapped.__cause__ = error
    return wrapped
