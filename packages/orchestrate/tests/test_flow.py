from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from jina import Client, Executor, requests
from jina.core.errors import ConfigError, MissingDeploymentError, NotSupportedError, StartupError, TopologyError
from jina.orchestrate import Deployment, Flow

from .executors import Append, Broken, NeverWarm

TEXTS = DocList[TextDoc]


class Number(BaseDoc):
    """Another schema than TextDoc."""

    value: int


class Count(Executor):
    """Takes documents that Append doesn't give."""

    @requests
    def count(self, docs: DocList[Number], **kwargs: Any) -> DocList[Number]:
        return docs


class Pair(Executor):
    """Joins two branches."""

    @requests
    def join(self, docs_matrix: list[DocList[TextDoc]], **kwargs: Any) -> DocList[TextDoc]:
        return TEXTS([TextDoc(text=f'{a.text}|{b.text}') for a, b in zip(*docs_matrix, strict=True)])


def texts(source: Any, on: str = '/', text: str = '', **options: Any) -> list[str | None]:
    return list(source.post(on, TextDoc(text=text), return_type=TEXTS, **options).text)


def appender(text: str, **options: Any) -> dict[str, Any]:
    return {'uses': Append, 'uses_with': {'text': text}, **options}


def test_add_returns_a_new_flow() -> None:
    empty = Flow()
    one = empty.add(name='a')
    assert [name for name, _ in empty] == []
    assert [name for name, _ in one] == ['a']
    assert 'a' in one and 'a' not in empty
    two = one.add().add(name='x').add()
    assert [name for name, _ in two] == ['a', 'executor1', 'x', 'executor3']
    assert two['x'].needs == ['executor1'] == two[2].needs
    assert two[0].needs == ['gateway']
    assert [name for name, _ in one] == ['a']
    with pytest.raises(KeyError, match="'execuor1' is no Executor of the Flow; did you mean 'executor1'"):
        two['execuor1']
    with pytest.raises(KeyError, match="'zebra' is no Executor of the Flow"):
        two['zebra']


def test_chain() -> None:
    with Flow().add(**appender('a')).add(**appender('b')).add(**appender('c', replicas=2)) as flow:
        assert texts(flow, text='-') == ['-abc']
        assert flow.num_pods == 5
        assert flow.num_deployments == 4
        assert flow.is_flow_ready()
        assert flow.port > 0
        assert flow.client_args['port'] == flow.port
        assert Client(**flow.client_args).is_flow_ready()
        assert flow['executor2'].ports[0] != flow['executor2'].ports[1]
    assert not flow.is_flow_ready()
    assert flow.num_pods == 0
    with flow:
        assert texts(flow, text='-') == ['-abc']


def test_empty_flow() -> None:
    with Flow() as flow:
        assert texts(flow, text='a') == ['a']
        assert flow.num_pods == 1


def test_branches_join() -> None:
    flow = (
        Flow()
        .add(**appender('a', name='first'))
        .add(**appender('b', name='left', needs='first'))
        .add(**appender('c', name='right', needs='first'))
        .add(uses=Pair, name='join', needs=['left', 'right'], no_reduce=True)
    )
    with flow:
        assert texts(flow) == ['ab|ac']


def test_needs_all_takes_every_loose_end() -> None:
    flow = (
        Flow().add(name='a').add(name='b', needs='gateway').add(name='f', needs='a', floating=True).needs_all(name='j')
    )
    assert flow['j'].needs == ['a', 'b']
    assert Flow().add(name='a').add(name='b', needs='gateway').needs_all()['joiner'].needs == ['a', 'b']
    with pytest.raises(TopologyError, match='no Executor to wait for'):
        Flow().needs_all()
    with pytest.raises(TopologyError, match='waits for several'):
        Flow().add(name='a').needs(['a'])
    assert Flow().add(name='a').add(name='b', needs='gateway').needs(['a', 'b'], name='c')['c'].needs == ['a', 'b']


def test_floating_is_left_out_of_the_chain() -> None:
    flow = Flow().add(**appender('a')).add(**appender('b', name='middle', floating=True)).add(**appender('c'))
    assert flow['executor2'].needs == ['executor0']
    with flow:
        assert texts(flow) == ['ac']


def test_names_and_needs_are_checked() -> None:
    with pytest.raises(TopologyError, match="two Deployments are named 'a'"):
        Flow().add(name='a').add(name='a')
    with pytest.raises(TopologyError, match="'gateway'"):
        Flow().add(name='gateway')
    with pytest.raises(ConfigError, match="'a b/c' can not be the name"):
        Flow().add(name='a b/c')
    with pytest.raises(MissingDeploymentError, match="'encoder', which does not exist"):
        Flow().add(name='encode').add(needs='encoder').start()
    with pytest.raises(ConfigError, match=r"add\(\).replicsa: no such option; did you mean 'replicas'"):
        Flow().add(replicsa=2)
    with pytest.raises(ConfigError, match='speaks gRPC only'):
        Flow().add(protocol='http')


def test_failure_of_one_closes_all() -> None:
    flow = Flow().add(uses=Append, replicas=2).add(uses=Broken, name='broken')
    with pytest.raises(StartupError, match="Deployment 'broken' failed to start: ValueError: no model here"):
        flow.start()
    assert flow.num_pods == 0


def test_each_executor_has_its_own_time_to_start() -> None:
    never = {'uses': NeverWarm, 'uses_with': {'hang': True}}
    flow = Flow().add(uses=Append).add(name='late', timeout_ready=300, **never).add(name='other', **never)
    with pytest.raises(StartupError, match=r'late/rep-0: not ready after 0\.3 seconds; raise timeout_ready'):
        flow.start()


def test_schemas_that_do_not_fit() -> None:
    flow = Flow().add(uses=Append, name='text').add(uses=Count, name='count')
    with pytest.raises(StartupError) as caught:
        flow.start()
    assert isinstance(caught.value.__cause__, TopologyError)
    for word in ('text', 'count', 'TextDoc', 'Number'):
        assert word in str(caught.value)
    assert flow.num_pods == 0


def test_external_executor_in_a_flow() -> None:
    with Deployment(**appender('e')) as outside:
        flow = Flow().add(**appender('a')).add(external=True, host=f'localhost:{outside.port}', name='out')
        with flow:
            assert texts(flow) == ['ae']
            assert flow.num_pods == 2
        both = Flow().add(external=True, host='localhost', port=str(outside.port)).add(external=True, port=outside.port)
        with both:
            assert texts(both) == ['ee']
        assert texts(outside) == ['e']


def test_options_of_the_flow_reach_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = Flow(port=12345, protocol='http', env={'FLAVOUR': 'mint'}, timeout_ready=1000, log_config='plain').add(
        replicas=2, env={'A': '1'}, timeout_ready=5
    )
    assert flow.gateway_options.port == [12345]
    assert flow.port == 12345
    assert flow.protocol == 'HTTP'
    assert flow.gateway_options.timeout_ready == 1000
    options = flow['executor0'].options
    assert options.port == []
    assert str(options.protocol[0]) == 'GRPC'
    assert options.env == {'FLAVOUR': 'mint', 'A': '1'}
    assert options.timeout_ready == 5
    assert options.log_config == flow.gateway_options.log_config == 'plain'
    changed = flow.config_gateway(port=1, protocol='grpc')
    assert changed.port == 1 and flow.port == 12345


def test_environment_of_the_executors() -> None:
    with Flow(env={'FLAVOUR': 'mint'}).add(uses=Append) as flow:
        assert ' mint executor0/rep-0' in str(texts(flow, '/pid')[0])


def test_block_in_a_thread() -> None:
    event, ready = threading.Event(), threading.Event()

    def serve() -> None:
        with Flow().add() as flow:
            ready.set()
            flow.block(stop_event=event)

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(30)
    event.set()
    thread.join(10)
    assert not thread.is_alive()


async def test_asyncio_flow() -> None:
    async with Flow(asyncio=True).add(uses=Append) as flow:
        assert [docs.text async for docs in flow.post('/', TextDoc(text='a'), return_type=TEXTS)] == [['ax']]
        assert await flow.is_flow_ready()
    assert not await flow.is_flow_ready()


def test_body_that_raises_closes_the_flow() -> None:
    flow = Flow().add()
    with pytest.raises(ZeroDivisionError), flow:
        raise ZeroDivisionError
    assert flow.num_pods == 0


def test_dead_executor_is_found() -> None:
    with Flow().add(uses=Append).add(uses=Append) as flow:
        (pod,) = flow['executor1'].pods
        with pytest.raises(ConnectionError):
            flow.post('/die', target_executor='executor1')
        assert pod.wait(10)
        assert not flow.is_flow_ready()


def test_start_is_fast_the_second_time(record_property: Any) -> None:
    flow = Flow().add(uses=Append).add(uses=Append).add(uses=Append)
    with flow:
        pass
    begin = time.perf_counter()
    with flow:
        seconds = time.perf_counter() - begin
    record_property('second_start_of_three_s', round(seconds, 3))
    assert seconds < 10


def test_plot(tmp_path: Path) -> None:
    flow = Flow(name='shop').add(name='a', uses=Append).add(name='b', needs='gateway', replicas=2).needs_all(name='c')
    again = flow.plot(tmp_path / 'flow.mmd')
    assert again == flow and again is not flow
    assert flow.plot(tmp_path / 'flow.mmd', copy_flow=False) is flow
    drawn = (tmp_path / 'flow.mmd').read_text()
    assert 'Append' in drawn and 'b/rep-1' in drawn and 'a --> c' in drawn
    flow.plot(tmp_path / 'flow.svg', vertical_layout=True, build=False)
    drawn = (tmp_path / 'flow.svg').read_text()
    assert '>Append</text>' in drawn and drawn.count('>gateway</text>') == 1
    assert str(flow._repr_svg_()).count('>gateway</text>') == 2
    assert Flow().add(needs='later')._repr_svg_() is None
    with pytest.raises(NotSupportedError, match='in a notebook only; give output'):
        flow.plot(inline_display=True)
    with pytest.raises(MissingDeploymentError, match="needs 'later', which does not exist"):
        Flow().add(needs='later').plot(tmp_path / 'flow.svg')
