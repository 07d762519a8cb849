"""Whether requests reach everything behind a server, as a status to answer with."""

from __future__ import annotations

from typing import Final

from jina.core.errors import JinaError, RemoteError, TransportError
from jina.core.status import StatusMessage
from jina.runtime.service import RequestService

_NETWORK_ERROR: Final = 'InternalNetworkError'
"""What the answers call a ``TransportError``: the name that is documented, and importable from ``jina.excepts``."""


async def dry_run_status(service: RequestService, *, traceback: bool = False) -> StatusMessage:
    """Makes a dry run and returns its outcome.

    Args:
        service: What is asked.
        traceback: Tell where in this process an error was raised, rather than the error alone.
    """
    status = StatusMessage()
    try:
        await service.dry_run()
    except JinaError as error:
        status.set_exception(error)
        status.proto.description = str(error)
        exception = status.proto.exception
        if isinstance(error, TransportError):
            exception.name = _NETWORK_ERROR
        if isinstance(error, RemoteError):
            del exception.args[:], exception.stacks[:]
            exception.name, exception.executor = error.name, error.executor
            exception.args.extend(error.remote_args)
            exception.stacks.extend(error.stacks)
        elif not traceback:
            exception.stacks[:] = [f'jina.excepts.{exception.name}: {error}\n']
    return status
