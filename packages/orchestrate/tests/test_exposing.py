"""``expose_endpoint`` and ``expose_endpoints`` of Flows and Deployments, before their start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jina.core.config import to_arguments
from jina.core.errors import ConfigError
from jina.orchestrate import Deployment, Flow


@pytest.mark.parametrize('kind', [Flow, Deployment])
def test_settings_are_collected(kind: Any) -> None:
    served = kind(protocol='http', expose_endpoints={'/a': {'summary': 'A'}})
    assert served.expose_endpoint('/b', methods=['put'], tags='t') is served
    served.expose_endpoint('c').expose_endpoint('/a', http_path='/x')
    options = served.gateway_options if kind is Flow else served.options
    assert options.expose_endpoints == {
        '/a': {'http_path': '/x'},
        '/b': {'methods': ['PUT'], 'tags': ['t']},
        '/c': {},
    }


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'sumary': 'x'}, r"expose_endpoint\(\)\['/a'\].sumary: no such option; did you mean 'summary'\?"),
        ({'methods': ['FETCH']}, r"\['/a'\].methods: FETCH can not be served; use some of GET, POST"),
        ({'status_code': 404}, r"\['/a'\].status_code: 404 is not valid; give 299 or less"),
        ({'http_path': '/a/{id}'}, r"'/a/\{id\}' is not the path of a route"),
        ({'http_path': '/taken'}, r"'/taken' and '/a' would both be POST /taken; give one of them another http_path"),
        ({'max_body_size': 3}, r"'max_body_size' of expose_endpoints is not available"),
    ],
)
@pytest.mark.parametrize('kind', [Flow, Deployment])
def test_wrong_settings_are_refused_at_once(kind: Any, options: dict[str, Any], message: str) -> None:
    served = kind(protocol='http').expose_endpoint('/taken')
    with pytest.raises(ConfigError, match=message):
        served.expose_endpoint('/a', **options)
    with pytest.raises(ConfigError, match=message.replace(r'expose_endpoint\(\)', '').replace(r"\['/a'\]", "'/a'")):
        kind(protocol='http', expose_endpoints={'/taken': {}, '/a': options})


def test_a_copy_keeps_its_own() -> None:
    first = Flow(protocol='http').expose_endpoint('/a')
    second = first.add(name='one').expose_endpoint('/b').config_gateway(title='T')
    assert list(first.gateway_options.expose_endpoints or {}) == ['/a']
    assert list(second.gateway_options.expose_endpoints or {}) == ['/a', '/b']
    assert second['one'].options.expose_endpoints is None


@pytest.mark.parametrize('place', ['with', 'gateway'])
def test_yaml_of_a_flow(place: str, tmp_path: Path) -> None:
    file = tmp_path / 'flow.yml'
    file.write_text(
        f'jtype: Flow\n{place}:\n  protocol: http\n  no_debug_endpoints: true\n  no_crud_endpoints: true\n  expose_endpoints:\n'
        '    /foo:\n      summary: my endpoint\n    /bar:\n      methods: ["PUT"]\n      summary: mine\n      tags:\n        - fine-tuning\n'
    )
    flow = Flow.load_config(str(file)).expose_endpoint('/more')
    flow.save_config(str(tmp_path / 'again.yml'))
    for one in (flow, Flow.load_config(str(tmp_path / 'again.yml'))):
        options = one.gateway_options
        assert (options.no_debug_endpoints, options.no_crud_endpoints) == (True, True)
        assert options.expose_endpoints == {
            '/foo': {'summary': 'my endpoint'},
            '/bar': {'methods': ['PUT'], 'summary': 'mine', 'tags': ['fine-tuning']},
            '/more': {},
        }
    arguments = to_arguments(flow.gateway_options)
    assert '--no-crud-endpoints' in arguments
    assert '"methods": ["PUT"]' in arguments[arguments.index('--expose-endpoints') + 1]


def test_python_objects_stay_in_python(tmp_path: Path) -> None:
    for served in (Flow(protocol='http'), Deployment(protocol='http')):
        served.expose_endpoint('/a', dependencies=[object()])
        with pytest.raises(ConfigError, match=r"expose_endpoints\['/a'\].dependencies is a Python object"):
            served.save_config(str(tmp_path / 'served.yml'))


def test_replicas_behind_a_gateway_have_no_routes() -> None:
    deployment = Deployment(protocol='http', replicas=2, expose_endpoints={'/a': {}}, uvicorn_kwargs={'http': 'h11'})
    assert all(option.expose_endpoints is None and not option.uvicorn_kwargs for option in deployment.replica_options())
    assert deployment.gateway_options().expose_endpoints == {'/a': {}}
