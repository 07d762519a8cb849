from __future__ import annotations

from pathlib import Path

import pytest
from jina.core.errors import NotSupportedError
from jina.export.flowchart import export_flowchart, flowchart
from jina.export.graph import FlowGraph

FLOW = """
jtype: Flow
with: {name: search}
executors:
  - {name: encoder, uses: Encoder, replicas: 2}
  - {name: end, uses: 'say "hi"', when: {tags__key: {$eq: 5}}}
  - {name: remote, needs: encoder, external: true}
  - {name: join, needs: [end, remote]}
  - {name: log, needs: encoder, floating: true}
"""

EXPECTED = """---
title: "search"
---
flowchart LR
    subgraph encoder ["encoder"]
        direction LR
        encoder/rep-0["Encoder"]:::pod
        encoder/rep-1["Encoder"]:::pod
    end
    subgraph end_ ["end"]
        direction LR
        end_/rep-0["say #quot;hi#quot;"]:::pod
    end
    remote["remote"]:::external
    subgraph join ["join"]
        direction LR
        join/rep-0["BaseExecutor"]:::pod
    end
    subgraph log ["log"]
        direction LR
        log/rep-0["BaseExecutor"]:::pod
    end
    gatewaystart(["gateway"]):::GATEWAY
    gatewayend(["gateway"]):::GATEWAY
    gatewaystart --> encoder
    encoder -->|"tags__key: $eq: 5"| end_
    encoder --> remote
    end_ --> join
    remote --> join
    encoder --> log
    join --> gatewayend
    classDef pod fill:#32C8CD,stroke:#009999,color:#fff
    classDef external fill:#fff,stroke:#009999,stroke-dasharray:4
    classDef GATEWAY fill:#6E7278,stroke:#6E7278,color:#fff
"""


def test_whole_picture() -> None:
    assert flowchart(FlowGraph.from_yaml(FLOW)) == EXPECTED


def test_vertical_layout_and_empty_flow() -> None:
    text = flowchart(FlowGraph.from_yaml('jtype: Flow'), vertical_layout=True)
    assert text.startswith('flowchart TD\n')
    assert '    gatewaystart --> gatewayend\n' in text


def test_files(tmp_path: Path) -> None:
    source = tmp_path / 'flow.yml'
    source.write_text(FLOW)
    assert export_flowchart(source, tmp_path / 'out.mmd').read_text() == EXPECTED
    assert (
        export_flowchart(FlowGraph.from_yaml(FLOW), tmp_path / 'out.md').read_text() == f'```mermaid\n{EXPECTED}```\n'
    )


def test_rendered_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotSupportedError) as caught:
        export_flowchart(FLOW, tmp_path / 'out.svg')
    assert str(caught.value) == (
        "a flowchart cannot be written as 'out.svg' in this version; choose a name that ends with .mmd, .mermaid, .txt, "
        '.md; editors and documentation sites render Mermaid'
    )
    assert not (tmp_path / 'out.svg').exists()
