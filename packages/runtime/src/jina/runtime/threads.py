"""Threads that run the synchronous methods of an Executor.

``concurrent.futures`` is not used for two reasons: its threads are joined when the interpreter ends, so that a method
that never returns would keep a stopped pod alive, and its double future costs several times the hop below.

The way back to the event loop is the expensive part. The loop waits for short calls (:mod:`jina.runtime.turns`). Beside
longer ones it runs, and results of calls that follow each other go together: while calls are queued, the loop looks for
results every millisecond, and a thread wakes it only when it has nothing else to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any, Final, TypeAlias, TypeVar

from jina.runtime.turns import TURN_S, Turns

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
        self._turns = Turns(enabled=size == 1)
        self._scheduled = False
        self._waiting = False
        self._beside = False
        self._measured = False
        self._inside = 0.0
        self._done: SimpleQueue[None] = SimpleQueue()

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

    def submit(self, function: Callable[[], Any], done: _Done, *, beside: bool = False) -> Job:
        """Calls the function in a thread, and then ``done`` with its result or its exception on the event loop.

        Args:
            function: What is called.
            done: Called with a result and None, or with None and an exception.
            beside: The loop never waits for it: it has something to say to the loop before it is done.
        """
        loop = self._loop = asyncio.get_running_loop()
        job = Job(function, done)
        self._busy += 1
        if len(self._threads) < self.size and len(self._threads) < self._busy:
            self._start_thread()
        self._beside = self._beside or beside
        self._fresh.append(job)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._take_turn)
        return job

    def _take_turn(self) -> None:
        """Queues what came in one round of the event loop: a thread that wakes up earlier only fights for the interpreter."""
        self._scheduled = False
        began = perf_counter()
        count = 0 if self._beside else self._turns.begin(began)
        if not count:
            self._hand_over()
            self._look_later()
            return
        self._measured, self._inside = self._turns.is_measured, 0.0
        for job in self._fresh[:count]:
            self._jobs.put(job)
        del self._fresh[:count]
        self._waiting = True
        if self._busy - len(self._fresh) > len(self._finished):
            with contextlib.suppress(Empty):
                self._done.get(timeout=TURN_S)
        self._waiting = False
        self._measured = False
        self._turns.end(began, perf_counter(), len(self._finished), self._inside)
        self._collect()
        if self._busy and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._take_turn)

    def _hand_over(self) -> None:
        """Queues everything."""
        self._beside = False
        for job in self._fresh:
            self._jobs.put(job)
        self._fresh.clear()

    @property
    def busy(self) -> int:
        """How many calls run or wait."""
        return self._busy

    def close(self) -> None:
        """Lets the threads end after the calls that are queued. Does not wait for them."""
        self._hand_over()
        for _ in self._threads:
            self._jobs.put(None)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=f'{self._name}-{len(self._threads)}', daemon=True)
        self._threads.append(thread)
        thread.start()
        self._turns.watch(thread.ident or 0)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            result, error = None, None
            if not job.cancelled:
                began = perf_counter() if self._measured else 0.0
                try:
                    result = job.function()
                except BaseException as raised:  # noqa: BLE001 - belongs to the request, whatever it is
                    error = raised
                if began:
                    self._inside += perf_counter() - began
            self._finished.append((job, result, error))
            del job, result, error
            if self._waiting:
                if self._jobs.empty():
                    self._waiting = False
                    self._done.put(None)
                continue
            # First the result, then this question: the loop asks in the other order, so that none is left lying.
            if not self._woken and not (self._looking and not self._jobs.empty()):
                self._woken = True
                try:
                    self._loop.call_soon_threadsafe(self._collect)  # type: ignore[union-attr]
                except RuntimeError:
                    return  # the loop was closed while the function ran: nobody waits any more

    def _look_later(self) -> None:
        if self._busy > 1 and not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        self._looking = False
        if self._collect():
            self._look_later()

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
