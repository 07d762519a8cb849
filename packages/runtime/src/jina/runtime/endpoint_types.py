"""The document types of a server's endpoints, for protocols whose messages are JSON."""

from __future__ import annotations

from typing import Any, cast

from jina.core.errors import SchemaError
from jina.core.logging.logger import JinaLogger
from jina.core.schema import EndpointSchema, remote_endpoints
from jina.core.wire import DRY_RUN_ENDPOINT
from jina.runtime.service import RequestService


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
