"""Names whose addresses come and go."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from jina.core.errors import ConfigError
from jina.core.executor import Executor
from jina.core.logging.logger import JinaLogger
from jina.runtime.connections import ConnectionSettings, PeerGroup
from jina.runtime.name_watch import NameWatch, without_scheme


class Names:
    """A name server whose entries a test changes."""

    def __init__(self) -> None:
        self.entries: dict[str, list[str]] = {}

    async def look_up(self, host: str, port: int, **_: Any) -> list[Any]:
        if not self.entries.get(host):
            raise socket.gaierror(-2, 'Name or service not known')
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, '', (address, port)) for address in self.entries[host]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    served = Names()

    async def getaddrinfo(_: Any, host: str, port: int, **settings: Any) -> list[Any]:
        return await served.look_up(host, port, **settings)

    monkeypatch.setattr(asyncio.BaseEventLoop, 'getaddrinfo', getaddrinfo)
    return served


@pytest.fixture
async def watch(names: Names) -> AsyncIterator[Callable[..., Any]]:
    opened: list[Any] = []

    async def begin(*addresses: str, interval_s: float = 0.02) -> PeerGroup:
        group = PeerGroup('encoder', [without_scheme(address) for address in addresses], ConnectionSettings())
        watched = NameWatch(group, addresses, JinaLogger('test', quiet=True), interval_s=interval_s)
        opened.extend((watched, group))
        await watched.start()
        return group

    yield begin
    for one in opened:
        await one.close()


async def addresses_are(group: PeerGroup, expected: list[str]) -> None:
    async def wait() -> None:
        while sorted(group.addresses) != expected:  # noqa: ASYNC110 - the group tells nobody
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), 20)


async def test_all_addresses_of_a_name_are_replicas(names: Names, watch: Any) -> None:
    names.entries['encoder.space.svc'] = ['10.0.0.2', '10.0.0.1', '10.0.0.2']
    group = await watch('dns://encoder.space.svc:8080')
    assert sorted(group.addresses) == ['10.0.0.1:8080', '10.0.0.2:8080']
    names.entries['encoder.space.svc'] = ['10.0.0.2', '10.0.0.3']
    await addresses_are(group, ['10.0.0.2:8080', '10.0.0.3:8080'])


async def test_a_name_that_is_gone_for_a_while_keeps_its_replicas(names: Names, watch: Any) -> None:
    names.entries['encoder'] = ['10.0.0.1']
    group = await watch('dns://encoder:8080', '10.9.9.9:1')
    assert sorted(group.addresses) == ['10.0.0.1:8080', '10.9.9.9:1']
    names.entries['encoder'] = []
    await asyncio.sleep(0.1)  # several look-ups: nothing must happen
    assert sorted(group.addresses) == ['10.0.0.1:8080', '10.9.9.9:1']
    names.entries['encoder'] = ['10.0.0.5']
    await addresses_are(group, ['10.0.0.5:8080', '10.9.9.9:1'])


async def test_a_request_finds_who_took_the_place_of_a_lost_replica(names: Names, watch: Any, cluster: Any) -> None:
    running = await cluster.worker(Executor, host='127.0.0.2')
    port = running.address.rpartition(':')[2]
    names.entries['encoder'] = ['127.0.0.1']
    group = await watch(f'dns://encoder:{port}', interval_s=600)
    names.entries['encoder'] = ['127.0.0.2']
    await group.discover()  # nothing listens at the first address
    assert group.addresses == [f'127.0.0.2:{port}']


def test_a_name_needs_a_port() -> None:
    with pytest.raises(ConfigError, match=r"'dns://encoder' has no port; write dns://<name>:<port>"):
        without_scheme('dns://encoder')
    assert without_scheme('dns://encoder:1') == 'encoder:1'
    assert without_scheme('grpcs://encoder') == 'grpcs://encoder'
