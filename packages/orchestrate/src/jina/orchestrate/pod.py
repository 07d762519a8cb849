"""A pod: one process of a Deployment or of a gateway, from its start to its end."""

from __future__ import annotations

import concurrent.futures
import enum
import logging
import math
import pickle
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jina.core.config import PodAddress
from jina.core.errors import ConfigError, JinaError, LifecycleError, PortInUseError, StartupError
from jina.orchestrate import launcher

death_hooks: list[Callable[[Pod], object]] = []
"""Called, on the launcher's thread, with each process that was ready and ended by itself."""


_CAUSE = 'The above exception was the direct cause'
"""What a traceback says between an exception and the one that it was raised from."""


class PodState(enum.Enum):
    """Where a pod is in its life."""

    NEW = enum.auto()
    STARTING = enum.auto()
    READY = enum.auto()
    CLOSING = enum.auto()
    CLOSED = enum.auto()
    """It ended because it was asked to."""
    FAILED = enum.auto()
    """It ended by itself."""


class Pod:
    """One process that runs ``target(report, *arguments)``.

    Args:
        name: Name of the process, for example ``encoder/rep-0``.
        target: Called in the process; its first argument reports the addresses when the server is ready.
        arguments: Further arguments of the target.
        env: Environment variables in addition to the parent's.
        owner: Who the process belongs to, as messages name it: ``Deployment 'encoder'``.
        logger: Where an unexpected end is reported.
    """

    def __init__(
        self,
        name: str,
        target: Callable[..., int | None],
        arguments: tuple[Any, ...] = (),
        *,
        env: Mapping[str, str] | None = None,
        owner: str = '',
        logger: logging.Logger | None = None,
    ) -> None:
        self.name = name
        self.owner = owner or f'pod {name!r}'
        self.pid: int | None = None
        self.exit_status: int | None = None
        self.state = PodState.NEW
        self.last_lines: list[str] = []
        self.ready: concurrent.futures.Future[list[PodAddress]] = concurrent.futures.Future()
        """Resolves to the addresses as soon as the server answers, or to the error of a failed start."""
        self._target = target
        self._arguments = arguments
        self._env = dict(env or {})
        self._logger = logger or logging.getLogger(__name__)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._process: launcher.Process | None = None
        self._failure: Mapping[str, Any] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.state in (PodState.STARTING, PodState.READY, PodState.CLOSING)

    @property
    def is_ready(self) -> bool:
        """Whether the server answers."""
        return self.state is PodState.READY

    def start(self) -> None:
        """Start the process and return at once.

        Raises:
            ConfigError: The arguments can't be sent to another process.
            StartupError: No process can be started.
        """
        if self.state is not PodState.NEW:
            raise LifecycleError(f'{self.name} was started before')
        self.state = PodState.STARTING
        try:
            self._process = launcher.current().start(
                self.name, self._target, self._arguments, listener=self, env=self._env
            )
        except BaseException:
            self.state = PodState.FAILED
            self._ended.set()
            raise

    def stop(self, grace: float) -> None:
        """Ask the process to end and return at once.

        Args:
            grace: Seconds until it is killed; a second call can only shorten the time.
        """
        with self._lock:
            if self.state in (PodState.STARTING, PodState.READY):
                self.state = PodState.CLOSING
            if self.state is not PodState.CLOSING or self._process is None:
                return
        launcher.stop(self._process, grace)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the process.

        Args:
            timeout: Seconds; None waits forever.

        Returns:
            Whether it has ended.
        """
        return self.state is PodState.NEW or self._ended.wait(timeout)

    def deliver(self, event: Mapping[str, Any]) -> None:
        """Take an event of the process; called by the launcher."""
        kind = event['event']
        if kind == 'started':
            self.pid = event['pid']
        elif kind == 'ready':
            with self._lock:
                if self.state is PodState.STARTING:
                    self.state = PodState.READY
            if not self.ready.done():
                self.ready.set_result(event['addresses'])
        elif kind == 'failed':
            self._failure = event
            self._fail_start()
        elif kind == 'exited':
            self._on_exit(event)

    def _on_exit(self, event: Mapping[str, Any]) -> None:
        self.exit_status = event['status']
        self.last_lines = list(event['lines'])
        with self._lock:
            before, self.state = self.state, PodState.CLOSED if self.state is PodState.CLOSING else PodState.FAILED
        self._fail_start()
        if before is PodState.READY:
            self._report_death()
            for hook in death_hooks:
                hook(self)
        self._ended.set()

    def _fail_start(self) -> None:
        if not self.ready.done():
            self.ready.set_exception(self._startup_error())

    def _startup_error(self) -> JinaError:
        failure = self._failure
        if failure is None:
            lines = ''.join(f'\n    {line}' for line in self.last_lines)
            said = f'; its last output was:{lines}' if lines else ''
            return StartupError(
                f'{self.owner} failed to start: process {self.name!r} {describe_exit(self.exit_status)}{said}'
            )
        original = _original(failure)
        if isinstance(original, PortInUseError):
            return PortInUseError(original.port, f'{self.owner}, process {self.name}')
        text = f'{self.owner} failed to start: {failure["kind"]}: {failure["message"]}'
        # A wrong configuration is told by its message; where we found it out helps nobody. What user code raised does.
        if not isinstance(original, ConfigError) or _CAUSE in failure['traceback']:
            text += f'\n\n{failure["traceback"].rstrip()}'
        error = StartupError(text)
        error.__cause__ = original
        return error

    def _report_death(self) -> None:
        lines = ''.join(f'\n    {line}' for line in self.last_lines)
        said = f'; its last output was:{lines}' if lines else ''
        if self._failure is not None:
            said = f':\n{self._failure["traceback"].rstrip()}'
        self._logger.error(
            'process %s (%s) of %s %s%s', self.name, self.pid, self.owner, describe_exit(self.exit_status), said
        )


def describe_exit(status: int | None) -> str:
    """An exit status in words."""
    if status is None:
        return 'was lost together with the helper process that started it'
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f'signal {-status}'
        return f'was killed by {name}'
    return f'ended with exit status {status}'


def _original(failure: Mapping[str, Any]) -> JinaError | None:
    """The exception of the pod, when it is one of ours and arrives whole."""
    if not failure['error']:
        return None
    try:
        kind, arguments, state = pickle.loads(failure['error'])
        # A class of several built-in ones is made by the one that says how its objects are laid out.
        error: JinaError = (OSError if issubclass(kind, OSError) else kind).__new__(kind, *arguments)
    except Exception:  # noqa: BLE001 - whatever the class does on unpickling, the text of the failure is there
        return None
    error.args = arguments
    error.__dict__.update(state)
    return error


def wait_ready(pods: Sequence[Pod], timeout: float | None) -> None:
    """Wait until all pods answer.

    Args:
        pods: Pods that were started.
        timeout: Seconds; None waits forever.

    Raises:
        StartupError: One of them failed or took too long; the others still run.
    """
    wait_ready_within([(pod, timeout) for pod in pods])


def wait_ready_within(limits: Sequence[tuple[Pod, float | None]]) -> None:
    """Wait until all pods answer, each within its own time from now.

    Args:
        limits: Pods that were started, each with its seconds; None waits forever.

    Raises:
        StartupError: One of them failed or took too long; the others still run.
    """
    begin = time.monotonic()
    pods = {pod.ready: pod for pod, _ in limits}
    for limit in sorted(
        {seconds for _, seconds in limits}, key=lambda seconds: math.inf if seconds is None else seconds
    ):
        left = None if limit is None else max(0.0, begin + limit - time.monotonic())
        done, _ = concurrent.futures.wait(pods, left, concurrent.futures.FIRST_EXCEPTION)
        for future in done:
            error = future.exception()
            if error is not None:
                raise error
        late = sorted(pod.name for pod, seconds in limits if seconds == limit and not pod.ready.done())
        if late:
            raise StartupError(
                f'{", ".join(late)}: not ready after {limit:g} seconds',
                hint='raise timeout_ready (milliseconds; -1 waits forever)',
            )


def close_pods(pods: Sequence[Pod], grace: float) -> None:
    """End pods and wait for it; what still runs after ``grace`` seconds is killed.

    An interrupt (Ctrl-C) while waiting kills them at once and is raised again.
    """
    deadline = time.monotonic() + grace
    for pod in pods:
        pod.stop(grace)
    try:
        for pod in pods:
            pod.wait(max(0.0, deadline - time.monotonic()) + 2.0)
    except BaseException:
        for pod in pods:
            pod.stop(0.0)
        raise
