"""The GraphQL schema of a server: a typed field for each endpoint, and ``docs`` for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final, Optional

import strawberry
from graphql import GraphQLError
from jina.core.errors import JinaError
from jina.core.logging.logger import JinaLogger
from jina.core.request import DataRequest
from jina.core.wire import DEFAULT_ENDPOINT
from jina.runtime.http.bodies import BodyError
from jina.runtime.http.graphql.types import SCALARS, TypeBuilder, identifier
from jina.runtime.http.rendering import to_json, untyped_docs
from jina.runtime.http.routes import EXECUTOR_ERROR, PostHandler
from jina.runtime.service import RequestService
from strawberry import UNSET
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

__all__ = ['GENERIC_FIELD', 'build_schema']

GENERIC_FIELD: Final = 'docs'
"""The field that takes the endpoint as an argument."""
_DEFAULT_ENDPOINT: Final = '/search'
_OTHERWISE: Final = DEFAULT_ENDPOINT  # of Executors, for requests to endpoints that they don't have
_PARAMETERS = Optional[JSON]  # noqa: UP045 - strawberry reads it at run time
_TARGET = Annotated[Optional[str], strawberry.argument(name='targetExecutor')]  # noqa: UP045
_ENDPOINT = Annotated[str, strawberry.argument(name='execEndpoint')]


class _Schema(strawberry.Schema):
    """A schema that leaves what to log to the resolvers."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        return


def build_schema(
    service: RequestService, handlers: Mapping[str, PostHandler], *, is_worker: bool, logger: JinaLogger
) -> strawberry.Schema:
    """Makes the schema of a server.

    Args:
        service: What answers.
        handlers: What reads the requests to each endpoint; at least one.
        is_worker: The server is an Executor itself.
        logger: For failures of the server itself.
    """
    calls = _Calls(service, handlers, TypeBuilder(), is_worker=is_worker, logger=logger)
    fields = {GENERIC_FIELD: calls.generic_field()}
    for name in handlers:
        title = base = identifier(name.strip('/')) if name.strip('/') else 'root'
        number = 2
        while title in fields:
            title, number = f'{base}_{number}', number + 1
        fields[title] = calls.field(name, title)
    query, mutation = (strawberry.type(type(kind, (), dict(fields)), name=kind) for kind in ('Query', 'Mutation'))
    config = StrawberryConfig(auto_camel_case=False, default_resolver=calls.types.resolve, scalar_map=SCALARS)
    return _Schema(query=query, mutation=mutation, config=config)


class _Calls:
    """Makes fields that call endpoints."""

    def __init__(
        self,
        service: RequestService,
        handlers: Mapping[str, PostHandler],
        types: TypeBuilder,
        *,
        is_worker: bool,
        logger: JinaLogger,
    ) -> None:
        self.types = types
        self._service = service
        self._handlers = handlers
        self._is_worker = is_worker
        self._logger = logger

    def field(self, name: str, title: str) -> Any:
        """The field of one endpoint."""
        schema = self._handlers[name].schema

        async def resolve(data: Any = UNSET, parameters: Any = UNSET, targetExecutor: Any = UNSET) -> Any:
            return await self._answer(name, data, parameters, targetExecutor)

        model = schema.parameters_model
        given = Optional[self.types.input([model], f'{title}_parameters')] if model else _PARAMETERS  # noqa: UP045
        documents = self.types.input([schema.input_model]), self.types.output([schema.output_model])
        return _field(resolve, documents, {'parameters': given, 'targetExecutor': _TARGET}, f'Calls {name}.')

    def generic_field(self) -> Any:
        """The field for all endpoints."""
        names = {name.strip('/'): name for name in self._handlers}

        async def resolve(
            data: Any = UNSET,
            execEndpoint: str = _DEFAULT_ENDPOINT,
            parameters: Any = UNSET,
            targetExecutor: Any = UNSET,
        ) -> Any:
            name = names.get(execEndpoint.strip('/'), names.get(_OTHERWISE.strip('/')))
            if name is None:
                known = ', '.join(map(repr, self._handlers))
                raise _error(f'there is no endpoint {execEndpoint!r}; there are {known}', 404)
            return await self._answer(name, data, parameters, targetExecutor)

        schemas = [handler.schema for handler in self._handlers.values()]
        documents = (
            self.types.input([schema.input_model for schema in schemas], 'Document'),
            self.types.output([schema.output_model for schema in schemas], 'Document'),
        )
        arguments = {'execEndpoint': _ENDPOINT, 'parameters': _PARAMETERS, 'targetExecutor': _TARGET}
        return _field(resolve, documents, arguments, 'Calls any endpoint.')

    async def _answer(self, name: str, data: Any, parameters: Any, target: str | None) -> Any:
        handler = self._handlers[name]
        body = {
            'data': self.types.to_json_names(data or []),
            'parameters': self.types.to_json_names(parameters or None),
            'targetExecutor': target or None,
        }
        try:
            response = await _exchange(self._service, handler.read(to_json(body), name))
            if response.is_error:
                raise _executor_error(response)
            return list(response.docs if self._is_worker else untyped_docs(response))
        except BodyError as error:
            raise _error(f'the arguments do not fit {name}: {_first(error)}', 422, detail=error.details) from None
        except JinaError as error:
            raise _error(str(error), error.http_status) from None
        except GraphQLError:
            raise
        except Exception as error:
            self._logger.error('%s failed', name, exc_info=error)
            raise _error(f'{name} failed: {error!r}', 500) from None


def _field(resolve: Any, documents: tuple[Any, Any], arguments: dict[str, Any], description: str) -> Any:
    taken, given = documents
    data, result = Optional[list[taken]], list[given]  # type: ignore[valid-type]  # noqa: UP045
    resolve.__annotations__ = {'data': data, **arguments, 'return': result}
    return strawberry.field(resolver=resolve, description=description)


async def _exchange(service: RequestService, request: DataRequest) -> DataRequest:
    """Gives a request to the service and waits; who stops waiting ends the work."""
    answer: asyncio.Future[DataRequest] = asyncio.get_running_loop().create_future()

    def finished(response: DataRequest | None, error: Exception | None) -> None:
        if answer.done():
            return
        if response is not None:
            answer.set_result(response)
        else:
            answer.set_exception(error or JinaError('no answer'))

    cancel = service.begin_request(request, finished, with_routes=False)
    try:
        return await answer
    except asyncio.CancelledError:
        if cancel is not None:
            cancel()
        raise


def _executor_error(response: DataRequest) -> GraphQLError:
    status = response.status
    return _error(
        status.description,
        EXECUTOR_ERROR,
        exception=status.exception.name,
        executor=status.exception.executor,
        requestId=response.request_id,
    )


def _error(message: str, status: int, **extensions: Any) -> GraphQLError:
    """An error with the status that HTTP would have had."""
    return GraphQLError(message, extensions={'status': status, **extensions})


def _first(error: BodyError) -> str:
    """What is wrong first, and where."""
    if not error.details:
        return 'unknown'
    first = error.details[0]
    place = '.'.join(str(part) for part in first.get('loc', ())[1:])
    return f'{place}: {first.get("msg", "")}'
