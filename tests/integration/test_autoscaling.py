"""What an exported autoscaler asks for, against a real Prometheus that scrapes the processes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client, Executor, Flow, requests
from jina.core.errors import RemoteError
from jina.export import Autoscale, KubernetesSettings, manifests
from jina.telemetry.scaling import adapter_values, scaling_expressions

from tests.support.processes import free_port
from tests.support.prometheus import query, scraping

CALLERS = 4
WORK_S = 0.25


class Dozing(Executor):
    @requests
    async def doze(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        await asyncio.sleep(WORK_S)
        return docs

    @requests(on='/fail')
    async def fail(self, **kwargs: Any) -> None:
        await asyncio.sleep(WORK_S)
        raise ValueError('as asked for')


@pytest.mark.parametrize('metric', ['concurrency', 'rps'])
def test_the_adapter_has_what_an_autoscaler_asks_for(metric: Any) -> None:
    flow = Flow().add(name='encoder', uses='docker://encoder')
    settings = KubernetesSettings(autoscale={name: Autoscale(1, 3, metric, 7) for name in ('encoder', 'gateway')})
    known = {rule['name']['as'] for rule in adapter_values()['rules']['custom']}
    for group in manifests(flow, settings).values():
        [spec] = [one['spec'] for one in group if one['kind'] == 'HorizontalPodAutoscaler']
        [asked] = spec['metrics']
        assert asked['pods']['metric']['name'] in known


@pytest.fixture
def monitored() -> Iterator[tuple[Flow, str]]:
    """A Flow, and the Prometheus that scrapes it as pods of a cluster."""
    ports = [free_port(), free_port()]
    flow = Flow(monitoring=True, port_monitoring=ports[0], quiet=True)
    flow = flow.add(name='dozing', uses=Dozing, port_monitoring=ports[1], quiet_error=True)
    pods = zip(('gateway-0', 'dozing-0'), ports, strict=True)
    targets = [{'targets': [f'127.0.0.1:{port}'], 'labels': {'namespace': 'space', 'pod': pod}} for pod, port in pods]
    with flow, scraping(targets) as url:
        yield flow, url


def test_the_rules_tell_how_many_requests_there_are(monitored: tuple[Flow, str]) -> None:
    """Four callers, each with a request that takes a quarter of a second: four under way, and sixteen a second."""
    flow, url = monitored
    expressions = dict(scaling_expressions(namespace='space', pods='gateway-0|dozing-0', interval='4s'))

    def found() -> dict[str, dict[str, float]]:
        return {
            metric: {item['metric']['pod']: float(item['value'][1]) for item in query(url, expression)}
            for metric, expression in expressions.items()
        }

    def is_right(values: dict[str, dict[str, float]]) -> bool:
        expected = {'concurrency': CALLERS, 'rps': CALLERS / WORK_S}
        return all(
            {'gateway-0', 'dozing-0'} == set(values[metric])
            and all(0.7 * number <= value <= 1.1 * number for value in values[metric].values())
            for metric, number in expected.items()
        )

    async def load() -> None:
        client = Client(port=flow.port, asyncio=True)

        async def call(endpoint: str) -> None:
            while not over.is_set():
                with contextlib.suppress(RemoteError):
                    await anext(aiter(client.post(endpoint, TextDoc())))

        over = asyncio.Event()
        callers = [asyncio.ensure_future(call(endpoint)) for endpoint in ('/', '/', '/', '/fail')]
        deadline = time.monotonic() + 60
        try:
            while not is_right(values := await asyncio.to_thread(found)):
                assert time.monotonic() < deadline, values
                assert not any(caller.done() for caller in callers)
                await asyncio.sleep(0.2)
        finally:
            over.set()
            await asyncio.gather(*callers)

    asyncio.run(load())
