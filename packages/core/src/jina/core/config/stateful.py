"""The rules between the options of stateful Executors, and the addresses at which their replicas reach each other."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from jina.core.config.values import parse_comma_list, parse_mapping
from jina.core.enums import PodRoleType

if TYPE_CHECKING:
    from jina.core.config.models import DeploymentOptions, ExecutorOptions

LEAST_REPLICAS: Final = 3
"""With fewer replicas nothing can be decided any more when one of them is gone."""
_HERE: Final = '127.0.0.1'
_ONLY_STATEFUL: Final = ('peer_ports', 'raft_configuration', 'raft_peers')


def parse_peer_ports(value: object) -> object:
    """Read ports as a list, or as a mapping from the number of a shard to a list.

    >>> parse_peer_ports(['1,2', 3]), parse_peer_ports('{"0": [1, 2]}')
    (['1', '2', 3], {'0': [1, 2]})
    """
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], (str, Mapping)):
        value = value[0]
    if isinstance(value, str) and value.strip().startswith('{'):
        value = parse_mapping(value)
    if isinstance(value, Mapping):
        return {str(shard): parse_comma_list(ports) for shard, ports in value.items()}
    return parse_comma_list(value)


_PeerPort = Annotated[int, Field(ge=1, le=65535)]
PeerPorts = Annotated[list[_PeerPort] | dict[str, list[_PeerPort]], BeforeValidator(parse_peer_ports)]


def peer_ports_of(options: ExecutorOptions) -> list[list[int]]:
    """The ports that are given for the replicas of each shard; empty if they are left to the start.

    Args:
        options: Options of a Deployment or an Executor.
    """
    given = options.peer_ports
    if given is None:
        return []
    return [given] if isinstance(given, list) else [given[str(shard)] for shard in range(options.shards)]


def peers_of(options: ExecutorOptions) -> list[str]:
    """The addresses of all replicas of the shard that a process belongs to, its own one too, by their numbers.

    Args:
        options: Options of the process.
    """
    if options.raft_peers:
        return list(options.raft_peers)
    ports = peer_ports_of(options)
    return [f'{_HERE}:{port}' for port in ports[options.shard_id]] if ports else []


def check_stateful(options: ExecutorOptions) -> None:
    """Refuses what a stateful Executor can't have, and its options for others.

    Raises:
        PydanticCustomError: Two options don't go together.
    """
    if not options.stateful:
        for name in _ONLY_STATEFUL:
            if getattr(options, name) is not None:
                raise _error('{name} is for stateful Executors; give stateful too, or leave it out', name=name)
        return
    if sys.platform == 'win32':
        raise _error('stateful Executors are not available on Windows')
    if options.pod_role is PodRoleType.HEAD:
        raise _error('stateful is for the replicas behind a head; leave it out here')
    if options.replicas < LEAST_REPLICAS:
        raise _error(
            'a stateful Executor needs at least {least} replicas, and replicas is {replicas}',
            least=LEAST_REPLICAS,
            replicas=options.replicas,
        )
    if options.reload:
        raise _error('stateful and reload are given; replicas with different code would come to different states')
    _check_ports(options)
    if options.raft_peers is not None and len(options.raft_peers) != options.replicas:
        raise _error(
            'raft_peers has {count} addresses for {replicas} replicas; give each replica its own',
            count=len(options.raft_peers),
            replicas=options.replicas,
        )


def check_stateful_deployment(options: DeploymentOptions) -> None:
    """The same for what only a Deployment has.

    Raises:
        PydanticCustomError: Two options don't go together.
    """
    if not options.stateful:
        return
    if options.external:
        raise _error('whether an external Executor is stateful is for who runs it; leave stateful out here')
    if not options.include_gateway:
        raise _error('the replicas of a stateful Executor can not share a port; leave include_gateway at True')


def _check_ports(options: ExecutorOptions) -> None:
    given = options.peer_ports
    if given is None:
        return
    if isinstance(given, list) and options.shards > 1:
        raise _error(
            'peer_ports is a list and shards is {shards}; give the ports of each shard: {example}',
            shards=options.shards,
            example='{"0": [...], "1": [...]}',
        )
    if isinstance(given, dict) and set(given) != set(map(str, range(options.shards))):
        raise _error(
            'peer_ports has the shards {found}; number all {shards} of them from 0 on',
            found=', '.join(given) or 'none',
            shards=options.shards,
        )
    shards = peer_ports_of(options)
    for ports in shards:
        if len(ports) != options.replicas:
            raise _error(
                'peer_ports has {count} ports for {replicas} replicas; give each replica its own',
                count=len(ports),
                replicas=options.replicas,
            )
    taken = [port for ports in shards for port in ports]
    twice = next((port for port in taken if taken.count(port) > 1), None)
    if twice is not None:
        raise _error('peer_ports has {port} twice; give each replica its own', port=twice)


def _error(message: str, **context: Any) -> PydanticCustomError:
    return PydanticCustomError('stateful', message, context)
