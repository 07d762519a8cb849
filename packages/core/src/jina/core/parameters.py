"""The parameters of a request as one Executor sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from jina.core.annotations import ParametersType

if TYPE_CHECKING:
    from pydantic import BaseModel

RESULTS_KEY: Final = '__results__'
"""Key in the parameters of a response that holds what Executors returned as dicts."""
SEPARATOR: Final = '__'
"""Stands between an Executor's name and a parameter that only it receives: ``encoder__top_k``."""


def parameters_for(executor_name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters that one Executor receives.

    ``name__key`` goes as ``key`` to the Executor ``name`` only and wins over a plain ``key``; results of other
    Executors are left out.

    Args:
        executor_name: Name of the Deployment, for example ``encoder``; what follows a slash is ignored.
        parameters: Parameters of the request.
    """
    own_name = executor_name.split('/', 1)[0]
    shared: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for key, value in parameters.items():
        if key == RESULTS_KEY:
            continue
        owner, separator, name = key.partition(SEPARATOR)
        if not (separator and owner and name):
            shared[key] = value
        elif owner == own_name:
            own[name] = value
    return {**shared, **own}


def bind_parameters(kind: ParametersType, parameters: dict[str, Any]) -> dict[str, Any] | BaseModel | None:
    """Returns parameters as the endpoint's annotation wants them.

    Args:
        kind: What the annotation says.
        parameters: Parameters for this Executor.

    Raises:
        pydantic.ValidationError: They don't fit the model, and the annotation allows nothing else.
    """
    if kind.model is None:
        return parameters
    from pydantic import ValidationError  # noqa: PLC0415 - heavy, defining an Executor must not load it

    try:
        return kind.model.model_validate(parameters)
    except ValidationError:
        if kind.allows_none and not parameters:
            return None
        if kind.allows_dict:
            return parameters
        raise
