"""The event loop that synchronous calls run on, and the way back to the thread of the caller.

There is one loop, in one daemon thread, per process: it keeps channels open between calls, works when the caller's
thread has a running loop of its own (notebooks), and never meets gRPC's limits on loops in several threads. Functions
and generators of the user still run in the thread of the caller, which waits for the call anyway: they may use what is
bound to that thread, block, or call the client again.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import inspect
import logging
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, ClassVar, Final, Protocol, TypeVar

from jina.core.errors import ClientError

__all__ = [
    'INLINE',
    'BackgroundLoop',
    'Caller',
    'Closable',
    'background_loop',
    'close_with_loop',
    'drop_poller_notes',
    'run_async',
]

_T = TypeVar('_T')
_CLOSE_LIMIT_S: Final = 5.0


class Closable(Protocol):
    """Something open on a loop."""

    async def close(self) -> None:
        """Frees what is held."""


class Caller:
    """The thread that made a call. This one is the thread of the loop itself."""

    inline: ClassVar[bool] = True
    """False if ``call`` changes the thread."""

    async def call(self, function: Callable[..., _T], *args: Any) -> _T:
        """Runs a function in the caller's thread and returns its result."""
        return function(*args)


INLINE: Final = Caller()


class _WaitingThread(Caller):
    """A thread that waits for a call on the background loop and serves functions until the call is done."""

    inline = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    async def call(self, function: Callable[..., _T], *args: Any) -> _T:
        done: asyncio.Future[_T] = self._loop.create_future()

        def work() -> None:
            try:
                result = function(*args)
            except Exception as error:  # noqa: BLE001 - it is raised again where the call was made
                self._loop.call_soon_threadsafe(_settle, done, None, error)
            else:
                self._loop.call_soon_threadsafe(_settle, done, result, None)

        self._work.put(work)
        return await done

    def serve(self, call: Future[_T]) -> _T:
        """Serves functions until the call is done; returns its result. Ctrl-C cancels the call."""
        call.add_done_callback(lambda _: self._work.put(None))
        try:
            while (work := self._work.get()) is not None:
                work()
        except BaseException:
            call.cancel()
            raise
        return call.result()


async def _enter(function: Callable[[Caller], Awaitable[_T]], caller: Caller) -> _T:
    """Calls the function on the loop already, so that it finds the loop running."""
    return await function(caller)


def _settle(done: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)


class _PollerNotes(logging.Filter):
    """Drops asyncio's reports of two things that grpc.aio does to processes with several event loops.

    All loops of a process share its one poller: each is woken, and those that come late find nothing to read; and who
    reads may find an event of a loop that has ended.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, BlockingIOError) or (isinstance(error, RuntimeError) and 'closed' in str(error)):
            return 'PollerCompletionQueue' not in record.getMessage()
        return True


def drop_poller_notes() -> None:
    """Keeps what grpc.aio makes asyncio report for no reason out of the log; calling this again changes nothing."""
    logger = logging.getLogger('asyncio')
    if not any(isinstance(known, _PollerNotes) for known in logger.filters):
        logger.addFilter(_PollerNotes())


async def _guard(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await close()


def close_with_loop(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    """Makes the running loop close something when it shuts its asynchronous generators down, as ``asyncio.run`` does.

    Args:
        close: Closes it. No new asynchronous generator may start there: the loop would not know of it.

    Returns:
        A generator that closes it when it is closed itself, or when nobody holds it any more.
    """
    guard = _guard(close)
    with contextlib.suppress(StopIteration):
        guard.__anext__().send(None)  # to where it waits, without waiting
    return guard


class BackgroundLoop:
    """An event loop in a daemon thread. Start and stop are thread-safe; a stopped one can't be used again."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.calls = 0
        self._open: weakref.WeakSet[Closable] = weakref.WeakSet()
        self._thread = threading.Thread(target=self._run, name='jina-client', daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def register(self, resource: Closable) -> None:
        """Lets ``stop`` close the resource. Call this on the loop."""
        self._open.add(resource)

    def run(self, function: Callable[[Caller], Awaitable[_T]]) -> _T:
        """Calls a function on the loop, and awaits its result, while the calling thread waits and serves as its caller.

        Raises:
            ClientError: The calling thread is the loop's own, so that it would wait for itself.
        """
        if threading.current_thread() is self._thread:
            raise ClientError(
                'a synchronous client call inside an async callback or an async generator would wait for itself',
                hint='use Client(asyncio=True) there',
            )
        with self.busy():
            if self.loop.is_closed():  # another thread forked a moment ago
                return background_loop().run(function)
            caller = _WaitingThread(self.loop)
            return caller.serve(asyncio.run_coroutine_threadsafe(_enter(function, caller), self.loop))

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Keeps the loop from being stopped for a fork."""
        with _Process.lock:
            self.calls += 1
        try:
            yield
        finally:
            with _Process.lock:
                self.calls -= 1

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Runs a coroutine on the loop without waiting for it."""
        asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def stop(self) -> None:
        """Closes what is open, ends the loop and its thread."""
        ending = asyncio.run_coroutine_threadsafe(self._close_all(), self.loop)
        try:
            ending.result(_CLOSE_LIMIT_S)
        except FutureTimeoutError:
            ending.cancel()
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(_CLOSE_LIMIT_S)
            if not self._thread.is_alive():
                self.loop.close()

    async def _close_all(self) -> None:
        current = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(resource.close() for resource in list(self._open)), return_exceptions=True)
        self._open.clear()
        await self.loop.shutdown_asyncgens()
        with contextlib.suppress(
            RuntimeError
        ):  # since Python 3.12 it can't start its thread while the interpreter ends
            await self.loop.shutdown_default_executor()


class _Process:
    """The background loop of this process, if it was needed already."""

    current: BackgroundLoop | None = None
    lock = threading.Lock()


def background_loop() -> BackgroundLoop:
    """Returns the background loop of this process; starts it at first use."""
    with _Process.lock:
        if _Process.current is None:
            _Process.current = BackgroundLoop()
        return _Process.current


def run_async(function: Callable[..., Awaitable[_T]], *args: Any, **kwargs: Any) -> _T:
    """Runs a coroutine function to its end and returns the result, also where a loop is running already.

    Args:
        function: The coroutine function.
        args: Its arguments.
        kwargs: Its keyword arguments.
    """

    async def call(_: Caller) -> _T:
        return await function(*args, **kwargs)

    if not inspect.iscoroutinefunction(function):
        raise ClientError(f'{function!r} is no coroutine function', hint='define it with async def')
    return background_loop().run(call)


def _stop() -> None:
    with _Process.lock:
        current, _Process.current = _Process.current, None
    if current is not None:
        current.stop()


def _before_fork() -> None:
    """Ends the idle loop: gRPC's asyncio threads don't survive a fork and would crash the child.

    Parent and child start a new loop, and connect again, at their next call. While another thread is in a call the loop
    has to stay.
    """
    _Process.lock.acquire()
    if _Process.current is not None and _Process.current.calls == 0:
        _Process.current.stop()
        _Process.current = None


def _after_fork_in_parent() -> None:
    _Process.lock.release()


def _after_fork_in_child() -> None:
    _Process.lock = threading.Lock()
    _Process.current = None


atexit.register(_stop)
if hasattr(os, 'register_at_fork'):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
