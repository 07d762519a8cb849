"""A pod: one process of a Deployment or of a gateway, from its start to its end."""

from __future__ import annotations

import concurrent.futures
import enum
import itertools
import logging
import math
import pickle
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jina.core.config import PodAddress
from jina.core.errors import (
    ConfigError,
    ConsensusError,
    ContainerError,
    JinaError,
    LifecycleError,
    MissingExtraError,
    NotSupportedError,
    PortInUseError,
    SchemaError,
    StartupError,
    TerminatedError,
)
from jina.orchestrate import launcher
from jina.orchestrate.restarts import NO_RESTART, RestartPlan, Restarts

_command_numbers = itertools.count(1)

death_hooks: list[Callable[[Pod], object]] = []
"""Called, on the launcher's thread, with each process that was ready and ended by itself."""


_LEAST_S = 1.0
_CAUSE = 'The above exception was the direct cause'
"""What a traceback says between an exception and the one that it was raised from."""
_TOLD = (ConfigError, ConsensusError, ContainerError, MissingExtraError, NotSupportedError, SchemaError)
"""Errors whose message says everything."""


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
    WAITING = enum.auto()
    """It ended by itself and will be started again."""


class Pod:
    """One process that runs ``target(report, *arguments)``.

    Args:
        name: Name of the process, for example ``encoder/rep-0``.
        target: Called in the process; its first argument reports the addresses when the server is ready.
        arguments: Further arguments of the target.
        env: Environment variables in addition to the parent's.
        owner: Who the process belongs to, as messages name it: ``Deployment 'encoder'``.
        logger: Where an unexpected end is reported.
        restart: Whether and how the process is started again after it was ready and ended by itself.
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
        restart: RestartPlan | None = None,
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
        self._plan = restart
        self._restarts = Restarts(restart.policy if restart else NO_RESTART)
        self._addresses: list[PodAddress] = []
        self._timer: threading.Timer | None = None
        self._commands: dict[int, concurrent.futures.Future[None]] = {}

    @property
    def addresses(self) -> list[PodAddress]:
        """Where it answers, or answered before it ended; empty as long as it never was ready, and after it was closed."""
        return [] if self.state in (PodState.CLOSING, PodState.CLOSED) else list(self._addresses)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What the target was called with at its last start."""
        return self._arguments

    @property
    def restarts(self) -> int:
        """How often the process was started again after it ended by itself."""
        return self._restarts.total

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
            self._launch()
        except BaseException:
            self.state = PodState.FAILED
            self._ended.set()
            raise

    def _launch(self) -> None:
        env = {**self._env, 'JINA_RESTARTS': str(self.restarts)}
        self._process = launcher.current().start(self.name, self._target, self._arguments, listener=self, env=env)

    def stop(self, grace: float) -> None:
        """Ask the process to end and return at once.

        Args:
            grace: Seconds until it is killed; a second call can only shorten the time.
        """
        with self._lock:
            if self.state is PodState.WAITING:
                self.state = PodState.CLOSED
                if self._timer is not None:
                    self._timer.cancel()
                self._ended.set()
            if self.state in (PodState.STARTING, PodState.READY):
                self.state = PodState.CLOSING
            if self.state is not PodState.CLOSING or self._process is None:
                return
        launcher.stop(self._process, grace)

    def command(self, **command: Any) -> concurrent.futures.Future[None]:
        """Ask the server in the process for something, see ``jina.runtime.process.PodServer.command``.

        Args:
            command: What is asked for.

        Returns:
            Resolves when it is done, or to what went wrong.

        Raises:
            TerminatedError: The process doesn't run.
        """
        answer: concurrent.futures.Future[None] = concurrent.futures.Future()
        with self._lock:
            if self.state is not PodState.READY or self._process is None:
                raise TerminatedError(f'process {self.name} of {self.owner} does not run')
            number = next(_command_numbers)
            self._commands[number] = answer
            process = self._process
        launcher.send(process, {'number': number, 'command': command})
        return answer

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
            self._on_ready(event['addresses'])
        elif kind == 'answered':
            self._on_answer(event)
        elif kind == 'failed':
            self._failure = event
            self._fail_start()
        elif kind == 'exited':
            self._on_exit(event)

    def _on_ready(self, addresses: list[PodAddress]) -> None:
        with self._lock:
            if self.state is PodState.STARTING:
                self.state = PodState.READY
            again = bool(self._addresses)
            self._addresses = addresses
        self._restarts.note_ready()
        if again:
            self._logger.info('process %s (%s) of %s answers again', self.name, self.pid, self.owner)
        if not self.ready.done():
            self.ready.set_result(addresses)
        if again and self._plan is not None:
            self._plan.on_return()

    def _on_answer(self, event: Mapping[str, Any]) -> None:
        answer = self._commands.pop(event['number'], None)
        if answer is None:
            return
        if event['failure'] is None:
            answer.set_result(None)
        else:
            message = f'process {self.name} of {self.owner} refuses: {event["failure"]["message"]}'
            answer.set_exception(_original(event['failure']) or LifecycleError(message))

    def _on_exit(self, event: Mapping[str, Any]) -> None:
        self.exit_status = event['status']
        self.last_lines = list(event['lines'])
        with self._lock:
            before, failure = self.state, self._failure
            was_ready = bool(self._addresses)
            pause = self._restarts.pause(self.exit_status) if was_ready and before is not PodState.CLOSING else None
            if pause is not None:
                self.state = PodState.WAITING
            else:
                self.state = PodState.CLOSED if before is PodState.CLOSING else PodState.FAILED
            commands, self._commands = self._commands, {}
        for answer in commands.values():
            answer.set_exception(TerminatedError(f'process {self.name} of {self.owner} has ended'))
        if was_ready and before is not PodState.CLOSING:
            self._report_death(failure)
        self._fail_start()
        if pause is None:
            if was_ready and before is not PodState.CLOSING:
                for hook in death_hooks:
                    hook(self)
            self._ended.set()
        else:
            self._schedule(pause)

    def _schedule(self, pause: float) -> None:
        """Start the process again after a pause."""
        self._logger.warning('starting process %s again in %.1f s (%s)', self.name, pause, self._restarts.describe())
        with self._lock:
            if self.state is not PodState.WAITING:
                return  # closed meanwhile
            self._timer = threading.Timer(pause, self._start_again)
            self._timer.daemon = True
            self._timer.start()

    def _start_again(self) -> None:
        with self._lock:
            if self.state is not PodState.WAITING:
                return
            self.state = PodState.STARTING
            self._failure = None
            self.ready = concurrent.futures.Future()
        try:
            if self._plan is not None:
                self._arguments = self._plan.arguments(self._addresses)
            self._launch()
        except Exception as error:  # noqa: BLE001 - nobody waits for this thread: log it, and try as often as allowed
            self._logger.error('process %s can not be started again: %s', self.name, error)
            with self._lock:
                stopped = self.state is PodState.CLOSING
                pause = None if stopped else self._restarts.pause(None)
                self.state = PodState.WAITING if pause is not None else PodState.FAILED
            if pause is None:
                self._ended.set()
            else:
                self._schedule(pause)
            return
        if self.state is PodState.CLOSING and self._process is not None:  # asked to end while it was launched
            launcher.stop(self._process, 0.0)

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
        if not isinstance(original, _TOLD) or _CAUSE in failure['traceback']:
            text += f'\n\n{failure["traceback"].rstrip()}'
        error = StartupError(text)
        error.__cause__ = original
        return error

    def _report_death(self, failure: Mapping[str, Any] | None) -> None:
        lines = ''.join(f'\n    {line}' for line in self.last_lines)
        said = f'; its last output was:{lines}' if lines else ''
        if failure is not None:
            said = f':\n{failure["traceback"].rstrip()}'
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
        # The one that Python itself would take: the first in the order of the bases may be that of another built-in error.
        make: Any = OSError.__new__ if issubclass(kind, OSError) else kind.__new__
        error: JinaError = make(kind, *arguments)
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


def close_in_order(
    fronts: Sequence[Pod], others: Sequence[Pod], grace: float, *, front_grace: float | None = None
) -> None:
    """End pods that wait for others, then those others.

    Args:
        fronts: Those that wait.
        others: Those behind them.
        grace: Seconds for all of that; those behind have one of them at least.
        front_grace: Seconds for those that wait, which then don't count.
    """
    begin = time.monotonic()
    close_pods(fronts, grace if front_grace is None else front_grace)
    left = grace if front_grace is not None else begin + grace - time.monotonic()
    close_pods(others, max(left, _LEAST_S))


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
