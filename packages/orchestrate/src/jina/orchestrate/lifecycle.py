"""What a Deployment and a Flow have in common: start, close, ``with``, ``block``, and an end at the end of the interpreter."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from jina.core.environment import early_stop
from jina.core.errors import ConfigError, LifecycleError, NotStartedError
from jina.orchestrate.pod import Pod, death_hooks
from jina.orchestrate.progress import StartProgress

if TYPE_CHECKING:
    from pathlib import Path

    from jina.core.config import PodAddress
    from jina.core.logging import JinaLogger
    from typing_extensions import Self

CLOSE_GRACE_S = 30.0
"""Seconds that processes have for their requests in flight and ``Executor.close``, at least, when the program closes them."""
FLOATING_GRACE_S = 86400.0
"""The same for the gateway of a Flow that has floating Executors: it is closed when they have done their work."""
INTERRUPT_GRACE_S = 4.0
"""The same for processes that are given up in their start."""
_END_MARGIN_S = 0.5
"""So much longer than it has for its requests in flight, a process has for its end when the program is interrupted or ends."""
_POLL_S = 0.2


class StopEvent(Protocol):
    """``threading.Event``, ``multiprocessing.Event`` or anything else with their ``wait``."""

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for the event and return whether it is set."""


class Orchestrator:
    """Base of Deployment and Flow. Subclasses implement ``_start`` and ``_close``."""

    kind: ClassVar[str]
    """``Deployment`` or ``Flow``."""
    _configuration: ClassVar[tuple[str, ...]]
    """Names of the attributes that say what is started."""
    if TYPE_CHECKING:
        config_path: Path | None
        load_again: Callable[[], Any] | None

        @property
        def public_addresses(self) -> list[PodAddress]: ...
        def to_config(self) -> dict[str, Any]: ...

    def __init__(self) -> None:
        self._state_lock = threading.RLock()
        self._started = False
        self._owner_pid = 0
        self._closed_event = threading.Event()
        self._ready_event = threading.Event()
        self._start_error: BaseException | None = None
        self._interrupted = False
        self._closing = False
        self._client: Any = None
        self._joining: list[Pod] = []
        self._scale_lock = threading.Lock()

    def start(self) -> Self:
        """Start all processes and wait until they are ready. If one fails, all are closed.

        Returns:
            This object.

        Raises:
            StartupError: A process failed to start; the message has its traceback.
            PortInUseError: Another process listens on a port that was asked for.
            LifecycleError: It is started already.
        """
        with self._state_lock:
            if self._is_running():
                raise LifecycleError(f'{self._title()} is started already', hint='close it first')
            self._started = True
            self._owner_pid = os.getpid()
            self._interrupted = False
            self._closing = False
            self._closed_event.clear()
            self._ready_event.clear()
            self._start_error = None
            _running[id(self)] = self
        if self._noblock():
            threading.Thread(target=self._start_aside, name='jina-start', daemon=True).start()
        else:
            self._start_or_end()
        return self

    def wait_start_success(self) -> None:
        """Wait for the end of a start with ``noblock_on_start=True``.

        Raises:
            ConfigError: ``noblock_on_start`` isn't set.
            StartupError: A process failed to start; all are closed.
        """
        if not self._noblock():
            raise ConfigError(
                'wait_start_success() is for a start with noblock_on_start=True', hint='start() waits by itself'
            )
        if not self._started and self._start_error is None:
            raise NotStartedError(f'{self._title()} is not started', hint='call start() first')
        self._ready_event.wait()
        if self._start_error is not None:
            raise self._start_error

    async def async_wait_start_success(self) -> None:
        """The same as ``wait_start_success``, without blocking the event loop."""
        await asyncio.to_thread(self.wait_start_success)

    def close(self) -> None:
        """Stop all processes: requests in flight are finished, Executors are closed. Nothing happens if it isn't started."""
        if not self._is_running():
            return
        self._closing = True
        if not self._ready_event.is_set():
            for pod in self._running_pods():  # a start in another thread gives up as soon as one of its processes ends
                pod.stop(INTERRUPT_GRACE_S)
        with self._state_lock:
            if self._is_running():
                self._end()

    def block(self, stop_event: StopEvent | None = None) -> None:
        """Wait until the program is interrupted (Ctrl-C), until it is closed by another thread, or until an event.

        SIGTERM ends it with ``SystemExit``, so that everything is closed in order. It may be called in any thread; signals
        are for the main thread only. With ``reload=True`` it is restarted, meanwhile, whenever the YAML file that it was loaded
        from changes.

        Args:
            stop_event: A ``threading.Event`` or ``multiprocessing.Event`` that ends the wait.

        Raises:
            NotStartedError: It isn't started.
            MissingExtraError: ``reload`` is set and the package watchfiles isn't installed.
        """
        if not self._is_running():
            raise NotStartedError(
                f'{self._title()} is not started', hint='call block() inside its with statement, or call start() first'
            )
        with TerminateAsExit(), self._following_yaml():
            try:
                if stop_event is None:
                    self._closed_event.wait()
                else:
                    while not stop_event.wait(_POLL_S) and not self._closed_event.is_set():
                        continue
            except KeyboardInterrupt:
                self._interrupted = True
            except SystemExit:
                self._interrupted = True
                raise

    def run(self, stop_event: StopEvent | None = None) -> None:
        """Start, wait as ``block`` does, and close. SIGTERM ends it in order from the first moment on, also while it starts.

        Args:
            stop_event: A ``threading.Event`` or ``multiprocessing.Event`` that ends the wait.

        Raises:
            StartupError: A process failed to start; all are closed.
            MissingExtraError: ``reload`` is set and the package watchfiles isn't installed.
        """
        with TerminateAsExit(), self:
            self.block(stop_event)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, (KeyboardInterrupt, SystemExit)):
            self._interrupted = True
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        client = self._client
        if inspect.iscoroutinefunction(getattr(client, 'close', None)):
            await client.close()
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def _is_running(self) -> bool:
        return self._started and self._owner_pid == os.getpid()

    def _start_or_end(self) -> None:
        with self._state_lock:
            try:
                with self._progress():
                    self._start()
                self._announce()
            except BaseException as error:
                self._start_error = error
                self._interrupted = True
                self._end()
                raise
            finally:
                self._ready_event.set()

    def _progress(self) -> StartProgress:
        return StartProgress(self._title(), self._running_pods, self._log())

    def _start_aside(self) -> None:
        try:
            self._start_or_end()
        except BaseException:  # noqa: BLE001 - wait_start_success raises it in the thread that asks
            return

    def _following_yaml(self) -> AbstractContextManager[object]:
        """Restarts it while the YAML file that it was loaded from is followed."""
        path = self.config_path
        if not self._follows_yaml() or path is None or self.load_again is None:
            return nullcontext()
        from jina.orchestrate.following import Following  # noqa: PLC0415 - for development only

        return Following(path, self.restart_with_changes, self._log())

    def restart_with_changes(self) -> None:
        """Load the YAML file again, and restart with what it describes now; the ports stay.

        Requests in flight are finished first. A file that can't be loaded changes nothing. If what it describes doesn't start, it
        is started again as it was.
        """
        logger = self._log()
        if self.load_again is None:
            return
        try:
            changed = self.load_again()
        except Exception as error:
            logger.error(
                'the change can not be loaded, the %s from before goes on: %s', self.kind, error, exc_info=error
            )
            return
        if changed.to_config() == self.to_config() and any(pod.is_alive for pod in self._running_pods()):
            return
        logger.info('change in %s YAML %s observed, restarting %s', self.kind, self.config_path, self.kind)
        with self._state_lock:
            if not self._is_running() or self._closing:
                return
            before = {name: getattr(self, name) for name in self._configuration}
            addresses = self.public_addresses
            self._ready_event.clear()  # so that close() ends a start in progress
            try:
                self._close(self._grace())
                self._drop_client()
                self._take({name: getattr(changed, name) for name in self._configuration}, addresses)
                if not self._try_start(f'the changed {self.kind} does not start, the one from before is started again'):
                    self._take(before, addresses)
                    self._try_start(f'the {self.kind} does not start any more; it is tried again after the next change')
            finally:
                self._ready_event.set()

    def _try_start(self, failure: str) -> bool:
        """Start, or log why not; returns whether that is the end of it."""
        if self._closing:
            return True
        logger = self._log()
        try:
            with self._progress():
                self._start()
            self._announce()
        except Exception as error:
            self._close(INTERRUPT_GRACE_S)
            if not self._closing:
                logger.error(failure, exc_info=error)
            return self._closing
        return True

    def _take(self, configuration: Mapping[str, Any], addresses: Sequence[PodAddress]) -> None:
        """Become what another object is; servers that get no port keep the one that they have."""
        raise NotImplementedError

    def _cached_client(self, make: Callable[[], Any]) -> Any:
        """One client for all calls to the running servers, so that connections are kept."""
        if not self._is_running():
            return make()
        if self._client is None:
            self._client = make()
        return self._client

    def _drop_client(self) -> None:
        client, self._client = self._client, None
        teardown = getattr(client, 'teardown_instrumentation', None)
        if teardown is not None:
            teardown()
        close = getattr(client, 'close', None)
        if close is not None and not inspect.iscoroutinefunction(close):
            close()

    def _grace(self) -> float:
        """Seconds that all processes have together."""
        seconds = self._graceful_shutdown_s() + _END_MARGIN_S
        return seconds if self._interrupted else max(CLOSE_GRACE_S, seconds)

    def _end(self) -> None:
        try:
            self._close(self._grace())
        finally:
            self._drop_client()
            self._started = False
            _running.pop(id(self), None)
            self._closed_event.set()

    def _graceful_shutdown_s(self) -> float:
        """Seconds that the processes have for their requests in flight, the longest of them."""
        raise NotImplementedError

    def _title(self) -> str:
        return type(self).__name__

    def _log(self) -> JinaLogger:
        raise NotImplementedError

    def _follows_yaml(self) -> bool:
        raise NotImplementedError

    def _noblock(self) -> bool:
        raise NotImplementedError

    def _running_pods(self) -> list[Pod]:
        raise NotImplementedError

    def _announce(self) -> None:
        """Show that it is ready, and where it listens."""
        raise NotImplementedError

    def _start(self) -> None:
        raise NotImplementedError

    def _close(self, grace: float) -> None:
        raise NotImplementedError


class TerminateAsExit:
    """Meanwhile, SIGTERM raises SystemExit in the main thread, unless the program handles it itself."""

    def __init__(self) -> None:
        self._before: Any = None

    def __enter__(self) -> None:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._before = signal.signal(signal.SIGTERM, self._raise)

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    @staticmethod
    def _raise(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)


_running: dict[int, Orchestrator] = {}


def close_all() -> None:
    """Close every Deployment and Flow that runs in this process."""
    for orchestrator in list(_running.values()):
        orchestrator._interrupted = True
        orchestrator.close()


def _end_program(_pod: Pod) -> None:
    """End the program with status 1 as soon as a process has died, if ``JINA_EARLY_STOP`` asks for that."""
    if early_stop():
        # In a thread of its own: this one must go on to see the other processes end.
        threading.Thread(target=_close_and_exit, name='jina-early-stop', daemon=True).start()


def _close_and_exit() -> None:
    try:
        close_all()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


death_hooks.append(_end_program)
atexit.register(close_all)
