"""The server that is shown: its graph, its endpoints, whether it and its replicas answer, and calls of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from jina.client.client import GRPCClient
from jina.client.dashboard.documents import documents_from
from jina.client.host import resolve_address
from jina.client.json_call import as_line
from jina.client.loop import background_loop
from jina.client.transports.grpc import GrpcTransport
from jina.client.trust import TlsTrust
from jina.core.config import ClientOptions, DashboardOptions, api_keys_of, parse_host
from jina.core.config.address import PodAddress
from jina.core.config.protection import AccessOptions
from jina.core.enums import ProtocolType
from jina.core.errors import ConfigError, InputError, JinaError
from jina.core.schema import RemoteEndpoint, remote_endpoints
from jina.core.topology import GATEWAY, Topology
from jina.core.wire import DRY_RUN_ENDPOINT, METRICS_FACT, TOPOLOGY_FACT, JinaInfoProto

if TYPE_CHECKING:
    from docarray import DocList

__all__ = ['Backend', 'Deployed', 'State']

_TRY_S: Final = 3.0
_T = TypeVar('_T')


@dataclass(frozen=True)
class Deployed:
    """One node of the graph.

    Attributes:
        name: Its name.
        needs: Names of those whose results it gets; none for the gateway.
        floating: The response doesn't wait for it.
        replicas: Addresses of its replicas, as the gateway knows them.
    """

    name: str
    needs: tuple[str, ...] = ()
    floating: bool = False
    replicas: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """How the server was when it was asked last.

    Attributes:
        error: Why requests can't be answered; empty if they can.
        nodes: The graph, the gateway or the only Executor first.
        outputs: Names of those whose results are the response.
        silent: Addresses of replicas that did not answer.
        metrics: Addresses where the server and its replicas serve their metrics, as they told.
    """

    error: str = ''
    nodes: tuple[Deployed, ...] = ()
    outputs: tuple[str, ...] = ()
    silent: frozenset[str] = field(default_factory=frozenset)
    metrics: tuple[str, ...] = ()


class Backend:
    """Asks and calls one server over gRPC.

    Args:
        options: Its address, and what it takes to be let in.
        api_key: A key for it; without one that of ``JINA_API_KEY``.

    Raises:
        ConfigError: The address is none of gRPC.
    """

    def __init__(self, options: DashboardOptions, api_key: str | None = None) -> None:
        given = parse_host(options.target)
        self.address = resolve_address(options.target)
        if self.address.protocol != ProtocolType.GRPC or given.port is None:
            raise ConfigError(
                f'jina dashboard can not show {options.target!r}',
                hint='give the gRPC port as grpc://host:port; a Flow with protocol=["grpc", "http"] has one',
            )
        keys = [api_key] if api_key else api_keys_of(AccessOptions())
        values: dict[str, Any] = {'host': options.target, 'api_key': keys[0] if keys else None}
        values |= {'ssl_cafile': options.ssl_cafile, 'ssl_server_name': options.ssl_server_name}
        self._trust = TlsTrust(options.ssl_cafile, options.ssl_server_name)
        self._client = GRPCClient(ClientOptions(**values))
        self._transports: dict[str, GrpcTransport] = {}
        self._key = keys[0] if keys else None
        self._state = State()
        self._metrics: dict[str, str] = {}

    def look(self, failing: Collection[str] = ()) -> State:
        """Asks how the server is. The graph is what it was at last if the server doesn't answer.

        Args:
            failing: Addresses of metrics where nobody answers any more; who told them is asked again.
        """
        self._metrics = {who: address for who, address in self._metrics.items() if address not in failing}
        self._state = background_loop().run(lambda _: self._look())
        return self._state

    def endpoints(self) -> dict[str, RemoteEndpoint]:
        """Returns the endpoints of the server.

        Raises:
            JinaError: It doesn't tell them.
        """
        proto = background_loop().run(lambda _: self._transport(self.address).endpoints(_TRY_S))
        return {name: found for name, found in remote_endpoints(proto).items() if name != DRY_RUN_ENDPOINT}

    def call(self, endpoint: str, data: Any, parameters: Any) -> Iterator[str]:
        """Calls an endpoint and yields the documents that come back as JSON; those of a stream as they come.

        Args:
            endpoint: Its name.
            data: A document or a list of them, as JSON has them.
            parameters: Parameters, or None.

        Raises:
            InputError: There is no such endpoint, or what is sent doesn't fit to it.
            JinaError: The call failed.
        """
        found = self.endpoints().get(endpoint)
        if found is None:
            raise InputError(f'there is no endpoint {endpoint!r}')
        if parameters is not None and not isinstance(parameters, dict):
            raise InputError(f'parameters are {parameters!r:.80}', hint='give an object')
        docs = documents_from(data, found)
        if found.is_generator:
            if len(docs) != 1:
                raise InputError(f'{endpoint} streams and takes one document, not {len(docs)}')
            yield from map(as_line, self._client.stream_doc(endpoint, docs[0], parameters=parameters))
            return
        answer: DocList[Any] = self._client.post(endpoint, docs, parameters=parameters)
        yield from map(as_line, answer)

    def close(self) -> None:
        """Closes all connections."""
        self._client.close()
        background_loop().run(lambda _: self._close())

    async def _close(self) -> None:
        await asyncio.gather(*(transport.close() for transport in self._transports.values()))

    def _transport(self, address: PodAddress) -> GrpcTransport:
        """Returns the connection to an address; only the server itself gets the key."""
        known = self._transports.get(str(address))
        if known is None:
            own = address is self.address
            metadata = (('authorization', f'Bearer {self._key}'),) if own and self._key else ()
            known = self._transports[str(address)] = GrpcTransport(address, None, metadata, self._trust)
        return known

    async def _look(self) -> State:
        server = self._transport(self.address)
        (error, info), (failure, _) = await asyncio.gather(
            _tried(server.status(_TRY_S)), _tried(server.check_health(_TRY_S))
        )
        if info is None or failure:
            return replace(self._state, error=error or failure)
        self._metrics['server'] = _metrics_address(self.address, info)
        nodes, outputs = _graph(dict(info.jina))
        replicas = {address for node in nodes for address in node.replicas}
        alive = await asyncio.gather(*(self._answers(address) for address in replicas))
        silent = frozenset(address for address, answered in zip(replicas, alive, strict=True) if not answered)
        lost = [node for node in nodes if node.replicas and silent.issuperset(node.replicas)]
        if lost:  # only then, as a dry run counts as a request
            failure, _ = await _tried(server.dry_run(_TRY_S))
            if not failure:  # the gateway reaches what can't be reached from here
                silent = silent.difference(*(node.replicas for node in lost))
        told = (self._metrics.get(who) for who in ('server', *sorted(replicas)))
        return State(failure, nodes, outputs, silent, tuple(dict.fromkeys(filter(None, told))))

    async def _answers(self, text: str) -> bool:
        try:
            parsed = parse_host(text)
        except ConfigError:
            return False
        address = PodAddress(ProtocolType.GRPC, parsed.host, parsed.port or 80, bool(parsed.tls))
        transport = self._transport(address)
        error, _ = await _tried(transport.check_health(_TRY_S))
        if not error and text not in self._metrics:
            _, info = await _tried(transport.status(_TRY_S))
            self._metrics[text] = '' if info is None else _metrics_address(address, info)
        return not error


def _metrics_address(address: PodAddress, info: JinaInfoProto) -> str:
    """Where a process serves its metrics, on the host where it answers; empty if it doesn't."""
    port = info.jina.get(METRICS_FACT, '')
    host = address.near_host
    return f'[{host}]:{port}' if port and ':' in host else f'{host}:{port}' if port else ''


async def _tried(asked: Awaitable[_T]) -> tuple[str, _T | None]:
    try:
        return '', await asked
    except JinaError as error:
        return str(error), None


def _graph(facts: dict[str, str]) -> tuple[tuple[Deployed, ...], tuple[str, ...]]:
    """Returns the nodes and the outputs of the graph; of a server that tells none, only itself."""
    alone = (Deployed('server'),), ()
    text = facts.get(TOPOLOGY_FACT)
    if text is None:
        return alone
    try:
        told: dict[str, Any] = json.loads(text)
        topology = Topology.from_description(told['graph'])
        replicas = {name: tuple(dict.fromkeys(map(str, given))) for name, given in told['replicas'].items()}
    except (ValueError, KeyError, TypeError, AttributeError, JinaError):  # of another version
        return alone
    nodes = (Deployed(node.name, node.needs, node.floating, replicas.get(node.name, ())) for node in topology.nodes)
    return (Deployed(GATEWAY), *nodes), topology.outputs
