"""The graphs of Flows: what is refused, and that random ones give what a naive interpreter gives."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from docarray import BaseDoc, DocList
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jina import Executor, requests
from jina.core.errors import ConfigError, MissingDeploymentError, TopologyError
from jina.orchestrate import Deployment, Flow
from jina.orchestrate.export import run_exporter
from jina.orchestrate.testing import TestClient


class Doc(BaseDoc):
    number: int = 0
    seen: dict[str, Any] = {}  # noqa: RUF012


Docs = dict[str, dict[str, Any]]
"""What the interpreter knows of documents: what Executors noted in each, by id, in order."""


class Mark(Executor):
    """Notes in each document how many it got, and adds one of its own."""

    got: ClassVar[dict[str, list[str]]] = {}

    @requests
    async def mark(self, docs: DocList[Doc], docs_map: Any = None, **kwargs: Any) -> DocList[Doc]:
        name = str(self.runtime_args.name).partition('/')[0]
        if docs_map is not None:
            docs = DocList[Doc](
                [
                    Doc(id=f'{source}>{doc.id}', number=doc.number, seen=doc.seen)
                    for source, part in docs_map.items()
                    for doc in part
                ]
            )
        Mark.got[name] = list(docs.id)
        for doc in docs:
            doc.seen[name] = len(docs)
        docs.append(Doc(id=name, number=-1))
        return docs


class Elsewhere(Executor):
    """Requests pass it by."""

    @requests(on='/elsewhere')
    async def never(self, docs: DocList[Doc], **kwargs: Any) -> DocList[Doc]:
        raise AssertionError


@dataclass
class Spec:
    """An Executor of a random Flow."""

    name: str
    needs: list[str]
    floating: bool = False
    no_reduce: bool = False
    elsewhere: bool = False
    when: dict[str, Any] | None = None

    def passes(self, doc_id: str, number: int, seen: dict[str, Any]) -> bool:
        """The filter, by hand."""
        if self.when is None:
            return True
        ((key, test),) = self.when.items()
        if key == 'number':
            return number >= test['$gte']
        if key == 'id':
            return re.search(test['$regex'], doc_id) is not None
        return (key.removeprefix('seen__') in seen) is test['$exists']


@st.composite
def flows(draw: st.DrawFn) -> list[Spec]:
    """Random graphs, in an order in which Executors may also need later ones."""
    names = [f'n{index}' for index in range(draw(st.integers(1, 6)))]
    specs = []
    for index, name in enumerate(names):
        before = ['gateway', *names[:index]]
        when = draw(
            st.none()
            | st.builds(lambda least: {'number': {'$gte': least}}, st.integers(-1, 3))
            | st.sampled_from([{'id': {'$regex': 'd[02]'}}, {'id': {'$regex': '^n'}}])
            | st.builds(
                lambda other, wanted: {f'seen__{other}': {'$exists': wanted}}, st.sampled_from(names), st.booleans()
            )
        )
        specs.append(
            Spec(
                name,
                draw(st.lists(st.sampled_from(before), min_size=1, max_size=3, unique=True)),
                floating=draw(st.booleans()) and draw(st.booleans()),
                no_reduce=draw(st.booleans()) and draw(st.booleans()),
                elsewhere=draw(st.booleans()) and draw(st.booleans()),
                when=when,
            )
        )
    return draw(st.permutations(specs))


@dataclass
class Interpreter:
    """Does to documents what the Flow should do, the slow and obvious way."""

    specs: list[Spec]
    inputs: dict[str, tuple[int, dict[str, Any]]]
    target: str | None
    got: dict[str, list[str]] = field(default_factory=dict)

    def results_of(self, name: str) -> dict[str, tuple[int, dict[str, Any]]]:
        if name == 'gateway':
            return {key: (number, dict(seen)) for key, (number, seen) in self.inputs.items()}
        spec = next(spec for spec in self.specs if spec.name == name)
        parts = {need: self.results_of(need) for need in spec.needs}
        if spec.elsewhere or (self.target and not re.match(self.target, name)):
            return self.merged(list(parts.values()))
        if spec.no_reduce and len(parts) > 1:
            docs = {
                f'{need}>{key}': doc
                for need, part in parts.items()
                for key, doc in part.items()
                if spec.passes(key, *doc)
            }
        else:
            docs = {key: doc for key, doc in self.merged(list(parts.values())).items() if spec.passes(key, *doc)}
        self.got[name] = list(docs)
        marked = {key: (number, {**seen, name: len(docs)}) for key, (number, seen) in docs.items()}
        return {**marked, name: (-1, {})}

    @staticmethod
    def merged(parts: list[dict[str, tuple[int, dict[str, Any]]]]) -> dict[str, tuple[int, dict[str, Any]]]:
        result: dict[str, tuple[int, dict[str, Any]]] = {}
        for part in parts:
            for key, (number, seen) in part.items():
                known = result.get(key, (number, {}))
                result[key] = (known[0], {**seen, **known[1]})
        return result

    def response(self) -> dict[str, tuple[int, dict[str, Any]]]:
        """What comes from the last Executor that isn't floating, and that no such Executor needs."""

        def stays(spec: Spec) -> bool:
            return not spec.floating or any(spec.name in other.needs and stays(other) for other in self.specs)

        standing = [spec for spec in self.specs if stays(spec)]
        ends = [spec for spec in standing if not any(spec.name in other.needs for other in standing)]
        for spec in self.specs:
            self.results_of(spec.name)
        return self.results_of(ends[-1].name if ends else 'gateway')


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(flows(), st.none() | st.sampled_from(['n[024]', 'n[1-3]', 'n0']))
def test_random_flows_give_what_the_interpreter_gives(specs: list[Spec], target: str | None) -> None:
    flow = Flow()
    for spec in specs:
        flow = flow.add(
            uses=Elsewhere if spec.elsewhere else Mark,
            name=spec.name,
            needs=spec.needs,
            floating=spec.floating,
            no_reduce=spec.no_reduce,
            when=spec.when,
        )
    inputs = DocList[Doc]([Doc(id=f'd{number}', number=number) for number in range(3)])
    Mark.got.clear()
    with TestClient(flow) as client:
        response = client.post('/', inputs, return_type=DocList[Doc], target_executor=target)
    expected = Interpreter(specs, {doc.id: (doc.number, {}) for doc in inputs}, target)
    assert [(doc.id, doc.number, doc.seen) for doc in response] == [
        (key, number, seen) for key, (number, seen) in expected.response().items()
    ]
    assert Mark.got == expected.got


def three() -> Flow:
    return Flow().add(name='a').add(name='b', needs='gateway').add(name='c', needs=['a', 'b'])


@pytest.mark.parametrize(
    ('make', 'error', 'message'),
    [
        (
            lambda: three().add(name='a'),
            TopologyError,
            "two Deployments are named 'a'; rename one of them:\n"
            '    gateway ─→ a, b\n    a ─→ c\n    b ─→ c\n    c ─→ a',
        ),
        (lambda: three().add(name='d', needs='d'), TopologyError, "Deployment 'd' needs itself; correct its needs:\n"),
        (
            lambda: Flow().add(name='a', needs='c').add(name='b').add(name='c'),
            TopologyError,
            'the Deployments need each other in a circle: a → b → c → a; remove one of these needs:\n'
            '    a ─→ b\n    b ─→ c\n    c ─→ a',
        ),
        (
            lambda: Flow().add(name='encoder').add(name='x', needs=['encodr']).build(),
            MissingDeploymentError,
            "Deployment 'x' needs 'encodr', which does not exist; did you mean 'encoder'?:\n"
            '    gateway ─→ encoder\n    encodr (missing) ─→ x',
        ),
        (
            lambda: three().add(name='d', needs=['a', 'c'], no_reduce=True, external=True, port=1).build(),
            TopologyError,
            "the external Deployment 'd' has no_reduce, and needs several others; leave out no_reduce: an external "
            'Executor gets merged results only:\n    gateway ─→ a, b\n    a ─→ c, d',
        ),
        (lambda: three().add(when={'x': {'$gtt': 1}}), ConfigError, 'add().when: x: $gtt is no operator; did you mean'),
        (lambda: three().add(deployment_role='JOIN'), ConfigError, 'deployment_role is DEPLOYMENT or INSPECT'),
    ],
)
def test_what_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)


def test_what_is_refused_in_yaml() -> None:
    for entries, message in {
        '[{name: a}, {name: a}]': "executors[1]: two Deployments are named 'a'; rename one of them:\n    gateway ─→ a",
        '[{name: a, needs: x}]': "executors: Deployment 'a' needs 'x', which does not exist; there are 'gateway':\n",
        '[{name: a, needs: b}, {name: b}]': 'executors[1]: the Deployments need each other in a circle: a → b → a; ',
        '[{when: {x: {$gtt: 1}}}]': 'executors[0].when: x: $gtt is no operator; did you mean $gt?',
    }.items():
        with pytest.raises(ConfigError) as caught:
            Flow.load_config(f'jtype: Flow\nexecutors: {entries}')
        assert message in str(caught.value)


def test_an_executor_may_need_a_later_one() -> None:
    flow = Flow().add(name='b', needs='a', uses=Mark).add(name='a', needs='gateway', uses=Mark)
    assert flow.build() is flow
    assert flow.build(copy_flow=True) == flow
    assert flow.build(copy_flow=True) is not flow
    assert flow.topology.compile().chain == ('a', 'b')


def inspected(strategy: str) -> Flow:
    flow = Flow(inspect=strategy).add(uses=Mark, name='a').inspect(name='look', uses=Mark).add(uses=Mark, name='b')
    return flow.inspect(name='again', uses=Mark)


@pytest.mark.parametrize(
    ('strategy', 'ids', 'got'),
    [
        ('COLLECT', ['d', 'a', 'b', 'look', 'again'], ['a', 'again', 'b', 'look']),
        ('HANG', ['d', 'a', 'b'], ['a', 'again', 'b', 'look']),
        ('REMOVE', ['d', 'a', 'b'], ['a', 'b']),
    ],
)
def test_inspecting_executors(strategy: str, ids: list[str], got: list[str]) -> None:
    flow = inspected(strategy)
    assert flow['b'].needs == ['a']
    again = Flow.load_config(flow.to_config())
    assert again.topology.description() == flow.topology.description()
    Mark.got.clear()
    with TestClient(flow) as client:
        assert client.post('/', Doc(id='d'), return_type=DocList[Doc]).id == ids
    assert sorted(Mark.got) == got


def test_inspections_are_gathered_by_an_executor_of_their_own() -> None:
    flow = inspected('COLLECT').gather_inspect(uses=Mark)
    assert flow['gather_inspect'].needs == ['look', 'again', 'b']
    assert flow.topology.outputs == ('gather_inspect',)
    assert inspected('COLLECT').gather_inspect(include_last_deployment=False)[-1].needs == ['look', 'again']
    assert inspected('REMOVE').gather_inspect() == inspected('REMOVE')
    from_yaml = Flow.load_config(
        'jtype: Flow\nexecutors: [{name: a}, {method: inspect, name: i}, {name: b}, {method: gather_inspect, name: g}]'
    )
    assert [(name, deployment.needs) for name, deployment in from_yaml] == [
        ('a', ['gateway']),
        ('i', ['a']),
        ('b', ['a']),
        ('g', ['i', 'b']),
    ]
    assert from_yaml == Flow().add(name='a').inspect(name='i').add(name='b').gather_inspect(name='g')
    behind = from_yaml.add(name='behind', needs='i')
    assert Flow.load_config(behind.to_config()) == behind
    assert from_yaml.needs_all('j')['j'].needs == ['g']


def test_equality(tmp_path: Path) -> None:
    assert three() == three() != three().add(name='d')
    assert Flow(port=1) != Flow(port=2)
    assert Flow() != 'Flow'
    assert Flow.load_config(three().to_config()) == three()
    three().save_config(tmp_path / 'flow.yml')
    assert Flow.load_config(str(tmp_path / 'flow.yml')) == three(), 'it knows the folder, which is no difference'
    deployment = Deployment(name='a', replicas=2)
    deployment.save_config(tmp_path / 'deployment.yml')
    assert Deployment.load_config(str(tmp_path / 'deployment.yml')) == deployment != Deployment(name='a')


@pytest.mark.parametrize(
    'make',
    [
        Flow,
        three,
        lambda: three().needs_all(),
        lambda: inspected('COLLECT'),
        lambda: inspected('HANG'),
        lambda: inspected('REMOVE').gather_inspect(),
        lambda: inspected('COLLECT').gather_inspect(),
        lambda: Flow().add(name='a', floating=True).add(name='b', needs='a', when={'x': 1}).add(floating=True).add(),
    ],
)
def test_the_picture_shows_the_graph_that_runs(make: Any) -> None:
    flow = make()
    drawn = run_exporter('picture', flow.to_config()).graph.topology
    assert drawn.description() == flow.topology.description()
    assert drawn.nodes == flow.topology.nodes


@pytest.mark.parametrize('options', [{'when': {'x': 1}}, {'floating': True}])
def test_a_deployment_alone_has_nothing_to_filter_or_to_float_beside(options: dict[str, Any]) -> None:
    deployment = Deployment(**options)
    (name,) = options
    with pytest.raises(ConfigError, match=f"Deployment 'executor' has {name}; give {name} to an Executor of a Flow"):
        deployment.start()
    assert getattr(Flow().add(deployment)[0].options, name) == options[name]
