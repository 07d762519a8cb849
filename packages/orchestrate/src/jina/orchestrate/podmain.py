"""What runs inside a pod process, between the fork (or the start of a fresh interpreter) and the server's own main function."""

from __future__ import annotations

import concurrent.futures
import ctypes
import faulthandler
import os
import pickle
import random
import signal
import socket
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol, TypeAlias

from jina.core.errors import JinaError, LifecycleError
from jina.orchestrate import journal
from jina.orchestrate.frames import recv_frame, send_frame

PARENT_DEATH_GRACE_S = 5.0
"""Seconds that a pod has to finish after its parent process died."""
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


Take: TypeAlias = 'Callable[[Mapping[str, Any]], concurrent.futures.Future[None]]'
"""Takes a command of the parent and does it, in its own time."""


class Report(Protocol):
    """Tells the parent that the pod is ready."""

    def __call__(self, addresses: Sequence[Any], /) -> None: ...

    def on_commands(self, take: Take, /) -> None:
        """Say what takes commands of the parent, before the pod is ready."""
        ...


@cache
def kernel_control() -> Callable[..., int] | None:
    """``prctl``; None where there is none. The zygote looks it up for all pods."""
    return ctypes.CDLL(None).prctl if sys.platform.startswith('linux') else None


def die_with_parent(title: str) -> None:
    """Ask the kernel for SIGTERM when the zygote dies, and name the process. Linux only; elsewhere the socket's end of file does it."""
    control = kernel_control()
    if control is not None:
        control(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        control(_PR_SET_NAME, title.encode()[:15], 0, 0, 0)


def run(channel: socket.socket, journal_fd: int, context: Mapping[str, Any]) -> int:
    """Run one pod: apply the parent's surroundings, load its specification, call its target, report.

    Args:
        channel: Socket to the parent; the specification is the next message on it.
        journal_fd: Descriptor of the journal for the last lines of output.
        context: ``environ`` (what is to be changed in it), ``path``, ``cwd``, ``argv``, ``main_file``, ``name`` of the parent.

    Returns:
        The exit status.
    """
    _apply(context)
    journal.redirect_output(journal_fd)
    faulthandler.enable(file=2, all_threads=False)
    message = recv_frame(channel)
    if message is None:
        return 1
    parent = _Parent(channel)
    parent.watch()
    try:
        target, arguments = pickle.loads(message[0])
        _populate_main((target, arguments))
        status = target(parent, *arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException as error:  # noqa: BLE001 - the process boundary: whatever it is, the parent reports it
        parent.tell(event='failed', **_describe(error))
        return 1
    return int(status or 0)


def leave(status: int) -> None:
    """End the process at once: an Executor's threads must not keep a pod alive."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(status)


def _apply(context: Mapping[str, Any]) -> None:
    set_environ(context['environ'])
    time.tzset()
    sys.path[:] = context['path']
    _look_anew()
    sys.argv[:] = context['argv']
    try:
        os.chdir(context['cwd'])
    except OSError as error:
        sys.stderr.write(f'{context["name"]}: the working directory {context["cwd"]!r} is gone: {error}\n')
    random.seed()
    numpy_random = sys.modules.get('numpy.random')  # numpy imports it on first use
    if numpy_random is not None:
        numpy_random.seed()
    main = types.ModuleType('__main__')
    if context.get('main_file'):
        main.__file__ = context['main_file']
    sys.modules['__main__'] = main


def set_environ(changes: Mapping[str, str | None]) -> None:
    """Change variables of the environment; those with None are removed."""
    for name, value in changes.items():
        if value is not None:
            os.environ[name] = value
        elif name in os.environ:
            del os.environ[name]


def _look_anew() -> None:
    """Have Python find modules that were made a moment ago.

    ``importlib.invalidate_caches`` would write to the finders of all folders of all packages, which is memory that pods share.
    """
    known = sys.path_importer_cache
    for folder in sys.path:
        finder = known.get(folder)
        if finder is None:
            known.pop(folder, None)  # it was not there
        elif hasattr(finder, 'invalidate_caches'):
            finder.invalidate_caches()


def _populate_main(value: Any) -> None:
    """Give classes of the main script a home, so that type hints and unpickling by name work in the pod as in the script."""
    main = vars(sys.modules['__main__'])
    seen: set[int] = set()
    pending = [value]
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, (tuple, list)):
            pending += item
        elif isinstance(item, dict):
            pending += item.values()
        elif isinstance(item, (type, types.FunctionType)) and item.__module__ == '__main__':
            if '<locals>' not in item.__qualname__:
                main.setdefault(item.__name__, item)
            if isinstance(item, types.FunctionType):
                pending += [
                    found for found in item.__globals__.values() if isinstance(found, (type, types.FunctionType))
                ]
            else:
                pending += vars(item).values()
        elif hasattr(type(item), 'model_fields'):
            pending += vars(item).values()


def _describe(error: BaseException) -> dict[str, Any]:
    """The exception in a form that arrives in the parent even if its class doesn't."""
    text = ''.join(traceback.format_exception(type(error), error, error.__traceback__))
    pickled = b''
    if isinstance(error, JinaError):
        try:
            state = {key: value for key, value in vars(error).items() if not key.startswith('__')}
            pickled = pickle.dumps((type(error), error.args, state))
        except (pickle.PicklingError, TypeError, AttributeError):
            pickled = b''
    return {'kind': type(error).__name__, 'message': str(error), 'traceback': text, 'error': pickled}


class _Parent:
    """The parent process, as its pod sees it: gets reports, gives commands, and the pod ends with it."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._take: Take | None = None

    def __call__(self, addresses: Sequence[Any], /) -> None:
        self.tell(event='ready', addresses=list(addresses))

    def on_commands(self, take: Take, /) -> None:
        self._take = take

    def tell(self, **event: Any) -> None:
        with self._lock:
            send_frame(self._channel, pickle.dumps(event))

    def watch(self) -> None:
        """Take commands until the parent is gone, in a thread."""
        threading.Thread(target=self._watch, name='jina-parent-watch', daemon=True).start()

    def _watch(self) -> None:
        try:
            while (message := recv_frame(self._channel)) is not None:
                self._do(**pickle.loads(message[0]))
        except OSError:
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PARENT_DEATH_GRACE_S)
        os.killpg(0, signal.SIGKILL)

    def _do(self, number: int, command: Mapping[str, Any]) -> None:
        if self._take is None:
            self.tell(event='answered', number=number, failure=_describe(LifecycleError('it takes no commands')))
            return

        def answer(done: concurrent.futures.Future[None]) -> None:
            error = concurrent.futures.CancelledError() if done.cancelled() else done.exception()
            try:
                self.tell(event='answered', number=number, failure=None if error is None else _describe(error))
            except OSError:
                return  # the parent is gone, and nobody waits for the answer

        self._take(command).add_done_callback(answer)
