"""Threads that run the synchronous methods of an Executor.

``concurrent.futures`` is not used for two reasons: its threads are joined when the interpreter ends, so that a method
that never returns would keep a stopped pod alive, and its double future costs several times the hop below.

The way back to the event loop is the expensive part, so results of short calls that follow each other go together: while
calls are queued, the loop looks for results every millisecond, and a thread wakes it only when it has nothing else to do.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeAlias, TypeVar

_Result = TypeVar('_Result')
_Done: TypeAlias = 'Callable[[Any, Exception | None], None]'

_LOOK_S: Final = 0.001


class Job:
    """A call that is queued or runs."""

    __slots__ = ('cancelled', 'done', 'function')

    def __init__(self, function: Callable[[], Any], done: _Done) -> None:
        self.function = function
        self.done = done
        self.cancelled = False

    def cancel(self) -> None:
        """Drops the call if it hasn't started; nobody is told its result any more."""
        self.cancelled = True


class CallThreads:
    """Runs functions in daemon threads and gives their results to the event loop.

    Calls start in the order of ``submit``. With one thread they never overlap. A call that is cancelled before it starts
    is dropped; one that runs already runs to its end.

    Args:
        size: How many calls may run at the same time.
        name: Name of the threads, shown by debuggers.
    """

    def __init__(self, size: int, name: str) -> None:
        self.size = size
        """How many calls may run at the same time."""
        self._name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._finished: deque[tuple[Job, Any, BaseException | None]] = deque()
        self._threads: list[threading.Thread] = []
        self._fresh: list[Job] = []
        self._busy = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = False
        self._looking = False

    def run(self, function: Callable[[], _Result]) -> asyncio.Future[_Result]:
        """Calls the function in a thread; call it from the event loop that awaits the result."""
        future: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()

        def done(result: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        # A cancelled future calls back a moment later, when the thread may have begun: so the thread looks itself.
        self.submit(lambda: None if future.cancelled() else function(), done)
        return future

    def submit(self, function: Callable[[], Any], done: _Done) -> Job:
        """Calls the function in a thread, and then ``done`` with its result or its exception on the event loop."""
        loop = self._loop = asyncio.get_running_loop()
        job = Job(function, done)
        self._busy += 1
        if len(self._threads) < self.size and len(self._threads) < self._busy:
            self._start_thread()
        if not self._looking and self._busy > 1:
            self._looking = True
            loop.call_later(_LOOK_S, self._look)
        self._fresh.append(job)
        if len(self._fresh) == 1:
            loop.call_soon(self._hand_over)
        return job

    def _hand_over(self) -> None:
        """Queues what came in one round of the event loop: a thread that wakes up earlier only fights for the interpreter."""
        for job in self._fresh:
            self._jobs.put(job)
        self._fresh.clear()

    def close(self) -> None:
        """Lets the threads end after the calls that are queued. Does not wait for them."""
        self._hand_over()
        for _ in self._threads:
            self._jobs.put(None)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=f'{self._name}-{len(self._threads)}', daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            result, error = None, None
            if not job.cancelled:
                try:
                    result = job.function()
                except BaseException as raised:  # noqa: BLE001 - belongs to the request, whatever it is
                    error = raised
            self._finished.append((job, result, error))
            del job, result, error
            # First the result, then this question: the loop asks in the other order, so that none is left lying.
            if not self._woken and not (self._looking and not self._jobs.empty()):
                self._woken = True
                try:
                    self._loop.call_soon_threadsafe(self._collect)  # type: ignore[union-attr]
                except RuntimeError:
                    return  # the loop was closed while the function ran: nobody waits any more

    def _look(self) -> None:
        self._looking = False
        if self._collect() and self._busy > 1:
            self._looking = True
            asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _collect(self) -> bool:
        """Hands out results; returns False if there were none."""
        self._woken = False
        finished = self._finished
        if not finished:
            return False
        while finished:
            job, result, error = finished.popleft()
            self._busy -= 1
            if not job.cancelled:
                job.done(result, None if error is None else bearable(error))
        return True


def bearable(error: BaseException) -> Exception:
    """Returns an exception that a coroutine may raise."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    # A future refuses StopIteration: it would end the coroutine that awaits it. And SystemExit or KeyboardInterrupt of
    # a method must not end the event loop.
    wrapped = RuntimeError(f'the method raised {error!r}')
    if not isinstance(error, StopIteration):
        wrapped.__cause__ = error
    return wrapped
