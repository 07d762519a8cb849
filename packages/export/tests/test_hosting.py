"""Sections for hosting services in the export."""

from __future__ import annotations

from typing import Any

import pytest
from jina.core.errors import ConfigError
from jina.export import Autoscale, Storage, hosting_settings

DOCUMENT: dict[str, Any] = {
    'jtype': 'Flow',
    'jcloud': {'labels': {'team': 'search', 'user': 'me'}, 'version': '3.10.0'},
    'gateway': {'jcloud': {'resources': {'instance': 'C2'}}},
    'executors': [
        {
            'name': 'encoder',
            'jcloud': {
                'resources': {'instance': 'G3'},
                'autoscale': {'min': 1, 'max': 4, 'metric': 'cpu', 'target': 60, 'scale_down_delay': '5m'},
            },
        },
        {'jcloud': {'resources': {'cpu': 2, 'memory': '3Gi'}, 'labels': {'group': 'backend'}, 'minAvailable': 2}},
        {'name': 'plain'},
        {'name': 'disk', 'jcloud': {'resources': {'storage': {'kind': 'ebs', 'size': '10G', 'retain': True}}}},
        {'name': 'shared', 'jcloud': {'resources': {'storage': {'kind': 'efs'}}}},
        {'name': 'none', 'jcloud': {'resources': {'storage': {'kind': 'ephemeral'}}}},
    ],
}


def test_sections_become_settings() -> None:
    found = hosting_settings(DOCUMENT)
    assert found['labels'] == {'team': 'search'}
    assert found['autoscale'] == {'encoder': Autoscale(1, 4, 'cpu', 60, scale_down_s=300)}
    assert found['resources'] == {
        'gateway': {'requests': {'cpu': '500m', 'memory': '1G'}, 'limits': {'memory': '1G'}},
        'encoder': {'limits': {'nvidia.com/gpu': 2}, 'requests': {'cpu': '100m'}},  # of which 60 % are known
        'executor1': {'requests': {'cpu': '2', 'memory': '3Gi'}, 'limits': {'memory': '3Gi'}},
    }
    assert found['storage'] == {'disk': Storage('10G', retain=True), 'shared': Storage('5G', shared=True, retain=False)}
    assert found['labels_of'] == {'executor1': {'group': 'backend'}}
    assert found['availability'] == {'executor1': {'minAvailable': 2}}


@pytest.mark.parametrize(
    ('section', 'expected'),
    [
        ({'max': 3}, Autoscale(1, 3, 'concurrency', 100)),
        ({'min': 0, 'max': 2, 'metric': 'rps', 'target': 50}, Autoscale(1, 2, 'rps', 50)),
    ],
)
def test_replicas_by_the_requests_of_each(section: dict[str, Any], expected: Autoscale) -> None:
    found = hosting_settings({'executors': [{'name': 'a', 'jcloud': {'autoscale': section}}]})
    assert found['autoscale'] == {'a': expected}
    assert not found['resources']


def test_a_deployment() -> None:
    document = {'jtype': 'Deployment', 'with': {'name': 'encoder'}, 'jcloud': {'resources': {'instance': 'C1'}}}
    assert hosting_settings(document)['resources'] == {
        'encoder': {'requests': {'cpu': '100m', 'memory': '0.2G'}, 'limits': {'memory': '0.2G'}}
    }


@pytest.mark.parametrize(
    ('section', 'message'),
    [
        ({'resources': {'instance': 'X9'}}, "jcloud of 'a' asks for the instance 'X9'; choose one of C1, "),
        (
            {'autoscale': {'metric': 'gpu'}},
            "jcloud of 'a' adds replicas by 'gpu'; choose one of concurrency, rps, cpu, memory",
        ),
        ({'autoscale': {'metric': 'cpu', 'scale_down_delay': '2h'}}, "the scale_down_delay '2h'; write 0s to 1h"),
        ({'resources': {'storage': {'kind': 'nfs'}}}, "storage of the kind 'nfs'; choose one of ephemeral, ebs, efs"),
        ({'labels': {'-x': 'y'}}, "jcloud of 'a' has '-x' among its labels; use at most 63 letters"),
    ],
)
def test_what_can_not_be_hosted(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        hosting_settings({'executors': [{'name': 'a', 'jcloud': section}]})
