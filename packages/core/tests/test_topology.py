from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jina.core.conditions import Condition
from jina.core.errors import MissingDeploymentError, TopologyError
from jina.core.topology import GATEWAY, REQUEST, Node, Step, Topology


def topology(*nodes: Node) -> Topology:
    return Topology(nodes)


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    """Random acyclic graphs, in an order in which nodes may also refer to later ones."""
    size = draw(st.integers(0, 12))
    names = [f'n{index}' for index in range(size)]
    nodes = []
    for index, name in enumerate(names):
        needs = draw(st.lists(st.sampled_from([GATEWAY, *names[:index]]), max_size=4, unique=True))
        nodes.append(
            Node(
                name,
                tuple(needs),
                floating=draw(st.booleans()) and draw(st.booleans()),
                when=draw(st.none() | st.just({'tags__a': {'$eq': index}})),
                no_reduce=draw(st.booleans()),
            )
        )
    return draw(st.permutations(nodes))


@settings(deadline=None, max_examples=200)
@given(graphs())
def test_plan_runs_every_node_once_and_after_what_it_needs(nodes: list[Node]) -> None:
    graph = Topology(nodes)
    plan = graph.compile()
    by_name = {node.name: node for node in nodes}
    assert sorted(step.name for step in plan.steps) == sorted(by_name)
    for position, step in enumerate(plan.steps):
        assert step.index == position
        assert all(source < position for source in step.sources)
        needs = by_name[step.name].needs or (GATEWAY,)
        assert tuple(GATEWAY if source == REQUEST else plan.steps[source].name for source in step.sources) == needs
        assert (step.when and step.when.query) == by_name[step.name].when
        assert step.no_reduce == by_name[step.name].no_reduce


@settings(deadline=None, max_examples=200)
@given(graphs())
def test_response_needs_nothing_floating_and_at_most_one_output(nodes: list[Node]) -> None:
    graph = Topology(nodes)
    plan = graph.compile()
    needed = set(plan.outputs)
    for step in reversed(plan.steps):
        if step.index in needed:
            needed.update(step.sources)
    needed.discard(REQUEST)
    assert set(plan.floating) == {step.index for step in plan.steps} - needed
    assert len(plan.outputs) == (1 if any(not node.floating for node in nodes) else 0)
    undeclared = {node.name for node in nodes if not node.floating}
    assert set(graph.hanging) <= undeclared & {node.name for node in graph.nodes if node.floating}


@settings(deadline=None, max_examples=200)
@given(graphs())
def test_description_round_trip(nodes: list[Node]) -> None:
    graph = Topology(nodes)
    description = json.loads(json.dumps(graph.description()))
    again = Topology.from_description(
        description,
        {node.name: node.when for node in nodes if node.when is not None},
        [node.name for node in nodes if node.no_reduce],
        json.loads(json.dumps(graph.merge_order())),
    )

    def content(of: Topology) -> dict[str, object]:
        return {node.name: (node.needs, node.floating, node.when, node.no_reduce) for node in of.nodes}

    assert content(again) == content(graph)
    assert again.outputs == graph.outputs
    assert {name: set(targets) for name, targets in again.description().items()} == {
        name: set(targets) for name, targets in description.items()
    }


def test_description_keeps_the_merge_order() -> None:
    graph = topology(Node('a'), Node('b'), Node('join', ('b', 'gateway', 'a'), no_reduce=True))
    again = Topology.from_description(graph.description())
    assert next(node for node in again.nodes if node.name == 'join').needs == ('b', 'gateway', 'a')


def test_merge_orders_that_contradict_each_other() -> None:
    graph = topology(Node('a'), Node('b'), Node('x', ('a', 'b')), Node('y', ('b', 'a')), Node('end', ('x', 'y')))
    assert graph.merge_order() in ({'x': ['a', 'b']}, {'y': ['b', 'a']})
    again = Topology.from_description(graph.description(), merge_order=graph.merge_order())
    assert {node.name: node.needs for node in again.nodes} == {node.name: node.needs for node in graph.nodes}
    with pytest.raises(TopologyError, match="the merge order of 'x' is 'a'; give 'a', 'b' in another order"):
        Topology.from_description(graph.description(), merge_order={'x': ['a']})
    with pytest.raises(MissingDeploymentError, match="merge order for 'z', which the graph does not have"):
        Topology.from_description(graph.description(), merge_order={'z': ['a']})


def test_order_of_several_outputs() -> None:
    nodes = [Node('a'), Node('b'), Node('c', ('a', 'b'))]
    graph = Topology(nodes, outputs=['c', 'b', 'a'])
    assert graph.merge_order() in ({'c': ['a', 'b']}, {'end-gateway': ['c', 'b', 'a']})
    assert Topology.from_description(graph.description(), merge_order=graph.merge_order()).outputs == ('c', 'b', 'a')


def test_nothing_leads_to_a_node() -> None:
    with pytest.raises(TopologyError) as caught:
        Topology.from_description({'start-gateway': ['a'], 'a': ['end-gateway'], 'b': ['a']})
    assert str(caught.value) == (
        "nothing leads to 'b'; let the gateway or a Deployment send results there:\n"
        '    gateway ─→ a\n    a ─→ response\n    b ─→ a'
    )


@settings(deadline=None, max_examples=100)
@given(graphs(), st.data())
def test_every_cycle_is_found_and_drawn(nodes: list[Node], data: st.DataObject) -> None:
    chain = data.draw(st.integers(2, 5))
    ring = [Node(f'ring{index}', (f'ring{(index - 1) % chain}',)) for index in range(chain)]
    with pytest.raises(TopologyError) as caught:
        Topology(data.draw(st.permutations([*nodes, *ring])))
    circle = str(caught.value).split('circle: ')[1].split(';')[0].split(' → ')
    assert len(circle) == chain + 1
    assert circle[0] == circle[-1]
    assert all(int(second[4:]) == (int(first[4:]) + 1) % chain for first, second in itertools.pairwise(circle))
    for first, second in itertools.pairwise(circle):
        assert f'    {first} ─→ {second}' in str(caught.value)


def test_cycle_message() -> None:
    with pytest.raises(TopologyError) as caught:
        topology(Node('a', ('b',)), Node('b', ('a',)), Node('c'))
    assert str(caught.value) == (
        'the Deployments need each other in a circle: a → b → a; remove one of these needs:\n'
        '    gateway ─→ c\n'
        '    a ─→ b\n'
        '    b ─→ a'
    )


def test_unknown_name_is_shown_in_the_graph_with_the_nearest_one() -> None:
    with pytest.raises(MissingDeploymentError) as caught:
        topology(Node('encoder'), Node('indexer', ('encodr',)))
    assert str(caught.value) == (
        "Deployment 'indexer' needs 'encodr', which does not exist; did you mean 'encoder'?:\n"
        '    gateway ─→ encoder\n'
        '    encodr (missing) ─→ indexer'
    )


@pytest.mark.parametrize(
    ('nodes', 'message'),
    [
        ([Node('a'), Node('a')], "two Deployments are named 'a'; rename one of them:\n    gateway ─→ a, a"),
        ([Node('a', ('a',))], "Deployment 'a' needs itself; correct its needs:\n    a ─→ a"),
        ([Node('gateway')], "a Deployment can not be named 'gateway'; choose another name"),
        ([Node('end-gateway')], "a Deployment can not be named 'end-gateway'; choose another name"),
        ([Node('')], "a Deployment can not be named ''; choose another name"),
    ],
)
def test_bad_names(nodes: list[Node], message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        Topology(nodes)
    assert str(caught.value) == message


def test_condition_for_an_unknown_node() -> None:
    with pytest.raises(MissingDeploymentError) as caught:
        Topology.from_description({'start-gateway': ['a'], 'a': ['end-gateway']}, {'b': {}})
    assert str(caught.value) == "condition for 'b', which the graph does not have; there are 'a'"


def test_empty_graph() -> None:
    graph = topology()
    assert graph.description() == {}
    plan = graph.compile()
    assert (plan.steps, plan.outputs, plan.floating, plan.is_chain) == ((), (), (), False)
    assert str(graph) == '    gateway ─→ response'
    assert Topology.from_description({}).nodes == ()
    assert Topology.from_description({'start-gateway': ['end-gateway']}).nodes == ()


def test_chain() -> None:
    graph = topology(Node('a'), Node('b', ('a',)), Node('c', ('b',)))
    plan = graph.compile()
    assert plan.is_chain
    assert plan.chain == ('a', 'b', 'c')
    assert plan.outputs == (2,)
    assert graph.description() == {'start-gateway': ['a'], 'a': ['b'], 'b': ['c'], 'c': ['end-gateway']}
    assert str(graph) == '    gateway ─→ a\n    a ─→ b\n    b ─→ c\n    c ─→ response'


@pytest.mark.parametrize(
    ('nodes', 'description', 'hanging'),
    [
        (
            [Node('a'), Node('b', ('a',)), Node('c', ('a',)), Node('d', ('b', 'c'))],
            {'start-gateway': ['a'], 'a': ['b', 'c'], 'b': ['d'], 'c': ['d'], 'd': ['end-gateway']},
            (),
        ),
        (
            [Node('a'), Node('b', ('a',), floating=True), Node('c', ('a',))],
            {'start-gateway': ['a'], 'a': ['b', 'c'], 'b': [], 'c': ['end-gateway']},
            (),
        ),
        (
            [Node('a'), Node('b', ('a',), floating=True), Node('c', ('b',), floating=True)],
            {'start-gateway': ['a'], 'a': ['b', 'end-gateway'], 'b': ['c'], 'c': []},
            (),
        ),
        (
            [Node('a'), Node('b', ('a',), floating=True), Node('c', ('b',))],
            {'start-gateway': ['a'], 'a': ['b'], 'b': ['c'], 'c': ['end-gateway']},
            (),
        ),
        ([Node('a', floating=True)], {'start-gateway': ['a'], 'a': []}, ()),
        (
            [Node('a'), Node('b', ('gateway', 'a'))],
            {'start-gateway': ['a', 'b'], 'a': ['b'], 'b': ['end-gateway']},
            (),
        ),
        ([Node('a'), Node('b')], {'start-gateway': ['a', 'b'], 'a': [], 'b': ['end-gateway']}, ('a',)),
    ],
)
def test_descriptions_are_those_of_the_original(
    nodes: list[Node], description: dict[str, list[str]], hanging: tuple[str, ...]
) -> None:
    graph = Topology(nodes)
    assert graph.description() == description
    assert graph.hanging == hanging


def test_several_outputs_come_from_a_description() -> None:
    graph = Topology.from_description({'start-gateway': ['a', 'b'], 'a': ['end-gateway'], 'b': ['end-gateway']})
    plan = graph.compile()
    assert [plan.steps[index].name for index in plan.outputs] == ['a', 'b']
    assert plan.floating == ()
    assert not plan.is_chain


def test_steps_of_a_diamond() -> None:
    graph = topology(
        Node('a'), Node('b', ('a',), when={'x': {'$eq': 1}}), Node('c', ('a',)), Node('d', ('c', 'b'), no_reduce=True)
    )
    assert graph.compile().steps == (
        Step(0, 'a', (REQUEST,)),
        Step(1, 'b', (0,), when=Condition({'x': {'$eq': 1}})),
        Step(2, 'c', (0,)),
        Step(3, 'd', (2, 1), no_reduce=True),
    )


def test_long_drawings_are_cut() -> None:
    nodes = [Node('n0'), *(Node(f'n{index}', (f'n{index - 1}',)) for index in range(1, 100))]
    lines = str(Topology(nodes)).splitlines()
    assert len(lines) == 41
    assert lines[-1] == '    … 61 more'


def test_200_nodes_compile_in_50_ms(record_property: Any) -> None:
    nodes = [Node(f'n{index}', tuple(f'n{other}' for other in range(max(0, index - 5), index))) for index in range(200)]

    def seconds() -> float:
        start = time.process_time()
        Topology(nodes).compile()
        return time.process_time() - start

    best = min(seconds() for _ in range(3))
    record_property('compile_200_nodes_ms', round(best * 1000, 2))
    print(f'200 nodes take {best * 1000:.2f} ms')
    assert best < 0.05
