"""The rules between the options of shards, and the addresses that a head is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError

from jina.core.config.values import parse_comma_list
from jina.core.enums import PodRoleType
from jina.core.errors import ConfigError

if TYPE_CHECKING:
    from jina.core.config.models import DeploymentOptions, ExecutorOptions


def shard_addresses(connection_list: Mapping[str, Any]) -> list[list[str]]:
    """The addresses of the replicas of each shard.

    Args:
        connection_list: For each number of a shard, from 0 on, one address or a list of them, each ``[scheme://]host:port``.

    Raises:
        ConfigError: A shard is missing, or has no address.
    """
    numbers = {str(number) for number in range(len(connection_list))}
    if not connection_list or {str(key) for key in connection_list} != numbers:
        raise ConfigError(
            f'connection_list has the shards {", ".join(map(str, connection_list)) or "none"}',
            hint='number them from 0 on, for example {"0": ["host:port"], "1": ["host:port"]}',
        )
    by_number: dict[int, Any] = {int(key): parse_comma_list(value) for key, value in connection_list.items()}
    for number, addresses in by_number.items():
        if not isinstance(addresses, list) or not addresses or not all(isinstance(item, str) for item in addresses):
            raise ConfigError(
                f'connection_list gives {connection_list!r} and shard {number} has no list of addresses',
                hint='write {"0": ["host:port"]}',
            )
    return [by_number[number] for number in range(len(by_number))]


def check_role(options: ExecutorOptions) -> None:
    """Refuses options of a head for other processes, and a head without addresses.

    Raises:
        PydanticCustomError: Two options don't go together.
    """
    if options.pod_role is PodRoleType.GATEWAY:
        raise PydanticCustomError('role', 'pod_role GATEWAY is for jina gateway')
    if options.shards > 1 and options.shard_id >= options.shards:
        context = {'number': options.shard_id, 'shards': options.shards}
        raise PydanticCustomError('shards', 'shard_id is {number}, but {shards} shards are numbered from 0 on', context)
    if options.pod_role is PodRoleType.HEAD:
        _check_head(options)
    elif options.connection_list is not None:
        raise PydanticCustomError('role', 'connection_list is for a head; give pod_role HEAD too')


def _check_head(options: ExecutorOptions) -> None:
    if options.connection_list is None:
        raise PydanticCustomError('role', 'a head needs connection_list, the addresses of its shards')
    try:
        count = len(shard_addresses(options.connection_list))
    except ConfigError as error:
        raise PydanticCustomError('connections', '{error}', {'error': str(error)}) from error
    if options.shards not in (1, count):
        context = {'count': count, 'shards': options.shards}
        raise PydanticCustomError('shards', 'connection_list has {count} shards and shards is {shards}', context)


def check_around(options: DeploymentOptions) -> None:
    """Refuses what can't be before or after shards, and shards of an Executor that runs elsewhere.

    Raises:
        PydanticCustomError: Two options don't go together.
    """
    for name in ('uses_before', 'uses_after'):
        if getattr(options, name) is not None and getattr(options, f'{name}_address') is not None:
            raise PydanticCustomError('around', '{name} and {name}_address are given; give one of them', {'name': name})
    if options.external and options.needs_head:
        raise PydanticCustomError(
            'external',
            'shards, uses_before and uses_after of an external Executor belong to who runs it; leave them out here',
        )
