"""The class that users extend: an Executor, whose decorated methods become network endpoints."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any, cast

from jina.core import loader
from jina.core.closing import close_executor
from jina.core.endpoints import EndpointTable, bindings_of, replace_bindings
from jina.core.errors import ConfigError
from jina.core.instrumentation import PREFIX, attributes_of, current_endpoint, instrumented, measures_of
from jina.core.logging.logger import JinaLogger
from jina.core.modules import absolute_py_modules
from jina.core.standalone import StandaloneMixin
from jina.core.yaml import LoadedYaml, LoadOverrides, YamlObject

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer
    from typing_extensions import Self

__all__ = ['BaseExecutor', 'Executor']

_DEFAULT_WORKSPACE = Path('~/.cache/jina')


class BaseExecutor(YamlObject, StandaloneMixin):
    """A self-contained service: its methods with ``@requests`` answer requests to their endpoints.

    A subclass that has an ``__init__`` takes ``**kwargs`` there and calls ``super().__init__(**kwargs)``. Objects are
    plain Python: they can be made and their methods called without any server. ``load_config`` makes one from YAML.

    Args:
        metas: ``name``, ``description`` and more facts about the Executor; ``name`` is the class name by default.
        requests: Endpoint to method name; see ``uses_requests``.
        runtime_args: What the process knows: ``name``, ``replicas``, ``shards``, ``shard_id``, ``workspace``, ``py_modules``.
        workspace: Folder for the Executor's files. Default: that of ``runtime_args``, then that of ``metas``, then
            ``~/.cache/jina``.
        dynamic_batching: Endpoint or method to its batching settings; see ``uses_dynamic_batching``.
        kwargs: Not used; a warning names them. If they come from a configuration (``with``, ``uses_with``) they are an error,
            unless the subclass reads them out of its own ``**kwargs``.

    Raises:
        ConfigError: ``requests`` names a method that doesn't exist, or the configuration an argument that nobody takes.
    """

    _init_arguments: tuple[tuple[Any, ...], dict[str, Any]]
    _definition: loader.Definition | None = None
    _py_modules: Sequence[str] = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:  # keeps the arguments for to_config
        self = super().__new__(cls)
        self._init_arguments = (args, kwargs)
        return self

    def __init__(
        self,
        metas: Mapping[str, Any] | None = None,
        requests: Mapping[str, str] | None = None,
        runtime_args: Mapping[str, Any] | None = None,
        workspace: str | os.PathLike[str] | None = None,
        dynamic_batching: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.metas = SimpleNamespace(**{**_default_metas(type(self)), **_without_none(metas)})
        """Facts about the Executor: ``name``, ``description`` and whatever its configuration adds."""
        self.runtime_args = SimpleNamespace(**(runtime_args or {}))
        """What only the process knows: ``name``, ``replicas``, ``shards``, ``shard_id``, ``workspace``, ``py_modules``."""
        self.logger = self._make_logger()
        """Logger named after the process."""
        self.tracer: Tracer | None = getattr(self.runtime_args, 'tracer', None)
        """OpenTelemetry tracer; None when tracing is off."""
        self.meter: Meter | None = getattr(self.runtime_args, 'meter', None)
        """OpenTelemetry meter; None when metrics are off."""
        self._histograms: dict[str, Any] = {}
        self._workspace = os.fspath(workspace) if workspace else None
        bindings = replace_bindings(bindings_of(type(self)), requests)
        self.requests: dict[str, Callable[..., Any]] = {
            endpoint: self._method(endpoint, method) for endpoint, method in bindings.items()
        }
        """Endpoint to bound method."""
        self.dynamic_batching: Mapping[str, Any] = dynamic_batching or {}
        """Endpoint or method to the batching settings of the configuration, which override the decorators."""
        if kwargs:
            self._report_unused(kwargs)

    def _method(self, endpoint: str, name: str) -> Callable[..., Any]:
        method = getattr(self, name, None) if isinstance(name, str) else None
        if not callable(method):
            where = f'{self._definition.place(endpoint, "requests")}: ' if self._definition else ''
            raise ConfigError(
                f'{where}requests binds {endpoint!r} to {name!r}, which is no method of {type(self).__name__}',
                hint=f'its endpoint methods are: {", ".join(sorted(set(bindings_of(type(self)).values()))) or "none"}',
            )
        return method  # type: ignore[no-any-return]

    def _report_unused(self, arguments: Mapping[str, Any]) -> None:
        definition = self._definition
        wrong = [name for name in arguments if definition is not None and name in definition.arguments]
        if wrong and definition is not None and not loader.reads_rest(type(self)):
            raise loader.unknown_argument(definition, wrong[0])
        self.logger.warning(f'{type(self).__name__} does not use the arguments {", ".join(map(repr, arguments))}')

    def _make_logger(self) -> JinaLogger:
        name = getattr(self.runtime_args, 'name', None) or self.metas.name
        options = {
            key: getattr(self.runtime_args, key)
            for key in ('log_config', 'quiet', 'quiet_error')
            if hasattr(self.runtime_args, key)
        }
        return JinaLogger(name, **options)

    @cached_property
    def endpoints(self) -> EndpointTable:
        """The endpoints with their types, as a server uses them. With a tracer or a meter, each call is recorded.

        Raises:
            SchemaError: An annotation is no document type.
            ConfigError: A method asks for an argument that the framework doesn't give.
        """
        table = EndpointTable.of(self)
        recorders = (self.tracer, self.meter, measures_of(self))
        return instrumented(table, self) if any(one is not None for one in recorders) else table

    @property
    def workspace(self) -> str:
        """Folder of this very Executor: ``<workspace>/<name>/<shard_id>``, with ``/<replica_id>`` behind it if it is stateful.

        It is made when it doesn't exist.

        Raises:
            ConfigError: It can't be made.
        """
        parts: list[object] = []
        shard_id = getattr(self.runtime_args, 'shard_id', None)
        if shard_id is not None and shard_id != -1:
            parts.append(shard_id)
            if getattr(self.runtime_args, 'stateful', False):
                parts.append(getattr(self.runtime_args, 'replica_id', 0))
        return self._folder_in_workspace(*parts)

    def _folder_in_workspace(self, *parts: object) -> str:
        """Makes a folder in that of all Executors of this name."""
        base = (
            getattr(self.runtime_args, 'workspace', None)
            or self._workspace
            or getattr(self.metas, 'workspace', None)
            or os.environ.get('JINA_DEFAULT_WORKSPACE_BASE')
            or _DEFAULT_WORKSPACE
        )
        folder = Path(base).expanduser().absolute().joinpath(self.metas.name, *map(str, parts))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f'the workspace of {self.metas.name} can not be made: {error}',
                hint='give a folder that may be written to as workspace',
            ) from error
        return str(folder)

    @contextmanager
    def monitor(self, name: str, documentation: str | None = None) -> Iterator[None]:
        """Measures a block of code in a histogram of ``meter``; without a meter it does nothing.

        Args:
            name: Name of the histogram behind ``jina_``, for example ``processing_seconds``.
            documentation: Its description.
        """
        if self.meter is None:
            yield
            return
        histogram = self._histograms.get(name)
        if histogram is None:
            full_name = f'{PREFIX}{name.removeprefix(PREFIX)}'
            histogram = self._histograms[name] = self.meter.create_histogram(full_name, 's', documentation or '')
        start = time.perf_counter()
        try:
            yield
        finally:
            histogram.record(time.perf_counter() - start, attributes_of(self, current_endpoint.get()))

    def warm_up(self) -> Awaitable[None] | None:
        """Called once after ``__init__``, before the server is ready; ``def`` or ``async def``.

        Override it for what should be over before the first request: load weights, fill caches, compile kernels. Until it
        returns, health checks say NOT_SERVING and requests are refused as UNAVAILABLE. What it raises fails the start.
        """
        return None

    def close(self) -> Awaitable[None] | None:
        """Called once when the Executor ends; ``def`` or ``async def``. Override it to save state or free resources."""
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        close_executor(self)

    def __repr__(self) -> str:
        name = self.metas.name if 'metas' in self.__dict__ else type(self).__name__
        return f'<{type(self).__name__} name={name!r}>'

    @classmethod
    def from_config(cls, loaded: LoadedYaml, overrides: LoadOverrides) -> Self:
        """Makes an Executor from its YAML document; called by ``load_config``.

        Args:
            loaded: The document, whose ``jtype`` is this class.
            overrides: What the caller sets beside it.

        Raises:
            ConfigError: The document is wrong.
        """
        definition = loader.definition_of(loaded, overrides, cls)
        if cls is not Executor and not issubclass(definition.executor_class, cls):
            raise ConfigError(
                f'{loaded.where("jtype")}: {definition.executor_class.__name__!r} is not a kind of {cls.__name__}',
                hint='call Executor.load_config',
            )
        executor = loader.instantiate(definition, runtime_args=overrides.runtime_args or {})
        folders = [loaded.directory] if loaded.directory else []
        executor._py_modules = absolute_py_modules(definition.py_modules, [*folders, *overrides.extra_search_paths])
        return cast('Self', executor)

    @classmethod
    def class_of(cls, loaded: LoadedYaml) -> type[Self]:
        """Returns this class: ``from_config`` finds the class of the document, after importing its ``py_modules``."""
        return cls

    def to_config(self) -> dict[str, Any]:
        """Returns the YAML document of this Executor: its class and the files to import for it, arguments, metas and endpoints."""
        bound = inspect.signature(type(self).__init__).bind(self, *self._init_arguments[0], **self._init_arguments[1])
        arguments = {key: value for key, value in list(bound.arguments.items())[1:] if key not in ('args', 'kwargs')}
        arguments.update(bound.kwargs)
        given = {key: arguments.pop(key, None) or {} for key in ('metas', 'requests', 'runtime_args')}
        arguments.pop('workspace', None)
        document: dict[str, Any] = {'jtype': type(self).__name__, 'py_modules': self._py_modules, 'with': arguments}
        document['metas'] = {**_without_none(given['metas']), 'name': self.metas.name}
        document['metas'].pop('py_modules', None)
        document['dynamic_batching'] = arguments.pop('dynamic_batching', None)
        document['requests'] = {endpoint: method.__name__ for endpoint, method in self.requests.items()}
        return {key: value for key, value in document.items() if value}


class Executor(BaseExecutor):
    """The class to extend for a service of your own; see ``BaseExecutor``."""


def _default_metas(executor_class: type) -> dict[str, Any]:
    return {'name': executor_class.__name__, 'description': '', 'workspace': '', 'py_modules': ''}


def _without_none(metas: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (metas or {}).items() if value is not None}
