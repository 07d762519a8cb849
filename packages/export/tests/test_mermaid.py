from __future__ import annotations

from jina.export.graph import FlowGraph
from jina.export.mermaid import mermaid

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
    assert mermaid(FlowGraph.from_yaml(FLOW)) == EXPECTED


def test_vertical_layout_and_empty_flow() -> None:
    text = mermaid(FlowGraph.from_yaml('jtype: Flow'), vertical_layout=True)
    assert text.startswith('flowchart TD\n')
    assert '    gatewaystart --> gatewayend\n' in text
    assert 'gatewayend' not in mermaid(FlowGraph.from_yaml('jtype: Flow'), ends=False)


def test_shards() -> None:
    text = mermaid(FlowGraph.from_yaml('jtype: Flow\nexecutors: [{name: a, shards: 2, replicas: 2}]'))
    for pod in ('a/shard-0/rep-0', 'a/shard-0/rep-1', 'a/shard-1/rep-0', 'a/shard-1/rep-1'):
        assert f'        {pod}["BaseExecutor"]:::pod\n' in text
