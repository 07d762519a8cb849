"""What OpenAPI says about the key of a server, beside what an application declares itself."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from jina.runtime.http.guard import route_path, with_security

BEARER = {'type': 'http', 'scheme': 'bearer'}
HEADER = {'type': 'apiKey', 'in': 'header', 'name': 'X-API-Key'}
BASIC = {'type': 'http', 'scheme': 'basic'}


def described(schemes: dict[str, Any], *, operation: Any = None, everywhere: Any = None) -> dict[str, Any]:
    """The description of an application with one operation that may ask for something."""
    asking = {} if operation is None else {'security': operation}
    found: dict[str, Any] = {
        'openapi': '3.1.0',
        'paths': {'/own': {'parameters': [], 'get': {'summary': 'Own', **asking}, 'post': {'summary': 'Other'}}},
        'components': {'schemas': {'A': {}}, 'securitySchemes': schemes} if schemes else {'schemas': {'A': {}}},
    }
    return found if everywhere is None else {**found, 'security': everywhere}


def test_an_application_that_asks_for_nothing() -> None:
    schema = described({})
    before = copy.deepcopy(schema)
    found = with_security(schema)
    assert schema == before  # FastAPI keeps it
    assert found['security'] == [{'bearer': []}, {'apiKey': []}]
    assert found['components'] == {'schemas': {'A': {}}, 'securitySchemes': {'bearer': BEARER, 'apiKey': HEADER}}
    assert found['paths'] == schema['paths']


def test_an_application_without_components() -> None:
    found = with_security({'openapi': '3.1.0', 'info': {}, 'paths': {}})
    assert found['components'] == {'securitySchemes': {'bearer': BEARER, 'apiKey': HEADER}}


def test_what_an_application_asks_for_is_asked_for_beside_the_key() -> None:
    schema = described({'basic': BASIC}, operation=[{'basic': ['read']}], everywhere=[{'basic': []}, {}])
    before = copy.deepcopy(schema)
    found = with_security(schema)
    assert schema == before
    assert found['components']['securitySchemes'] == {'basic': BASIC, 'bearer': BEARER, 'apiKey': HEADER}
    both = [{'bearer': [], 'basic': []}, {'apiKey': [], 'basic': []}]
    assert found['security'] == [*both, {'bearer': []}, {'apiKey': []}]
    paths = found['paths']['/own']
    assert paths['get'] == {
        'summary': 'Own',
        'security': [{'bearer': [], 'basic': ['read']}, {'apiKey': [], 'basic': ['read']}],
    }
    assert (paths['post'], paths['parameters']) == ({'summary': 'Other'}, [])


def test_names_that_are_taken_stay_with_the_application() -> None:
    found = with_security(described({'bearer': BASIC, 'serverBearer': BASIC, 'apiKey': HEADER}))
    assert found['components']['securitySchemes'] == {
        'bearer': BASIC,
        'serverBearer': BASIC,
        'serverServerBearer': BEARER,
        'apiKey': HEADER,
    }
    assert found['security'] == [{'serverServerBearer': []}, {'apiKey': []}]


def test_the_same_scheme_isnt_declared_twice() -> None:
    theirs = {**BEARER, 'scheme': 'Bearer', 'description': 'ours too'}
    found = with_security(described({'HTTPBearer': theirs}, operation=[{'HTTPBearer': []}]))
    assert found['components']['securitySchemes'] == {'HTTPBearer': theirs, 'apiKey': HEADER}
    assert found['security'] == [{'HTTPBearer': []}, {'apiKey': []}]
    assert found['paths']['/own']['get']['security'] == [{'HTTPBearer': []}, {'apiKey': [], 'HTTPBearer': []}]


@pytest.mark.parametrize(
    ('path', 'root', 'route'),
    [
        ('/docs', '', '/docs'),
        ('/sub/docs', '/sub', '/docs'),
        ('/sub/', '/sub/', '/'),
        ('/subdocs', '/sub', '/subdocs'),
        ('/docs', '/sub', '/docs'),
    ],
)
def test_a_path_without_that_of_the_server(path: str, root: str, route: str) -> None:
    assert route_path({'path': path, 'root_path': root}) == route
