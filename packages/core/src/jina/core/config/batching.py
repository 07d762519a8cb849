"""Options of dynamic batching, and how those of several places are put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from jina.core.config.base import Options, option
from jina.core.config.build import build
from jina.core.config.values import parse_mapping
from jina.core.errors import ConfigError


class DynamicBatchingOptions(Options):
    """How the requests to one endpoint are collected into batches."""

    owner: ClassVar[str] = 'dynamic batching'

    preferred_batch_size: Annotated[int, Field(ge=1)] = option(4)
    """Number of documents that a batch should have, and never exceeds unless ``flush_all``."""
    timeout: Annotated[float, Field(ge=0)] = option(10_000)
    """How long in ms the oldest request waits for a full batch."""
    flush_all: bool = option(False)
    """Pass everything that waits as one call, also above the preferred size."""
    use_custom_metric: bool = option(False)
    """Apply ``custom_metric``."""
    custom_metric: Any = option(None)
    """Function that measures a document, so that a batch has ``preferred_batch_size`` of this measure instead of that many documents. In YAML: the name of a method of the Executor, or ``module.function``."""
    use_dynamic_batching: bool = option(True)
    """Whether the endpoint has batches at all; ``false`` switches the decorator off."""
    run_when_idle: bool = option(False)
    """Don't wait for a full batch while no batch of the endpoint runs: requests are collected only as long as it is busy."""
    max_latency_ms: Annotated[float, Field(gt=0)] | None = option(None)
    """Time in ms that a request should take at most, with waiting: size and waiting time follow the measured cost of the batches. ``preferred_batch_size`` and ``timeout`` stay the limits."""
    priority_parameter: str | None = option(None)
    """Name of the request parameter with the priority, a number: higher ones are put into a batch first. It doesn't count for the comparison of parameters."""


def merge_batching(
    settings: Mapping[str, Any] | None, overrides: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """Puts the settings of one place over those of another, value by value.

    Args:
        settings: Endpoint or method to its options.
        overrides: The same; what it leaves out stays as it is.
    """
    merged = {name: dict(options or {}) for name, options in (settings or {}).items()}
    for name, options in (overrides or {}).items():
        merged[name] = {**merged.get(name, {}), **(options or {})}
    return merged


def check_batching(settings: object, where: str = '') -> dict[str, dict[str, Any]]:
    """Returns the settings of endpoints as plain mappings, if they are right.

    Args:
        settings: Endpoint or method to its options.
        where: Place that messages name.

    Raises:
        ConfigError: An option doesn't exist or has a wrong value.
    """
    if not isinstance(settings, Mapping):
        raise ConfigError(
            f'{where or "dynamic_batching"} is {settings!r}', hint='write a mapping of endpoints to their options'
        )
    checked: dict[str, dict[str, Any]] = {}
    for name, given in settings.items():
        place = f'{where}[{name!r}]' if where else repr(name)
        options = {} if given is None else parse_mapping(given)
        if not isinstance(options, Mapping):
            raise ConfigError(f'{place} is {given!r}', hint='write a mapping of options such as preferred_batch_size')
        build(DynamicBatchingOptions, options, where=place)
        checked[str(name)] = dict(options)
    return checked


Batching = Annotated[dict[str, Any], BeforeValidator(parse_mapping), AfterValidator(check_batching)]
