"""Where this machine is in the network of an engine's containers."""

from __future__ import annotations

import pytest
from jina.orchestrate.docker_command import _gateways


@pytest.mark.parametrize(
    ('configuration', 'expected'),
    [
        ('[{"Subnet":"172.17.0.0/16","Gateway":"172.17.0.1"}]\n', ['172.17.0.1']),
        ('[{"Subnet":"172.17.0.0/16"}]', ['172.17.0.1']),  # a bridge that was made a moment ago
        ('[{"Subnet":"10.1.0.0/24","Gateway":"10.1.0.9"},{"Subnet":"fd00::/64"}]', ['10.1.0.9', 'fd00::1']),
        ('null', []),
        ('', []),
    ],
)
def test_gateways(configuration: str, expected: list[str]) -> None:
    assert _gateways(configuration) == expected
