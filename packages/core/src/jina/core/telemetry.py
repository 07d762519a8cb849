"""Finds the distribution that sends traces and metrics; nothing of it is imported before it is asked for."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, Literal

from jina.core.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ['load_telemetry']

_GROUP: Final = 'jina.telemetry'


def load_telemetry(owner: Literal['process', 'client']) -> Callable[..., Any]:
    """Returns the function that sets up the telemetry of a server process, or of a client.

    Args:
        owner: Whose telemetry it is; the name of the entry point in the group ``jina.telemetry``.

    Raises:
        MissingExtraError: No distribution offers it.
    """
    missing = MissingExtraError('tracing and metrics', install='jina-telemetry')
    found = next(iter(entry_points(group=_GROUP, name=owner)), None)
    if found is None:
        raise missing
    try:
        loaded: Callable[..., Any] = found.load()
    except ModuleNotFoundError as error:
        raise missing from error
    return loaded
