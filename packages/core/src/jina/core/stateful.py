"""What makes an Executor stateful: methods with ``@write``, and ``snapshot`` with ``restore``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Final

from jina.core.errors import ConfigError

if TYPE_CHECKING:
    from jina.core.endpoints import EndpointTable
    from jina.core.executor import BaseExecutor

WRITE_MARK: Final = '__jina_write__'
BATCHING_MARK: Final = '__jina_dynamic_batching__'
_NAMES: Final = {WRITE_MARK: '@write', BATCHING_MARK: '@dynamic_batching'}


def is_write(executor_class: type, method: str) -> bool:
    """Whether a method changes the state: it has ``@write``, or overrides one that has it.

    Args:
        executor_class: The class of the Executor.
        method: Name of the method.
    """
    return any(hasattr(_function(vars(base).get(method)), WRITE_MARK) for base in executor_class.__mro__)


def check_marks(executor: BaseExecutor, bound_by_requests: Collection[str]) -> None:
    """Checks that every method with a decorator for endpoints is one.

    Args:
        executor: The Executor.
        bound_by_requests: Names of the methods that ``@requests`` binds, though the configuration may bind their endpoints to others.

    Raises:
        ConfigError: A method is marked, and no request can reach it.
    """
    kind = type(executor)
    serving = list(executor.requests.values())
    for base in kind.__mro__:
        for name, member in vars(base).items():
            mark = next((mark for mark in _NAMES if hasattr(_function(member), mark)), None)
            if mark is None or name in bound_by_requests or getattr(executor, name, None) in serving:
                continue
            raise ConfigError(
                f'{kind.__name__}.{name} has {_NAMES[mark]} and is no endpoint',
                hint='add @requests, or bind it with uses_requests',
            )


def check_write(where: str, named: Collection[str], *, is_generator: bool, is_batched: bool) -> None:
    """Checks that a method with ``@write`` can be called the same way by all replicas.

    Args:
        where: The method, for messages.
        named: Its arguments.
        is_generator: It yields documents.
        is_batched: It has dynamic batching.

    Raises:
        ConfigError: It can't.
    """
    if is_generator:
        raise ConfigError(f'{where} has @write and yields documents', hint='return what it gives, or remove @write')
    if is_batched:
        raise ConfigError(
            f'{where} has @write and dynamic batching: batches would differ between replicas',
            hint='send more documents per request (request_size) instead, or remove @write',
        )
    for name in ('docs_matrix', 'docs_map'):
        if name in named:
            raise ConfigError(
                f'{where} has @write and takes {name}, which is not replicated', hint='take docs, which are merged then'
            )


def check_stateful(executor: BaseExecutor) -> None:
    """Checks that an Executor can be served with ``stateful``.

    Raises:
        ConfigError: It has no endpoint that writes, or only one of ``snapshot`` and ``restore``.
    """
    name = type(executor).__name__
    if not any(endpoint.is_write for endpoint in executor.endpoints):
        raise ConfigError(
            f'{name} is to be stateful and has no endpoint with @write', hint='mark what changes its state with @write'
        )
    snapshot_methods(executor)


def snapshot_methods(executor: BaseExecutor) -> tuple[Callable[[str], Any], Callable[[str], Any]] | None:
    """Returns ``snapshot`` and ``restore`` of a stateful Executor; None if it has neither.

    Raises:
        ConfigError: It has one of them, one is an endpoint, or one doesn't take a folder.
    """
    name = type(executor).__name__
    found: dict[str, Any] = {method: getattr(executor, method, None) for method in ('snapshot', 'restore')}
    there = {method: function for method, function in found.items() if callable(function)}
    if not there:
        return None
    if len(there) == 1:
        (one,) = there
        other = 'restore' if one == 'snapshot' else 'snapshot'
        raise ConfigError(
            f'{name} has {one}() and no {other}()', hint=f'add {other}(self, snapshot_dir), or remove both'
        )
    for method, function in there.items():
        if function in executor.requests.values():
            raise ConfigError(
                f'{name}.{method} is an endpoint, and the hook of that name', hint='call the endpoint otherwise'
            )
        try:
            inspect.signature(function).bind('folder')
        except TypeError as error:
            raise ConfigError(
                f'{name}.{method} can not be called with a folder: {error}',
                hint=f'write def {method}(self, snapshot_dir)',
            ) from error
    return there['snapshot'], there['restore']


def warn_if_lone(executor: BaseExecutor, endpoints: EndpointTable, replicas: int) -> None:
    """Says so if writes reach one of several replicas only."""
    writes = sorted(endpoint.name for endpoint in endpoints if endpoint.is_write)
    if writes and replicas > 1:
        executor.logger.warning(
            f'{", ".join(writes)} of {type(executor).__name__} change its state (@write), and each request reaches one of '
            f'{replicas} replicas only; give stateful=True to have them all answer it'
        )


def _function(member: Any) -> Any:
    return member.__func__ if isinstance(member, (staticmethod, classmethod)) else member
