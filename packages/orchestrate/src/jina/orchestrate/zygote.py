"""The zygote: a small clean process that has the runtime imported and forks a pod for every request of its parent.

No gRPC object, thread or event loop exists in it before a fork. It talks to its parent over a Unix socket pair: requests arrive
as JSON messages with the descriptors of the new pod (its own socket to the parent, stdout, stderr, journal); what comes back is
the start and the end of every pod. When the parent dies, the zygote ends its pods and itself.

Run by :mod:`jina.orchestrate.launcher` as ``python -c BOOTSTRAP CONTROL_FD PARENT_PID``; the bootstrap calls :func:`main`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from jina.orchestrate import podmain
from jina.orchestrate.frames import recv_frame, send_frame

PRELOAD = ('jina.runtime.preload', 'jina.orchestrate.server', 'jina.orchestrate.pickling')
"""Modules that every pod finds imported, with what they import."""


@dataclass
class _Child:
    number: int
    deadline: float | None = None
    """Monotonic time of the SIGKILL; None while nobody asked the pod to stop."""


class Zygote:
    """The request loop of the helper process."""

    def __init__(self, control: socket.socket, parent: int) -> None:
        self._control = control
        self._parent = parent
        self._children: dict[int, _Child] = {}
        self._closing = False
        self._wake_read, self._wake_write = (
            os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, 'pipe2') else os.pipe()
        )
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, self._on_control)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._on_signal)
        self._terminated = False

    def run(self) -> None:
        """Serve requests until the parent is gone and every pod has ended."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._watch_parent()
        self._tell({'event': 'up'})
        while not (self._closing and not self._children):
            for key, _ in self._selector.select(self._timeout()):
                key.data()
            if self._terminated:
                self._end_all()
            self._kill_overdue()
            self._reap()

    def _watch_parent(self) -> None:
        # The socket's end of file is not enough: a process that the parent forked may still hold the other end
        if hasattr(os, 'pidfd_open'):
            try:
                self._selector.register(os.pidfd_open(self._parent), selectors.EVENT_READ, self._end_all)
            except OSError:
                if os.getppid() != self._parent:
                    self._end_all()

    def _timeout(self) -> float | None:
        deadlines = [child.deadline for child in self._children.values() if child.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _on_signal(self) -> None:
        try:
            while os.read(self._wake_read, 512):
                continue
        except BlockingIOError:
            return

    def _on_terminate(self, *_: object) -> None:
        self._terminated = True

    def _on_control(self) -> None:
        try:
            message = recv_frame(self._control)
        except OSError:
            message = None
        if message is None:
            self._end_all()
            return
        payload, fds = message
        request = json.loads(payload)
        operation = request['op']
        if operation == 'start':
            self._start(request, fds)
        elif operation == 'stop':
            self._stop(request)
        elif operation == 'preload':
            preload(request['modules'])

    def _start(self, request: Mapping[str, Any], fds: list[int]) -> None:
        signal.pthread_sigmask(
            signal.SIG_BLOCK, {signal.SIGTERM}
        )  # the pod must not take one with the zygote's handler
        pid = os.fork()
        if pid == 0:
            self._become_pod(request, fds)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        for fd in fds:
            os.close(fd)
        self._children[pid] = _Child(request['id'])
        self._tell({'event': 'started', 'id': request['id'], 'pid': pid})

    def _become_pod(self, request: Mapping[str, Any], fds: list[int]) -> NoReturn:
        status = 1
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            self._selector.close()
            self._control.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            podmain.die_with_parent(request['name'])
            channel, stdout, stderr, journal_fd = fds
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            os.close(stdout)
            os.close(stderr)
            sock = socket.socket(fileno=channel)
            message = recv_frame(sock)
            if message is not None:
                context = pickle.loads(message[0])
                if request['fresh']:
                    _exec_pod(sock, journal_fd, context)
                gc.enable()
                status = podmain.run(sock, journal_fd, context)
        finally:
            podmain.leave(status)
        raise AssertionError('unreachable')

    def _stop(self, request: Mapping[str, Any]) -> None:
        for pid, child in self._children.items():
            if child.number == request['id']:
                self._end(pid, child, request['grace'])

    def _end(self, pid: int, child: _Child, grace: float) -> None:
        deadline = time.monotonic() + grace
        first = child.deadline is None
        child.deadline = deadline if child.deadline is None else min(deadline, child.deadline)
        if first:
            os.kill(pid, signal.SIGTERM)

    def _end_all(self) -> None:
        if self._closing:
            return
        self._closing = True
        for key in list(self._selector.get_map().values()):
            if key.fd != self._wake_read:
                self._selector.unregister(key.fileobj)
        for pid, child in self._children.items():
            self._end(pid, child, podmain.PARENT_DEATH_GRACE_S - 0.5)

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for pid, child in self._children.items():
            if child.deadline is not None and child.deadline <= now:
                child.deadline = now + 3600
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        for pid, child in list(self._children.items()):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # what the Executor started must not outlive it
            _, status = os.waitpid(pid, 0)
            del self._children[pid]
            self._tell({'event': 'exited', 'id': child.number, 'status': os.waitstatus_to_exitcode(status)})

    def _tell(self, event: Mapping[str, Any]) -> None:
        try:
            send_frame(self._control, json.dumps(event).encode())
        except OSError:
            return


def preload(modules: list[str] | tuple[str, ...]) -> None:
    """Import modules so that the pods find them; what is missing or broken is reported by the pod that needs it."""
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # keeps the pages of these objects shared with the pods


def _exec_pod(channel: socket.socket, journal_fd: int, context: Mapping[str, Any]) -> NoReturn:
    """Replace the forked process by a fresh interpreter that goes on with the same socket."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - stays open across the exec
    pickle.dump(dict(context), file)
    file.flush()
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    for fd in (channel.fileno(), journal_fd, file.fileno()):
        os.set_inheritable(fd, True)
    arguments = interpreter('run_fresh', context['path'], channel.fileno(), journal_fd, file.fileno())
    os.chdir(context['cwd'])
    podmain.set_environ(context['environ'])
    os.execve(arguments[0], arguments, os.environ)


def interpreter(function: str, path: list[str], *numbers: int) -> list[str]:
    """Command line of a fresh interpreter that calls a function of this module with the parent's ``sys.path``.

    ``-m`` would put the working directory in front of the path, where a user's ``grpc.py`` could hide the real one.
    """
    code = f'import sys; sys.path[:] = {path!r}; from jina.orchestrate.zygote import {function}; {function}()'
    return [sys.executable, '-c', code, *map(str, numbers)]


def run_fresh() -> None:
    """Entry of a pod in a fresh interpreter (``JINA_MP_START_METHOD=spawn``)."""
    channel_fd, journal_fd, reader = (int(number) for number in sys.argv[1:4])
    for fd in (channel_fd, journal_fd):
        os.set_inheritable(fd, False)
    status = 1
    try:
        with os.fdopen(reader, 'rb') as file:
            context = pickle.load(file)
        podmain.die_with_parent(context['name'])
        status = podmain.run(socket.socket(fileno=channel_fd), journal_fd, context)
    finally:
        podmain.leave(status)


def main() -> None:
    """Entry of the zygote process."""
    gc.disable()
    warnings.filterwarnings('ignore', message='.*multi-threaded, use of fork.*', category=DeprecationWarning)
    control_fd, parent = int(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(control_fd, False)
    before = dict(os.environ)
    preload(PRELOAD)
    podmain.set_environ({**dict.fromkeys(os.environ.keys() - before.keys()), **before})  # a library may have changed it
    podmain.kernel_control()
    try:
        Zygote(socket.socket(fileno=control_fd), parent).run()
    finally:
        podmain.leave(0)


def command(control_fd: int) -> list[str]:
    """Command line that starts a zygote for this process."""
    return interpreter('main', list(sys.path), control_fd, os.getpid())


def popen(control_fd: int) -> subprocess.Popen[bytes]:
    """Start a zygote in a session of its own, so that Ctrl-C reaches the parent only."""
    return subprocess.Popen(
        command(control_fd),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(control_fd,),
        start_new_session=True,
    )
