"""Whether requests reach everything behind a server, as a status to answer with."""

from __future__ import annotations

from jina.core.errors import JinaError, RemoteError
from jina.core.status import StatusMessage
from jina.core.wire import StatusProto
from jina.runtime.service import RequestService


async def dry_run_status(service: RequestService) -> StatusMessage:
    """Makes a dry run and returns its outcome, without tracebacks of this process."""
    status = StatusMessage()
    try:
        await service.dry_run()
    except RemoteError as error:
        _fill(status.proto, error, error.name)
        exception = status.proto.exception
        exception.args.extend(error.remote_args)
        exception.stacks.extend(error.stacks)
        exception.executor = error.executor
    except JinaError as error:
        _fill(status.proto, error, type(error).__name__)
        status.proto.exception.args.append(str(error))
    return status


def _fill(status: StatusProto, error: JinaError, name: str) -> None:
    status.code = StatusProto.ERROR
    status.description = str(error)
    status.exception.name = name
