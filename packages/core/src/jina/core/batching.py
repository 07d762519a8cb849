"""Which endpoints of an Executor have dynamic batching, and with which settings."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jina.core.config.batching import DynamicBatchingOptions
from jina.core.config.build import build
from jina.core.errors import ConfigError

if TYPE_CHECKING:
    from jina.core.executor import BaseExecutor


@dataclass(frozen=True)
class Batching:
    """How the batches of one endpoint are made.

    Attributes:
        options: The settings.
        metric: Measures a document; None counts documents.
    """

    options: DynamicBatchingOptions
    metric: Callable[[Any], float] | None = None


def batching_of(
    executor: BaseExecutor, endpoint: str, method: str, declared: Mapping[str, Any] | None
) -> Batching | None:
    """Returns the batching of an endpoint, None if it has none.

    The Executor's configuration overrides the decorator value by value; there the endpoint overrides the method.

    Args:
        executor: The Executor.
        endpoint: The endpoint.
        method: Name of its method.
        declared: What ``@dynamic_batching`` says; None without it.

    Raises:
        ConfigError: A value is wrong.
    """
    configured = executor.dynamic_batching
    layers = [layer for layer in (declared, configured.get(method), configured.get(endpoint)) if layer is not None]
    if not layers:
        return None
    values = {name: value for layer in layers for name, value in layer.items()}
    where = f'dynamic batching of {type(executor).__name__}.{method}:'
    options = build(DynamicBatchingOptions, values, where=where)
    if not options.use_dynamic_batching:
        return None
    return Batching(options, _metric(executor, options, where) if options.use_custom_metric else None)


def check_names(executor: BaseExecutor) -> None:
    """Checks that whatever has settings exists.

    Raises:
        ConfigError: A key is neither an endpoint nor the method of one.
    """
    known = {*executor.requests, *(function.__name__ for function in executor.requests.values())}
    for name in executor.dynamic_batching:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), 1)
            definition = executor._definition
            where = f'{definition.place(name, "dynamic_batching", "uses_dynamic_batching")}: ' if definition else ''
            raise ConfigError(
                f'{where}dynamic batching of {name!r}, which is no endpoint of {type(executor).__name__}',
                hint=f'did you mean {near[0]!r}?' if near else f'there are {", ".join(sorted(known)) or "none"}',
            )


def check_arguments(where: str, named: Collection[str], *, is_single: bool) -> None:
    """Checks that a method takes what a batch can give it.

    Args:
        where: The method, for messages.
        named: Its arguments.
        is_single: It takes one document per call.

    Raises:
        ConfigError: It takes one document, or the documents of each branch in front of it.
    """
    if is_single:
        raise ConfigError(
            f'{where} has dynamic batching and takes one doc per call',
            hint='take docs, a DocList, or switch dynamic batching off',
        )
    for name in ('docs_matrix', 'docs_map'):
        if name in named:
            raise ConfigError(
                f'{where} has dynamic batching and takes {name}, which belongs to one request',
                hint='take docs alone, or switch dynamic batching off',
            )


def _metric(executor: BaseExecutor, options: DynamicBatchingOptions, where: str) -> Callable[[Any], float]:
    metric = options.custom_metric
    if isinstance(metric, str):
        metric = getattr(executor, metric, None) or _imported(metric, where)
    if not callable(metric):
        raise ConfigError(
            f'{where} use_custom_metric is on and custom_metric is {options.custom_metric!r}',
            hint='give a function of a document, the name of a method of the Executor, or module.function',
        )
    return metric  # type: ignore[no-any-return]


def _imported(path: str, where: str) -> Any:
    module_name, _, name = path.rpartition('.')
    if not module_name:
        return None
    try:
        return getattr(importlib.import_module(module_name), name, None)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'{where} custom_metric {path!r}: there is no module {error.name!r}',
            hint='install it, or name its file in py_modules',
        ) from error
