"""The document types of a server's endpoints, for protocols whose messages are JSON."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Final, cast

from jina.core.errors import SchemaError, UnknownEndpointError
from jina.core.logging.logger import JinaLogger
from jina.core.schema import EndpointSchema, remote_endpoints
from jina.core.wire import DRY_RUN_ENDPOINT
from jina.runtime.service import RequestService

_LISTED: Final = 12
_LONGEST: Final = 100


def missing_endpoint(name: str, known: Iterable[str], what: str = 'endpoint') -> UnknownEndpointError:
    """Returns the error of a request for an endpoint that isn't there; it names the nearest one.

    Args:
        name: What was asked for.
        known: What there is.
        what: What it is called.
    """
    names = sorted(known)
    if len(name) > _LONGEST:
        name = f'{name[:_LONGEST]}…'
    near = difflib.get_close_matches(name, names, 1)
    listed = ', '.join(names[:_LISTED]) + (', …' if len(names) > _LISTED else '')
    hint = f'did you mean {near[0]!r}?' if near else f'there are {listed}' if names else 'there is none'
    return UnknownEndpointError(f'there is no {what} {name!r}', hint=hint)


async def endpoint_types(service: RequestService, *, is_worker: bool, logger: JinaLogger) -> dict[str, EndpointSchema]:
    """Returns the types of all endpoints by name. For a gateway it waits until every Executor has answered once.

    Args:
        service: What answers requests.
        is_worker: It is an Executor itself.
        logger: Told about endpoints whose schema describes no documents; they are left out.
    """
    if is_worker:
        worker: Any = service
        return cast('dict[str, EndpointSchema]', worker.endpoint_schemas)
    types: dict[str, EndpointSchema] = {}
    for name, endpoint in remote_endpoints(await service.endpoints()).items():
        if name == DRY_RUN_ENDPOINT:
            continue
        try:
            types[name] = endpoint.types()
        except SchemaError as error:
            logger.warning('endpoint %r can not be called with JSON: %s', name, error)
    return types
