"""Endpoints of an Executor: the decorators that declare them and the table that a server looks them up in."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

from jina.core.annotations import (
    ParametersType,
    annotations_of,
    branch_documents,
    documents,
    names_in_callers,
    parameters_type,
    resolve,
)
from jina.core.errors import ConfigError, JinaError, SchemaError
from jina.core.parameters import bind_parameters
from jina.core.schema import EndpointSchema, doc_list_of, legacy_document
from jina.core.stateful import BATCHING_MARK, WRITE_MARK, check_marks, check_write, is_write

if TYPE_CHECKING:
    from docarray import BaseDoc, DocList
    from pydantic import BaseModel

    from jina.core.batching import Batching
    from jina.core.executor import BaseExecutor
    from jina.core.wire import EndpointsProto

DEFAULT_ENDPOINT: Final = '/default'
"""Endpoint of a method with a bare ``@requests``: it answers every endpoint that has no method of its own."""
DRY_RUN_ENDPOINT: Final = '_jina_dry_run_'
"""Hidden endpoint that answers whether requests reach the Executor; it runs no user code."""
INJECTED: Final = ('doc', 'docs', 'parameters', 'docs_matrix', 'docs_map', 'tracing_context')
"""Arguments that the framework gives to an endpoint method that asks for them."""

_MARK: Final = '__jina_requests__'

_Function = TypeVar('_Function', bound=Callable[..., Any])


@dataclass(frozen=True)
class RequestsMark:
    """What ``@requests`` leaves at a method.

    Attributes:
        endpoints: Endpoints that the method is bound to.
        request_schema: Type of the documents that go in; None takes it from the annotation.
        response_schema: Type of the documents that come out; None takes it from the annotation.
        names: Local names that the method's string annotations need.
    """

    endpoints: tuple[str, ...]
    request_schema: Any = None
    response_schema: Any = None
    names: Mapping[str, Any] = field(default_factory=dict)


@overload
def requests(func: _Function) -> _Function: ...


@overload
def requests(
    func: None = None,
    *,
    on: str | Sequence[str] | None = None,
    request_schema: Any = None,
    response_schema: Any = None,
) -> Callable[[_Function], _Function]: ...


def requests(
    func: Any = None,
    *,
    on: str | Sequence[str] | None = None,
    request_schema: Any = None,
    response_schema: Any = None,
) -> Any:
    """Binds a method of an Executor to network endpoints.

    The method may be ``def``, ``async def`` or a generator, and stays callable as it is. Whatever it names among
    ``docs`` (a list) or ``doc`` (one at a time), ``parameters``, ``tracing_context``, ``docs_matrix`` and ``docs_map``
    is passed to it; the rest goes to ``**kwargs``. The annotations of documents, parameters and return are the real
    types of the endpoint.

    Args:
        func: The method, when used without parentheses.
        on: Endpoint or endpoints, for example ``'/index'`` or ``['/index', '/update']``. Default: every endpoint that no
            other method is bound to.
        request_schema: ``DocList[MyDoc]``, or ``MyDoc`` with ``doc``; wins over the annotation.
        response_schema: The same for what is returned.

    Raises:
        ConfigError: ``on`` is something else than strings, or the decorated object is not a function.
    """
    if isinstance(func, (str, list, tuple)):
        raise ConfigError(f'@requests({func!r}) has a positional argument', hint=f'write @requests(on={func!r})')
    endpoints = _endpoint_names(on)

    def decorate(function: _Function, depth: int = 2) -> _Function:
        if not callable(function) or isinstance(function, type):
            raise ConfigError(f'@requests is used on {function!r}', hint='decorate a method of an Executor')
        names = names_in_callers(function, depth)
        mark = RequestsMark(endpoints, request_schema, response_schema, names)
        setattr(function, _MARK, (*getattr(function, _MARK, ()), mark))
        return function

    return decorate if func is None else decorate(func, 3)


def _endpoint_names(on: str | Sequence[str] | None) -> tuple[str, ...]:
    if on is None:
        return (DEFAULT_ENDPOINT,)
    names = (on,) if isinstance(on, str) else tuple(on)
    if not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f'@requests(on={on!r}) is no endpoint', hint="give a string such as '/index', or a list of strings"
        )
    return names


def write(func: _Function) -> _Function:
    """Marks an endpoint method that changes the state of the Executor, above or below ``@requests``.

    With ``stateful=True`` all replicas answer each request to it, in the same order, and come to the same state if the method does the
    same for the same requests. Otherwise nothing changes.
    """
    setattr(func, WRITE_MARK, True)
    return func


def dynamic_batching(  # noqa: PLR0913 - one argument per option
    func: Any = None,
    *,
    preferred_batch_size: int | None = None,
    timeout: float = 10_000,
    flush_all: bool = False,
    custom_metric: Callable[[Any], float] | str | None = None,
    use_custom_metric: bool = False,
    run_when_idle: bool = False,
    max_latency_ms: float | None = None,
    priority_parameter: str | None = None,
) -> Any:
    """Declares that requests to an endpoint are collected into batches, above or below ``@requests``.

    A batch has requests with equal parameters and never more than ``preferred_batch_size`` documents. It is run when that
    many are there, or when the oldest request has waited for ``timeout``. The method returns as many documents as it is
    given, or changes them in place; each request gets its own. The configuration (``uses_dynamic_batching``) overrides
    these values one by one.

    Args:
        func: The method, when used without parentheses.
        preferred_batch_size: Number of documents that a batch should have. Default: 4.
        timeout: How long in ms the oldest request waits for a full batch.
        flush_all: Pass everything that waits as one call, also above the preferred size.
        custom_metric: Measures a document: a batch has ``preferred_batch_size`` of that instead of so many documents.
        use_custom_metric: Apply ``custom_metric``.
        run_when_idle: Don't wait for a full batch while no batch of the endpoint runs.
        max_latency_ms: Time in ms that a request should take at most; size and waiting time of the batches follow.
        priority_parameter: Name of the request parameter with the priority; higher numbers go first.
    """
    given = {
        'preferred_batch_size': preferred_batch_size,
        'timeout': timeout,
        'flush_all': flush_all,
        'custom_metric': custom_metric,
        'use_custom_metric': use_custom_metric,
        'run_when_idle': run_when_idle,
        'max_latency_ms': max_latency_ms,
        'priority_parameter': priority_parameter,
    }
    options = {name: value for name, value in given.items() if value is not None}

    def decorate(function: _Function) -> _Function:
        setattr(function, BATCHING_MARK, options)
        return function

    return decorate if func is None else decorate(func)


def monitor(*, name: str | None = None, documentation: str | None = None) -> Callable[[_Function], _Function]:
    """Measures how long each call of a method of an Executor takes.

    The times go to a histogram of ``self.meter``; without a meter the method just runs.

    Args:
        name: Name of the histogram behind ``jina_``. Default: ``<method>_seconds``.
        documentation: Its description. Default: ``Time spent calling method <method>``.
    """

    def decorate(function: _Function) -> _Function:
        label = name or f'{function.__name__}_seconds'
        description = documentation or f'Time spent calling method {function.__name__}'
        return _timed(function, label, description)

    return decorate


def _timed(function: _Function, label: str, description: str) -> _Function:
    wrapper: Any
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def wrapper(self: BaseExecutor, *args: Any, **kwargs: Any) -> Any:
            with self.monitor(label, description):
                async for item in function(self, *args, **kwargs):
                    yield item

    elif inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def wrapper(self: BaseExecutor, *args: Any, **kwargs: Any) -> Any:
            with self.monitor(label, description):
                yield from function(self, *args, **kwargs)

    elif inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapper(self: BaseExecutor, *args: Any, **kwargs: Any) -> Any:
            with self.monitor(label, description):
                return await function(self, *args, **kwargs)

    else:

        @functools.wraps(function)
        def wrapper(self: BaseExecutor, *args: Any, **kwargs: Any) -> Any:
            with self.monitor(label, description):
                return function(self, *args, **kwargs)

    return wrapper  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of a loaded Executor.

    Attributes:
        name: The endpoint, for example ``/index``.
        function: The bound method.
        schema: Its types.
        accepts: Names of the arguments that the method takes; None if it takes all of ``INJECTED`` (``**kwargs``).
        mode: ``docs`` for a list per call, ``doc`` for one document per call.
        is_async: The method is a coroutine function or an async generator.
        is_generator: The method yields documents.
        batching: How requests are collected into batches; None if each is a call of its own.
        is_write: It has ``@write``.
    """

    name: str
    function: Callable[..., Any]
    schema: EndpointSchema
    accepts: frozenset[str] | None
    mode: Literal['docs', 'doc']
    is_async: bool
    is_generator: bool
    batching: Batching | None = None
    is_write: bool = False

    def arguments(self, available: Mapping[str, Any]) -> dict[str, Any]:
        """Chooses from the available arguments those that the method takes."""
        if self.accepts is None:
            return dict(available)
        return {name: value for name, value in available.items() if name in self.accepts}

    def bind_parameters(self, parameters: dict[str, Any]) -> dict[str, Any] | BaseModel | None:
        """Returns the parameters of this Executor as the method's annotation wants them.

        Raises:
            pydantic.ValidationError: They don't fit the annotated model.
        """
        return bind_parameters(self.schema.parameters, parameters)

    def collect(self, result: Any, docs: DocList[Any]) -> tuple[DocList[Any], dict[str, Any] | None]:
        """Sorts out what a method with ``docs`` returned.

        Args:
            result: Its return value: a DocList, a document, a list of documents, a dict or None.
            docs: The documents that it was given.

        Returns:
            The documents of the response, and the dict for ``parameters['__results__']`` or None.

        Raises:
            SchemaError: It returned something else.
        """
        if result is None:
            return docs, None
        if type(result) is type(docs) and isinstance(result, list):  # a DocList, which most return; no DocVec
            return result, None
        from docarray import BaseDoc, DocList, DocVec  # noqa: PLC0415 - docarray is heavy

        if isinstance(result, DocList):
            return result, None
        if isinstance(result, DocVec):
            return result.to_doc_list(), None
        if isinstance(result, Mapping):
            return docs, dict(result)
        if isinstance(result, BaseDoc):
            return self._list_of([result]), None
        if isinstance(result, (list, tuple)) and all(isinstance(item, BaseDoc) for item in result):
            return self._list_of(list(result)), None
        raise self._bad_result(result)

    def collect_single(self, results: Sequence[Any], docs: DocList[Any]) -> tuple[DocList[Any], dict[str, Any] | None]:
        """Sorts out what a method with ``doc`` returned for each document.

        Args:
            results: Its return values, one per document: a document, a dict or None.
            docs: The documents that it was given, in the same order.

        Returns:
            The documents of the response, and the merged dicts for ``parameters['__results__']`` or None.

        Raises:
            SchemaError: It returned something else.
        """
        from docarray import BaseDoc  # noqa: PLC0415 - docarray is heavy

        if all(result is None for result in results):
            return docs, None
        documents_out: list[BaseDoc] = []
        merged: dict[str, Any] | None = None
        for result, doc in zip(results, docs, strict=True):
            if isinstance(result, BaseDoc):
                documents_out.append(result)
            elif result is None:
                documents_out.append(doc)
            elif isinstance(result, Mapping):
                documents_out.append(doc)
                merged = {**(merged or {}), **result}
            else:
                raise self._bad_result(result)
        return self._list_of(documents_out), merged

    def check_yielded(self, item: Any) -> BaseDoc:
        """Returns what a generator yielded if it is a document of the declared type.

        Raises:
            SchemaError: It is something else.
        """
        from docarray import BaseDoc  # noqa: PLC0415 - docarray is heavy

        wanted = self.schema.output_model
        if isinstance(item, BaseDoc) and (isinstance(item, wanted) or wanted is legacy_document()):
            return item
        raise SchemaError(
            f'endpoint {self.name!r} yielded {item!r} ({type(item).__name__}) and declares {wanted.__name__}',
            hint='yield documents of the annotated type',
        )

    def _list_of(self, docs: list[BaseDoc]) -> DocList[Any]:
        from docarray import DocList  # noqa: PLC0415 - docarray is heavy

        if all(isinstance(doc, self.schema.output_model) for doc in docs):
            return self.schema.output_list(docs)
        kinds = {type(doc) for doc in docs}
        if len(kinds) == 1:
            return doc_list_of(kinds.pop())(docs)
        return DocList(docs)

    def _bad_result(self, result: Any) -> SchemaError:
        hint = 'return a DocList, a document, a dict, or nothing to answer with the documents that came in'
        found = f'endpoint {self.name!r} ({self.function.__qualname__}) returned {result!r} ({type(result).__name__})'
        return SchemaError(found, hint='gather it by `async for docs in ...`' if inspect.isasyncgen(result) else hint)


def bindings_of(executor_class: type) -> dict[str, str]:
    """Returns endpoint to method name as the decorators of a class and its bases say.

    A subclass keeps the endpoints of its bases; a method that it overrides serves them too, and an endpoint that it
    binds to another method is its own.
    """
    bindings: dict[str, str] = {}
    for base in reversed(executor_class.__mro__):
        for method_name, member in vars(base).items():
            for mark in _marks(member):
                bindings.update(dict.fromkeys(mark.endpoints, method_name))
    return bindings


def _marks(member: Any) -> tuple[RequestsMark, ...]:
    """Finds what ``@requests`` left at a class member, also below static and class methods."""
    inner = member.__func__ if isinstance(member, (staticmethod, classmethod)) else member
    if not inspect.isroutine(inner):
        return ()
    marks: tuple[RequestsMark, ...] = getattr(inner, _MARK, ())
    return marks


def replace_bindings(bindings: Mapping[str, str], uses_requests: Mapping[str, str] | None) -> dict[str, str]:
    """Applies ``uses_requests``: a method that it names loses the endpoints of its decorator.

    Args:
        bindings: Endpoint to method name, from the decorators.
        uses_requests: Endpoint to method name, from the configuration.
    """
    if not uses_requests:
        return dict(bindings)
    rebound = set(uses_requests.values())
    kept = {endpoint: method for endpoint, method in bindings.items() if method not in rebound}
    return {**kept, **uses_requests}


class EndpointTable:
    """The endpoints of a loaded Executor.

    Args:
        endpoints: All endpoints; ``/default`` answers what has no endpoint of its own.
    """

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self._default = self._endpoints.get(DEFAULT_ENDPOINT)

    @classmethod
    def of(cls, executor: BaseExecutor) -> EndpointTable:
        """Builds the table of an Executor from its ``requests``.

        Raises:
            SchemaError: An annotation is no document type.
            ConfigError: A method asks for an argument that the framework doesn't give, or has a decorator in vain.
        """
        check_marks(executor, set(bindings_of(type(executor)).values()))
        if executor.dynamic_batching:
            from jina.core.batching import check_names  # noqa: PLC0415 - few Executors need it

            check_names(executor)
        endpoints = []
        for name, function in executor.requests.items():
            try:
                endpoints.append(make_endpoint(executor, name, function))
            except JinaError as error:
                raise _placed(error, function) from error.__cause__
        return cls(endpoints)

    def lookup(self, exec_endpoint: str) -> Endpoint | None:
        """Returns the endpoint that answers a request; None if the request passes through unchanged."""
        endpoint = self._endpoints.get(exec_endpoint)
        if endpoint is not None or exec_endpoint == DRY_RUN_ENDPOINT:
            return endpoint
        return self._default

    @property
    def schemas(self) -> dict[str, EndpointSchema]:
        """Types of all endpoints, without the hidden one."""
        return {name: endpoint.schema for name, endpoint in self._endpoints.items()}

    def __iter__(self) -> Any:
        return iter(self._endpoints.values())

    def __len__(self) -> int:
        return len(self._endpoints)

    def discovery(self) -> EndpointsProto:
        """Returns what ``endpoint_discovery`` answers: all names, the hidden one too, and all types."""
        # Protobuf is for servers only: defining an Executor must not load it.
        from jina.core.structs import dict_to_struct  # noqa: PLC0415
        from jina.core.wire import EndpointsProto  # noqa: PLC0415

        legacy = legacy_document()
        schemas = {**self.schemas, DRY_RUN_ENDPOINT: EndpointSchema(legacy, legacy)}
        if not self._endpoints:
            schemas = {DEFAULT_ENDPOINT: EndpointSchema(legacy, legacy), **schemas}
        proto = EndpointsProto(endpoints=list(schemas))
        entries = {name: schema.to_dict() for name, schema in schemas.items()}
        proto.schemas.CopyFrom(dict_to_struct(entries, what='schemas'))
        return proto


def _placed(error: JinaError, function: Callable[..., Any]) -> JinaError:
    """Returns the same error with the file and line of the method in front."""
    code = getattr(inspect.unwrap(function), '__code__', None)
    if code is None:
        return error
    placed = type(error)(f'{os.path.basename(code.co_filename)}:{code.co_firstlineno}: {error}')
    placed.hint = error.hint
    return placed


def make_endpoint(executor: BaseExecutor, name: str, function: Callable[..., Any]) -> Endpoint:
    """Reads the signature of a bound method.

    Args:
        executor: The Executor that the method belongs to.
        name: The endpoint.
        function: The bound method.

    Raises:
        SchemaError: An annotation is no document type, or doesn't fit ``doc`` or ``docs``.
        ConfigError: The method asks for an argument that the framework doesn't give, or can't have ``@write``.
    """
    where = f'{type(executor).__name__}.{function.__name__}'
    inner = inspect.unwrap(function)
    is_generator = inspect.isasyncgenfunction(inner) or inspect.isgeneratorfunction(inner)
    accepts, named = _accepted_arguments(function, where)
    if 'doc' in named and 'docs' in named:
        raise ConfigError(
            f'{where} takes both doc and docs', hint='take docs for a list, or doc for one document per call'
        )
    is_single = 'doc' in named or (is_generator and 'docs' not in named)
    if is_generator and not is_single:
        raise SchemaError(f'{where} is a generator and takes docs', hint='a streaming endpoint takes one doc')
    is_async = any(
        check(function) or check(inner) for check in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    )
    batching = _batching_of(executor, name, function, named, is_single=is_single)
    writes = is_write(type(executor), function.__name__) or hasattr(function, WRITE_MARK)
    if writes:
        check_write(where, named, is_generator=is_generator, is_batched=batching is not None)
    return Endpoint(
        name=name,
        function=function,
        schema=_schema_of_method(type(executor), name, function, is_single, is_generator),
        accepts=accepts,
        mode='doc' if is_single else 'docs',
        is_async=is_async,
        is_generator=is_generator,
        batching=batching,
        is_write=writes,
    )


def _batching_of(
    executor: BaseExecutor, name: str, function: Callable[..., Any], named: set[str], *, is_single: bool
) -> Batching | None:
    declared = getattr(function, BATCHING_MARK, None)
    if declared is None and not executor.dynamic_batching:
        return None
    from jina.core.batching import batching_of, check_arguments  # noqa: PLC0415 - few endpoints need it, and it loads all options

    batching = batching_of(executor, name, function.__name__, declared)
    if batching is not None:
        check_arguments(f'{type(executor).__name__}.{function.__name__}', named, is_single=is_single)
    return batching


def _accepted_arguments(function: Callable[..., Any], where: str) -> tuple[frozenset[str] | None, set[str]]:
    """Returns what may be passed (None: everything) and what is named."""
    parameters = inspect.signature(function).parameters.values()
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for parameter in parameters:
        variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        given = parameter.name in INJECTED and parameter.kind is not parameter.POSITIONAL_ONLY
        if not variadic and not given and parameter.default is parameter.empty:
            raise ConfigError(
                f'{where} takes {parameter.name!r}, which the framework does not give',
                hint=f'use {", ".join(INJECTED)} or **kwargs, or give it a default; values of the client come in parameters',
            )
    return (None if takes_all else frozenset(named & set(INJECTED))), named


def _schema_of_method(
    owner: type, name: str, function: Callable[..., Any], is_single: bool, is_generator: bool
) -> EndpointSchema:
    where = f'{owner.__name__}.{function.__name__}'
    mark = next((mark for mark in getattr(function, _MARK, ()) if name in mark.endpoints), None)
    mark = mark or next(iter(getattr(function, _MARK, ())), RequestsMark((name,)))
    scope = {**{key: value for base in reversed(owner.__mro__) for key, value in vars(base).items()}, **mark.names}
    written = annotations_of(function)
    argument = 'doc' if is_single else 'docs'

    def read(schema: Any, annotation_name: str, label: str) -> Any:
        if schema is not None:
            return resolve(schema, function, scope, label)
        return resolve(written.get(annotation_name), function, scope, label)

    in_where = f'{argument} of {where}' if mark.request_schema is None else f'request_schema of {where}'
    out_where = f'the return of {where}' if mark.response_schema is None else f'response_schema of {where}'
    given = documents(read(mark.request_schema, argument, in_where), in_where)
    if given.element is None and not is_single:
        given = branch_documents([read(None, name, where) for name in ('docs_matrix', 'docs_map')], where)
    returned = documents(read(mark.response_schema, 'return', out_where), out_where)
    if given.element is not None and given.is_list == is_single:
        wanted = f'a single document ({given.element.__name__})' if is_single else f'DocList[{given.element.__name__}]'
        raise SchemaError(
            f'{in_where} is {"a DocList" if given.is_list else "a single document"}', hint=f'declare {wanted}'
        )
    if returned.is_list and is_single:
        raise SchemaError(
            f'{out_where} is a DocList and the method takes one doc', hint='return one document, or take docs'
        )
    label = f'parameters of {where}'
    parameters = parameters_type(resolve(written.get('parameters'), function, scope, label), label)
    return EndpointSchema(
        input_model=given.element or legacy_document(),
        output_model=returned.element or legacy_document(),
        parameters=parameters if 'parameters' in written else ParametersType(),
        is_generator=is_generator,
        is_singleton_doc=is_single,
    )
