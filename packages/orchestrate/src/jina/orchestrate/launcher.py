"""The parent's end of the zygote: one launcher per process, started on first use, made anew after ``os.fork``."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import os
import pickle
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from jina.core.errors import ConfigError, StartupError
from jina.orchestrate import journal, pickling, zygote
from jina.orchestrate.frames import recv_frame, send_frame

EXIT_GRACE_S = 6.0
"""Seconds that the interpreter waits at its end for the zygote, which gives its pods five."""
_READ_AT_START = ('PYTHON', 'LD_', 'DYLD_', 'OMP_', 'OPENBLAS_', 'MKL_', 'GRPC_', 'MALLOC_', 'GLIBC_')
"""Prefixes of variables that the interpreter or a preloaded library reads only once: a pod that changes one gets a fresh interpreter."""


class Listener(Protocol):
    """Who wants to know what happens to a process; called on the launcher's thread."""

    def deliver(self, event: Mapping[str, Any]) -> None:
        """Take one of the events ``started``, ``ready``, ``failed``, ``exited``; the last one is always ``exited``."""


class Process:
    """A pod process as the launcher sees it."""

    def __init__(self, number: int, name: str, channel: socket.socket, listener: Listener, zygote: int) -> None:
        self.number = number
        self.zygote = zygote
        self.name = name
        self.channel = channel
        self.journal_fd = journal.create()
        self.listener = listener

    def last_lines(self) -> list[str]:
        """What the process wrote last."""
        return journal.last_lines(self.journal_fd)

    def release(self) -> None:
        """Close what the parent holds of it."""
        self.channel.close()
        if self.journal_fd >= 0:
            os.close(self.journal_fd)
            self.journal_fd = -1


class Launcher:
    """Starts pod processes through a zygote and delivers their events.

    Raises:
        StartupError: The helper process can't be started.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._processes: dict[int, Process] = {}
        self._environ = dict(os.environ)
        self._preloaded: set[str] = set()
        self.alive = True
        self._control, theirs = socket.socketpair()
        self._wake, self._waker = socket.socketpair()
        try:
            self._zygote: subprocess.Popen[bytes] = zygote.popen(theirs.fileno())
        except OSError as error:
            raise StartupError(
                f'the helper process {sys.executable!r} can not be started: {error}', hint='is it a Python interpreter?'
            ) from error
        finally:
            theirs.close()
        self._thread = threading.Thread(target=self._watch, name='jina-pods', daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Process id of the zygote."""
        return self._zygote.pid

    def preload(self, modules: Sequence[str]) -> None:
        """Have modules imported by the zygote, so that all later pods find them."""
        with self._lock:
            wanted = [name for name in modules if name not in self._preloaded]
            if wanted and self.alive:
                self._preloaded.update(wanted)
                self._send({'op': 'preload', 'modules': wanted})

    def start(
        self,
        name: str,
        target: Callable[..., int | None],
        arguments: tuple[Any, ...],
        *,
        listener: Listener,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        """Start ``target(report, *arguments)`` in a process of its own.

        Args:
            name: Title of the process, also the value of ``JINA_DEPLOYMENT_NAME`` in it.
            target: Called in the new process; its first argument reports the addresses when the server is ready.
            arguments: Travel as :mod:`jina.orchestrate.pickling` says.
            listener: Gets the events of the process.
            env: Environment variables in addition to the parent's.

        Raises:
            ConfigError: The arguments can't be sent to another process.
            StartupError: The zygote is gone.
        """
        payload = pickling.dumps((target, arguments))
        changed = self._changed({**os.environ, **(env or {}), 'JINA_DEPLOYMENT_NAME': name})
        context = {
            'name': name,
            'environ': changed,
            'path': list(sys.path),
            'cwd': _working_directory(),
            'argv': list(sys.argv),
            'main_file': getattr(sys.modules.get('__main__'), '__file__', None),
        }
        fresh = start_method() == 'spawn' or any(name.startswith(_READ_AT_START) for name in changed)
        ours, theirs = socket.socketpair()
        process = Process(next(self._numbers), name, ours, listener, self.pid)
        request = {'op': 'start', 'id': process.number, 'name': name, 'fresh': fresh}
        stdout, stderr = _output(1), _output(2)
        try:
            with self._lock:
                if not self.alive:
                    raise StartupError('the helper process that starts Executors has ended', hint='start again')
                self._processes[process.number] = process
                self._send(request, (theirs.fileno(), stdout, stderr, process.journal_fd))
        except BaseException:
            self._processes.pop(process.number, None)
            process.release()
            raise
        finally:
            theirs.close()
            os.close(stdout)
            os.close(stderr)
        self._hand_over(process, pickle.dumps(context), payload)
        return process

    def stop(self, process: Process, grace: float) -> None:
        """Ask a process to end: SIGTERM now, SIGKILL after ``grace`` seconds. A second call can only shorten the time."""
        with self._lock:
            if self.alive and process.number in self._processes:
                self._send({'op': 'stop', 'id': process.number, 'grace': grace})

    def send(self, process: Process, message: Any) -> None:
        """Send a message to a process; what it answers is an event."""
        with self._lock:
            if self.alive and process.number in self._processes:
                with contextlib.suppress(OSError):  # it has ended: the event that says so is on its way
                    send_frame(process.channel, pickle.dumps(message))

    def close(self) -> None:
        """End all processes and the zygote."""
        self._control_shutdown()
        try:
            self._zygote.wait(EXIT_GRACE_S)
        except subprocess.TimeoutExpired:
            self._zygote.kill()
            self._zygote.wait()
        self._thread.join(1)
        self._release()

    def abandon(self) -> None:
        """Forget everything in a forked child: the processes belong to the parent."""
        self.alive = False
        self._zygote.returncode = 0  # else its finaliser complains about a running process
        self._release()

    def _release(self) -> None:
        for sock in (self._control, self._wake, self._waker):
            sock.close()
        for process in self._processes.values():
            process.release()
        self._processes.clear()

    def _control_shutdown(self) -> None:
        try:
            self._control.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def _hand_over(self, process: Process, context: bytes, payload: bytes) -> None:
        try:
            send_frame(process.channel, context)
            send_frame(process.channel, payload)
        except OSError:  # it died already: the event that says so is on its way
            return
        try:
            self._waker.send(b'.')  # the thread listens to the new channel from now on
        except OSError:
            return

    def _send(self, request: Mapping[str, Any], fds: tuple[int, ...] = ()) -> None:
        try:
            send_frame(self._control, json.dumps(request).encode(), fds)
        except OSError as error:
            raise StartupError(
                f'the helper process that starts Executors has ended: {error}', hint='start again'
            ) from error

    def _changed(self, environ: Mapping[str, str]) -> dict[str, str | None]:
        """What differs from the environment that the zygote has, which is memory that all pods share; None for what is gone."""
        own = self._environ
        changed: dict[str, str | None] = {name: value for name, value in environ.items() if own.get(name) != value}
        return {**changed, **dict.fromkeys(own.keys() - environ.keys())}

    def _watch(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self._control, selectors.EVENT_READ)
        selector.register(self._wake, selectors.EVENT_READ)
        known: dict[int, socket.socket] = {}
        try:
            while self.alive:
                self._register(selector, known)
                for key, _ in selector.select():
                    self._on_readable(key, selector, known)
        except (OSError, ValueError):  # closed under our feet by abandon() or at the end of the interpreter
            if self.alive:
                raise
        finally:
            selector.close()

    def _register(self, selector: selectors.BaseSelector, known: dict[int, socket.socket]) -> None:
        with self._lock:
            current = dict(self._processes)
        for number, process in current.items():
            if number not in known and process.channel.fileno() >= 0:
                known[number] = process.channel
                selector.register(process.channel, selectors.EVENT_READ, process)

    def _on_readable(
        self, key: selectors.SelectorKey, selector: selectors.BaseSelector, known: dict[int, socket.socket]
    ) -> None:
        if key.fileobj is self._wake:
            self._wake.recv(4096)
        elif key.fileobj is self._control:
            self._on_control(selector, known)
        elif isinstance(key.data, Process):
            released = key.data.number not in self._processes  # its end was in the same batch
            if not released and not self._read_event(key.data):
                selector.unregister(key.fileobj)

    def _on_control(self, selector: selectors.BaseSelector, known: dict[int, socket.socket]) -> None:
        message = _receive(self._control)
        if message is None:
            self._on_zygote_end()
            return
        event = json.loads(message)
        process = self._processes.get(event.get('id', 0))
        if process is None:
            return
        if event['event'] == 'exited':
            self._drain(process)
            channel = known.pop(process.number, None)
            if channel is not None and channel.fileno() in selector.get_map():
                selector.unregister(channel)
            self._finish(process, event)
        else:
            process.listener.deliver(event)

    def _read_event(self, process: Process) -> bool:
        message = _receive(process.channel)
        if message is None:
            return False
        process.listener.deliver(pickle.loads(message))
        return True

    def _drain(self, process: Process) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(process.channel, selectors.EVENT_READ)
            while selector.select(0) and self._read_event(process):
                continue

    def _finish(self, process: Process, event: Mapping[str, Any]) -> None:
        lines = process.last_lines()
        with self._lock:
            self._processes.pop(process.number, None)
        process.release()
        process.listener.deliver({**event, 'lines': lines})

    def _on_zygote_end(self) -> None:
        with self._lock:
            self.alive = False
            processes = list(self._processes.values())
        for process in processes:
            self._drain(process)
            self._finish(process, {'event': 'exited', 'status': None})


def start_method() -> str:
    """How pods start: ``fork`` (from the zygote) or ``spawn`` (a fresh interpreter), from ``JINA_MP_START_METHOD``.

    Raises:
        ConfigError: The variable holds something else than fork, forkserver or spawn.
    """
    value = os.environ.get('JINA_MP_START_METHOD', '').lower() or 'fork'
    if value not in ('fork', 'forkserver', 'spawn'):
        raise ConfigError(f'JINA_MP_START_METHOD={value!r} is unknown', hint='use fork, forkserver or spawn')
    return 'spawn' if value == 'spawn' else 'fork'


_current: Launcher | None = None
_current_lock = threading.Lock()


def current() -> Launcher:
    """The launcher of this process; started by the first call."""
    global _current
    with _current_lock:
        if _current is None or not _current.alive:
            if _current is not None:
                _current.close()
            _current = Launcher()
        return _current


_prepares: ContextVar[bool] = ContextVar('prepares', default=True)


@contextlib.contextmanager
def unprepared() -> Iterator[None]:
    """Deployments and Flows that are made in this context won't be started in processes."""
    token = _prepares.set(False)
    try:
        yield
    finally:
        _prepares.reset(token)


def prepare(modules: Sequence[str] = ()) -> None:
    """Start the zygote ahead of its first use, while the program goes on, and have it import what the pods will need."""
    if not _prepares.get():
        return
    running = current()
    if modules:
        running.preload(modules)


def stop(process: Process, grace: float) -> None:
    """Ask a process to end, see :meth:`Launcher.stop`; nothing happens if it belongs to a process that forked this one."""
    running = _current
    if running is not None and running.pid == process.zygote:
        running.stop(process, grace)


def send(process: Process, message: Any) -> None:
    """Send a message to a process, see :meth:`Launcher.send`."""
    running = _current
    if running is not None and running.pid == process.zygote:
        running.send(process, message)


def close() -> None:
    """End the launcher of this process with all its pods; the next :func:`current` starts a new one."""
    global _current
    with _current_lock:
        ended, _current = _current, None
    if ended is not None:
        ended.close()


def _forget() -> None:
    global _current, _current_lock
    _current_lock = threading.Lock()
    ended, _current = _current, None
    if ended is not None:
        ended.abandon()


def _receive(sock: socket.socket) -> bytes | None:
    try:
        message = recv_frame(sock)
    except OSError:
        return None
    return message[0] if message else None


def _output(fd: int) -> int:
    """A copy of the parent's stdout or stderr as it is now; a closed one becomes the null device."""
    try:
        return os.dup(fd)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def _working_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return os.sep


atexit.register(close)
os.register_at_fork(after_in_child=_forget)
