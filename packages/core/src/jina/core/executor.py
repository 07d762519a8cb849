"""The class that users extend: an Executor, whose decorated methods become network endpoints."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any

from jina.core import loader
from jina.core.endpoints import EndpointTable, bindings_of, replace_bindings
from jina.core.errors import ConfigError
from jina.core.logging.logger import JinaLogger
from jina.core.registry import register

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer
    from typing_extensions import Self

__all__ = ['BaseExecutor', 'Executor']

_DEFAULT_WORKSPACE = Path('~/.cache/jina')


class BaseExecutor:
    """A self-contained service: its methods with ``@requests`` answer requests to their endpoints.

    A subclass that has an ``__init__`` takes ``**kwargs`` there and calls ``super().__init__(**kwargs)``. Objects are
    plain Python: they can be made and their methods called without any server.

    Args:
        metas: ``name``, ``description`` and more facts about the Executor; ``name`` is the class name by default.
        requests: Endpoint to method name; see ``uses_requests``.
        runtime_args: What the process knows: ``name``, ``replicas``, ``shards``, ``shard_id``, ``workspace``, ``py_modules``.
        workspace: Folder for the Executor's files. Default: that of ``runtime_args``, then that of ``metas``, then
            ``~/.cache/jina``.
        kwargs: Not used; a warning names them.

    Raises:
        ConfigError: ``requests`` names a method that doesn't exist.
    """

    def __init__(
        self,
        metas: Mapping[str, Any] | None = None,
        requests: Mapping[str, str] | None = None,
        runtime_args: Mapping[str, Any] | None = None,
        workspace: str | os.PathLike[str] | None = None,
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
        if kwargs:
            self.logger.warning(f'{type(self).__name__} does not use the arguments {", ".join(map(repr, kwargs))}')

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        register(cls)

    def _method(self, endpoint: str, name: str) -> Callable[..., Any]:
        method = getattr(self, name, None) if isinstance(name, str) else None
        if not callable(method):
            raise ConfigError(
                f'requests binds {endpoint!r} to {name!r}, which is no method of {type(self).__name__}',
                hint=f'its endpoint methods are: {", ".join(sorted(set(bindings_of(type(self)).values()))) or "none"}',
            )
        return method  # type: ignore[no-any-return]

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
        """The endpoints with their types, as a server uses them.

        Raises:
            SchemaError: An annotation is no document type.
            ConfigError: A method asks for an argument that the framework doesn't give.
            NotSupportedError: A method uses a decorator that this version can't serve.
        """
        return EndpointTable.of(self)

    @property
    def workspace(self) -> str:
        """Folder of this very Executor: ``<workspace>/<name>/<shard_id>``. It is made when it doesn't exist."""
        base = (
            getattr(self.runtime_args, 'workspace', None)
            or self._workspace
            or getattr(self.metas, 'workspace', None)
            or os.environ.get('JINA_DEFAULT_WORKSPACE_BASE')
            or _DEFAULT_WORKSPACE
        )
        folder = Path(base).expanduser().absolute() / self.metas.name
        shard_id = getattr(self.runtime_args, 'shard_id', None)
        if shard_id is not None and shard_id != -1:
            folder /= str(shard_id)
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    @contextmanager
    def monitor(self, name: str, documentation: str | None = None) -> Iterator[None]:
        """Measures a block of code in a histogram of ``meter``; without a meter it does nothing.

        Args:
            name: Name of the histogram.
            documentation: Its description.
        """
        if self.meter is None:
            yield
            return
        histogram = self._histograms.get(name)
        if histogram is None:
            histogram = self._histograms[name] = self.meter.create_histogram(name, 's', documentation or '')
        start = time.perf_counter()
        try:
            yield
        finally:
            histogram.record(time.perf_counter() - start)

    def close(self) -> None:
        """Called once when the Executor ends. Override it to save state or free resources."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        name = self.metas.name if 'metas' in self.__dict__ else type(self).__name__
        return f'<{type(self).__name__} name={name!r}>'

    @classmethod
    def load_config(
        cls,
        source: Any,
        *,
        allow_py_modules: bool = True,
        substitute: bool = True,
        context: Mapping[str, Any] | None = None,
        uses_with: Mapping[str, Any] | None = None,
        uses_metas: Mapping[str, Any] | None = None,
        uses_requests: Mapping[str, str] | None = None,
        runtime_args: Mapping[str, Any] | None = None,
        extra_search_paths: Sequence[str] = (),
        py_modules: str | Sequence[str] | None = None,
    ) -> Self:
        """Makes an Executor from its YAML configuration.

        Args:
            source: Path of a YAML file, YAML or JSON text, a dict, a stream, an Executor class, or the name of one.
            allow_py_modules: Import the ``py_modules`` that the configuration names.
            substitute: Replace ``${{ ... }}`` variables.
            context: Values for ``${{ CONTEXT.x }}``.
            uses_with: Overrides ``with``.
            uses_metas: Overrides ``metas``.
            uses_requests: Overrides ``requests``.
            runtime_args: Values for ``runtime_args``.
            extra_search_paths: More folders to find the YAML file and ``py_modules`` in.
            py_modules: More Python files to import.

        Raises:
            ConfigError: The configuration is wrong.
            ConfigSourceError: It can't be found, or its class can't.
        """
        source_options = loader.SourceOptions(
            py_modules=loader.as_list(py_modules),
            search_paths=tuple(extra_search_paths),
            context=context or {},
            substitute=substitute,
            allow_py_modules=allow_py_modules,
        )
        definition = loader.find_definition(source, source_options)
        definition = definition.override(uses_with=uses_with, uses_metas=uses_metas, uses_requests=uses_requests)
        executor = loader.instantiate(definition, runtime_args=dict(runtime_args or {}))
        if not isinstance(executor, cls):
            raise ConfigError(
                f'{source!r} describes a {type(executor).__name__}, which is no {cls.__name__}',
                hint=f'call {type(executor).__name__}.load_config or Executor.load_config',
            )
        return executor


register(BaseExecutor)


class Executor(BaseExecutor):
    """The class to extend for a service of your own; see ``BaseExecutor``."""


def _default_metas(executor_class: type) -> dict[str, Any]:
    return {'name': executor_class.__name__, 'description': '', 'workspace': '', 'py_modules': ''}


def _without_none(metas: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (metas or {}).items() if value is not None}
