from __future__ import annotations

import pytest
from jina.core.errors import NotSupportedError
from jina.export import export_docker_compose, export_kubernetes


def test_each_exporter_names_itself_and_a_way_out() -> None:
    with pytest.raises(NotSupportedError) as caught:
        export_kubernetes('flow.yml', 'folder', k8s_namespace='x')
    assert str(caught.value) == (
        "'kubernetes' export is not available in this version; until then, deploy an image that runs "
        '`jina executor --uses config.yml` with a Deployment and a Service of your own'
    )
    with pytest.raises(NotSupportedError, match='docker-compose'):
        export_docker_compose('flow.yml', 'file')
