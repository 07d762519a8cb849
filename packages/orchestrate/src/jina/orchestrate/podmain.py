"""What runs inside a pod process, between the fork (or the start of a fresh interpreter) and the server's own main function."""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
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
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from jina.core.errors import JinaError
from jina.orchestrate import journal
from jina.orchestrate.frames import recv_frame, send_frame

PARENT_DEATH_GRACE_S = 5.0
"""Seconds that a pod has to finish after its parent process died."""
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


class Report(Protocol):
    """Tells the parent that the pod is ready."""

    def __call__(self, addresses: Sequence[Any], /) -> None: ...


def die_with_parent(title: str) -> None:
    """Ask the kernel for SIGTERM when the zygote dies, and name the process. Linux only; elsewhere the socket's end of file does it."""
    if not sys.platform.startswith('linux'):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    libc.prctl(_PR_SET_NAME, title.encode()[:15], 0, 0, 0)


def run(channel: socket.socket, journal_fd: int, context: Mapping[str, Any]) -> int:
    """Run one pod: apply the parent's surroundings, load its specification, call its target, report.

    Args:
        channel: Socket to the parent; the specification is the next message on it.
        journal_fd: Descriptor of the journal for the last lines of output.
        context: ``environ``, ``path``, ``cwd``, ``argv``, ``main_file``, ``name`` of the parent.

    Returns:
        The exit status.
    """
    _apply(context)
    journal.redirect_output(journal_fd)
    faulthandler.enable(file=2, all_threads=False)
    message = recv_frame(channel)
    if message is None:
        return 1
    _watch_parent(channel)
    lock = threading.Lock()

    def tell(**event: Any) -> None:
        with lock:
            send_frame(channel, pickle.dumps(event))

    try:
        target, arguments = pickle.loads(message[0])
        _populate_main((target, arguments))
        status = target(lambda addresses: tell(event='ready', addresses=list(addresses)), *arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException as error:  # noqa: BLE001 - the process boundary: whatever it is, the parent reports it
        tell(event='failed', **_describe(error))
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
    os.environ.clear()
    os.environ.update(context['environ'])
    time.tzset()
    sys.path[:] = context['path']
    importlib.invalidate_caches()
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


def _watch_parent(channel: socket.socket) -> None:
    def watch() -> None:
        try:
            while channel.recv(4096):
                continue
        except OSError:
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PARENT_DEATH_GRACE_S)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name='jina-parent-watch', daemon=True).start()
