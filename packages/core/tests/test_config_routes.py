"""``expose_endpoints`` as it is read from Python, YAML and the command line."""

from __future__ import annotations

from typing import Any

import pytest
from jina.core.config import DeploymentOptions, GatewayOptions, RouteOptions, build, check_routes, split_flow_values
from jina.core.errors import ConfigError


@pytest.mark.parametrize(
    'given',
    [
        {'/foo': {'methods': ['put', 'PUT', 'get'], 'tags': 'one'}, 'bar': None},
        {'foo': '{"methods": ["PUT", "GET"], "tags": ["one"]}', '/bar': {}},
        '{"/foo": {"methods": ["PUT", "GET"], "tags": ["one"]}, "/bar": null}',
    ],
)
@pytest.mark.parametrize('model', [GatewayOptions, DeploymentOptions])
def test_forms(model: Any, given: Any) -> None:
    options = build(model, {'expose_endpoints': given})
    assert options.expose_endpoints == {'/foo': {'methods': ['PUT', 'GET'], 'tags': ['one']}, '/bar': {}}


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        ({'/a': {'sumary': 'x'}}, r"X\['/a'\].sumary: no such option; did you mean 'summary'\?"),
        ({'/a': {'methods': []}}, 'an empty list can not be served'),
        ({'/a': {'methods': ['POST', 'TRACE']}}, 'TRACE can not be served; use some of GET, POST, PUT, PATCH, DELETE'),
        ({'/a': {'http_path': '/x?y'}}, "'/x\\?y' is not the path of a route"),
        ({'/a': {'status_code': 205}}, '205 is for answers without a body'),
        ({'/a': {'form_limits': {}}}, 'is not available in this version \\(bodies are JSON, never forms\\)'),
        ({'/a': ['x']}, r'expected KEY: VALUE'),
        ({'/a': 3}, r"X\['/a'\] is 3; write a mapping of options such as summary and methods"),
        (['/a'], 'write a mapping of endpoints to routes'),
        ({'/a': {'http_path': 'b'}, 'b': {}}, "'/a' and '/b' would both be POST /b"),
    ],
)
def test_what_is_wrong_is_named(given: Any, message: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=message):
        check_routes(given, 'X')


def test_methods_tell_routes_apart() -> None:
    routes = check_routes({'/a': {'http_path': '/x', 'methods': ['GET']}, '/x': {'methods': ['POST', 'PUT']}})
    assert list(routes) == ['/a', '/x']


def test_the_executors_of_a_flow_have_no_routes() -> None:
    values = split_flow_values({'expose_endpoints': {'/a': {}}, 'no_crud_endpoints': True, 'no_debug_endpoints': True})
    assert values.gateway.keys() == {'expose_endpoints', 'no_crud_endpoints', 'no_debug_endpoints'}
    assert not values.executors


def test_every_option_says_what_it_is() -> None:
    from jina.core.config import description_of

    assert all(description_of(RouteOptions, name).endswith('.') for name in RouteOptions.model_fields)
