"""Options of ``expose_endpoints``: how endpoints of Executors appear as routes of the HTTP server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, BeforeValidator, Field

from jina.core.config.base import Options, option
from jina.core.config.build import build
from jina.core.config.values import TextList, Values, parse_mapping
from jina.core.errors import ConfigError

_METHODS: Final = ('GET', 'POST', 'PUT', 'PATCH', 'DELETE')
_WITHOUT_BODY: Final = (204, 205)
_BODY_IS_OURS: Final = 'the server reads and checks the bodies of endpoints itself'
PYTHON_ONLY: Final = ('response_model', 'response_class', 'dependencies', 'callbacks', 'generate_unique_id_function')
"""Options whose values are Python objects, which YAML and the command line can't give."""


def _methods(values: list[str]) -> list[str]:
    found = list(dict.fromkeys(value.strip().upper() for value in values))
    wrong = [name for name in found if name not in _METHODS]
    if wrong or not found:
        raise ValueError(f'{", ".join(wrong) or "an empty list"} can not be served; use some of {", ".join(_METHODS)}')
    return found


def _path(value: str) -> str:
    path = f'/{value.strip().lstrip("/")}'
    if set(path) & set('{}?#'):
        raise ValueError(f'{value!r} is not the path of a route: it may not have {{, }}, ? and #')
    return path


def _status(value: int) -> int:
    if value in _WITHOUT_BODY:
        raise ValueError(f'{value} is for answers without a body, and the answer of an endpoint has one')
    return value


class RouteOptions(Options):
    """How one endpoint appears as a route. The names are those of FastAPI's routes, and ``http_path``."""

    owner: ClassVar[str] = 'expose_endpoints'

    http_path: Annotated[str, AfterValidator(_path)] | None = option(None)
    """Path of the route. Without it, the name of the endpoint."""
    methods: Annotated[TextList, AfterValidator(_methods)] | None = option(None)
    """HTTP methods, of GET, POST, PUT, PATCH and DELETE. Without it POST, and GET too if the endpoint streams."""
    status_code: Annotated[int, Field(ge=200, le=299), AfterValidator(_status)] | None = option(None)
    """Status of successful answers; 200 by default."""
    summary: str | None = option(None)
    """Title in the API documentation."""
    description: str | None = option(None)
    """Text in the API documentation, in Markdown."""
    tags: TextList | None = option(None)
    """Groups in the API documentation."""
    deprecated: bool | None = option(None)
    """Mark as deprecated in the API documentation."""
    include_in_schema: bool = option(True)
    """Show in the API documentation."""
    operation_id: str | None = option(None)
    """Identifier in the API documentation."""
    name: str | None = option(None)
    """Name of the route."""
    response_description: str | None = option(None)
    """Description of the successful answer."""
    responses: dict[int | str, dict[str, Any]] | None = option(None)
    """More answers in the API documentation: a mapping from status to description, model and so on."""
    openapi_extra: Values | None = option(None)
    """Merged into the operation in the API documentation."""
    response_model_include: Any = option(None)
    """Fields of the answer that are sent: names, or a mapping as pydantic's ``include``, for example ``{'data': {'__all__': ['text']}}``."""
    response_model_exclude: Any = option(None)
    """Fields of the answer that are not sent, in the same form."""
    response_model_exclude_unset: bool = option(False)
    """Leave out fields that were not set."""
    response_model_exclude_defaults: bool = option(False)
    """Leave out fields that equal their default."""
    response_model_exclude_none: bool = option(False)
    """Leave out fields that are null."""
    response_model_by_alias: bool = option(True)
    """Call fields by their aliases."""
    response_model: Any = option(None)
    """Pydantic model of the whole answer, instead of the one that follows from the types of the endpoint. In Python only."""
    response_class: Any = option(None)
    """Class of the response. In Python only."""
    dependencies: Any = option(None)
    """FastAPI dependencies that run before the endpoint, for example a check of a header. In Python only."""
    callbacks: Any = option(None)
    """OpenAPI callbacks. In Python only."""
    generate_unique_id_function: Any = option(None)
    """Function that makes ``operation_id`` of a route. In Python only."""
    strict_content_type: bool | None = option(None, unsupported=_BODY_IS_OURS)
    """Refuse bodies that aren't declared as JSON; the server always does."""
    max_body_size: int | None = option(None, unsupported=_BODY_IS_OURS)
    """Longest body in bytes."""
    form_limits: Any = option(None, unsupported='bodies are JSON, never forms')
    """Limits of forms."""
    route_class_override: Any = option(None, unsupported='the server has a route class of its own')
    """Class of the route."""


def check_routes(settings: object, where: str = '') -> dict[str, dict[str, Any]]:
    """Returns the settings of exposed endpoints as plain mappings, if they are right.

    Args:
        settings: Endpoint to its route options; None for an endpoint with all defaults.
        where: Place that messages name.

    Raises:
        ConfigError: An option doesn't exist or has a wrong value, or two endpoints have the same route.
    """
    if not isinstance(settings, Mapping):
        raise ConfigError(
            f'{where or "expose_endpoints"} is {settings!r}', hint='write a mapping of endpoints to routes'
        )
    checked: dict[str, dict[str, Any]] = {}
    for name, given in settings.items():
        place = f'{where}[{name!r}]' if where else repr(name)
        options = {} if given is None else parse_mapping(given)
        if not isinstance(options, Mapping):
            raise ConfigError(f'{place} is {given!r}', hint='write a mapping of options such as summary and methods')
        route = build(RouteOptions, options, where=place)
        values = {field: getattr(route, field) for field in route.model_fields_set}
        checked[f'/{str(name).lstrip("/")}'] = {field: value for field, value in values.items() if value is not None}
    _refuse_twins(checked)
    return checked


def _refuse_twins(routes: Mapping[str, Mapping[str, Any]]) -> None:
    taken: dict[tuple[str, str], str] = {}
    for name, options in routes.items():
        path = options.get('http_path') or name
        for method in options.get('methods') or ['POST']:
            other = taken.setdefault((method, path), name)
            if other != name:
                raise ConfigError(
                    f'{other!r} and {name!r} would both be {method} {path}', hint='give one of them another http_path'
                )


Routes = Annotated[dict[str, Any], BeforeValidator(parse_mapping), AfterValidator(check_routes)]
