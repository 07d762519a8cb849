"""Sections for hosting services in the export."""

from __future__ import annotations

from typing import Any

import pytest
from jina.core.errors import ConfigError
from jina.export import Autoscale, hosting_settings

DOCUMENT: dict[str, Any] = {
    'jtype': 'Flow',
    'jcloud': {'labels': {'team': 'search', 'user': 'me'}, 'version': '3.10.0'},
    'gateway': {'jcloud': {'resources': {'instance': 'C2'}}},
    'executors': [
        {
            'name': 'encoder',
            'jcloud': {
                'resources': {'instance': 'G3'},
                'autoscale': {'min': 1, 'max': 4, 'metric': 'cpu', 'target': 60},
            },
        },
        {'jcloud': {'resources': {'cpu': 2, 'memory': '3Gi'}}},
        {'name': 'plain'},
    ],
}


def test_sections_become_settings() -> None:
    found = hosting_settings(DOCUMENT)
    assert found['labels'] == {'team': 'search'}
    assert found['autoscale'] == {'encoder': Autoscale(1, 4, 'cpu', 60)}
    assert found['resources'] == {
        'gateway': {'requests': {'cpu': '500m', 'memory': '1G'}, 'limits': {'memory': '1G'}},
        'encoder': {'limits': {'nvidia.com/gpu': 2}},
        'executor1': {'requests': {'cpu': '2', 'memory': '3Gi'}, 'limits': {'memory': '3Gi'}},
    }


def test_a_deployment() -> None:
    document = {'jtype': 'Deployment', 'with': {'name': 'encoder'}, 'jcloud': {'resources': {'instance': 'C1'}}}
    assert hosting_settings(document)['resources'] == {
        'encoder': {'requests': {'cpu': '100m', 'memory': '0.2G'}, 'limits': {'memory': '0.2G'}}
    }


@pytest.mark.parametrize(
    ('section', 'message'),
    [
        ({'resources': {'instance': 'X9'}}, "jcloud of 'a' asks for the instance 'X9'; choose one of C1, "),
        ({'autoscale': {'max': 3}}, "jcloud of 'a' adds replicas by 'concurrency', which Kubernetes does not know"),
    ],
)
def test_what_can_not_be_hosted(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        hosting_settings({'executors': [{'name': 'a', 'jcloud': section}]})
