from __future__ import annotations

from pathlib import Path

import pytest
from jina.core.errors import ConfigError, MissingDeploymentError
from jina.export.graph import FlowGraph

BRANCHES = """
jtype: Flow
with:
  name: search
  replicas: 2
executors:
  - name: first
    uses: First
  - uses: docker://image
    needs: first
    replicas: 1
  - name: third
    needs: [first]
    external: true
    host: 10.0.0.1
  - name: log
    floating: true
  - name: join
    method: needs_all
"""


def needs(graph: FlowGraph) -> dict[str, tuple[str, ...]]:
    return {node.name: node.needs for node in graph.topology.nodes}


def test_needs_names_replicas_and_defaults_of_the_flow() -> None:
    graph = FlowGraph.from_yaml(BRANCHES)
    assert graph.name == 'search'
    assert needs(graph) == {
        'first': ('gateway',),
        'executor1': ('first',),
        'third': ('first',),
        'log': ('third',),
        'join': ('executor1', 'third'),
    }
    assert [(item.name, item.uses, item.replicas, item.external) for item in graph.deployments] == [
        ('first', 'First', 2, False),
        ('executor1', 'docker://image', 1, False),
        ('third', 'BaseExecutor', 2, True),
        ('log', 'BaseExecutor', 2, False),
        ('join', 'BaseExecutor', 2, False),
    ]
    assert [node.name for node in graph.topology.nodes if node.floating] == ['log']


def test_deployment_files_and_inline_deployments(tmp_path: Path) -> None:
    (tmp_path / 'encoder.yml').write_text('jtype: Deployment\nwith:\n  name: encoder\n  uses: Encoder\n')
    flow = tmp_path / 'flow.yml'
    flow.write_text(
        'jtype: Flow\nexecutors:\n  - encoder.yml\n  - jtype: Deployment\n    needs: gateway\n    with: {name: indexer, uses: {jtype: Indexer}}\n'
    )
    graph = FlowGraph.from_yaml(flow)
    assert needs(graph) == {'encoder': ('gateway',), 'indexer': ('gateway',)}
    assert [item.uses for item in graph.deployments] == ['Encoder', 'Indexer']


def test_an_empty_flow_has_no_deployments() -> None:
    assert FlowGraph.from_yaml('jtype: Flow').deployments == ()


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('jtype: Deployment\nwith: {}', "'Deployment' is not a Flow; give the YAML of a Flow"),
        ('jtype: Flow\nexecutors: {a: 1}', 'is not a list of Executors'),
        ('jtype: Flow\nexecutors:\n  - 3', 'executors[0]: 3 is not an Executor; write a mapping of options, or a path'),
    ],
)
def test_malformed_yaml_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FlowGraph.from_yaml(text)
    assert message in str(caught.value)


def test_an_unknown_need_is_refused() -> None:
    with pytest.raises(MissingDeploymentError, match='frist'):
        FlowGraph.from_yaml('jtype: Flow\nexecutors:\n  - name: first\n  - needs: frist')
