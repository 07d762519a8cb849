"""The options ``docker_kwargs``, ``gpus`` and ``volumes`` as arguments of ``docker create``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from jina.core.errors import ConfigError
from jina.orchestrate.container_network import NETWORK_SETTINGS

_GPUS: Final = re.compile(r'all|[0-9]+|device=[\w:./-]+(,(device=)?[\w:./-]+)*', re.ASCII)
_NAME: Final = re.compile(r'[A-Za-z0-9][\w.-]*', re.ASCII)


def _value(flag: str) -> Callable[[Any], Iterator[str]]:
    def write(value: Any) -> Iterator[str]:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ValueError('a text or a number')
        yield from (flag, str(value))

    return write


def _switch(flag: str) -> Callable[[Any], Iterator[str]]:
    def write(value: Any) -> Iterator[str]:
        if not isinstance(value, bool):
            raise ValueError('true or false')
        if value:
            yield flag

    return write


def _entries(flag: str) -> Callable[[Any], Iterator[str]]:
    def write(value: Any) -> Iterator[str]:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ValueError('a list')
        for entry in value:
            yield from (flag, str(entry))

    return write


def _pairs(flag: str, separator: str) -> Callable[[Any], Iterator[str]]:
    def write(value: Any) -> Iterator[str]:
        if isinstance(value, Mapping):
            value = [f'{key}{separator}{entry}' if str(entry) else str(key) for key, entry in value.items()]
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ValueError('a mapping or a list')
        for entry in value:
            yield from (flag, str(entry))

    return write


def _network(_: Any) -> Iterator[str]:
    yield from ()  # see ContainerNetwork


def _nano_cpus(value: Any) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError('a number')
    yield from ('--cpus', f'{value / 1e9:g}')


_WRITERS: Final[dict[str, Callable[[Any], Iterator[str]]]] = {
    **{
        name: _value(f'--{name.replace("_", "-")}')
        for name in ('cpu_period', 'cpu_quota', 'cpu_shares', 'cpuset_cpus', 'cpuset_mems', 'hostname', 'isolation')
    },
    **{
        name: _value(f'--{name.replace("_", "-")}')
        for name in ('oom_score_adj', 'pids_limit', 'platform', 'runtime', 'shm_size', 'stop_signal', 'user')
    },
    'ipc_mode': _value('--ipc'),
    'mem_limit': _value('--memory'),
    'mem_reservation': _value('--memory-reservation'),
    'memswap_limit': _value('--memory-swap'),
    'pid_mode': _value('--pid'),
    'working_dir': _value('--workdir'),
    'nano_cpus': _nano_cpus,
    **dict.fromkeys(NETWORK_SETTINGS, _network),
    'init': _switch('--init'),
    'oom_kill_disable': _switch('--oom-kill-disable'),
    'privileged': _switch('--privileged'),
    'read_only': _switch('--read-only'),
    'cap_add': _entries('--cap-add'),
    'cap_drop': _entries('--cap-drop'),
    'devices': _entries('--device'),
    'dns': _entries('--dns'),
    'dns_search': _entries('--dns-search'),
    'group_add': _entries('--group-add'),
    'security_opt': _entries('--security-opt'),
    'volumes_from': _entries('--volumes-from'),
    'environment': _pairs('--env', '='),
    'extra_hosts': _pairs('--add-host', ':'),
    'labels': _pairs('--label', '='),
    'storage_opt': _pairs('--storage-opt', '='),
    'sysctls': _pairs('--sysctl', '='),
    'tmpfs': _pairs('--tmpfs', ':'),
}
"""The arguments of the Docker SDK that can be given, and how the command line writes them."""


def docker_arguments(values: Mapping[str, Any] | None, owner: str) -> list[str]:
    """Returns ``docker_kwargs`` as arguments of the command line.

    Args:
        values: The option.
        owner: Whose it is, as messages name it.

    Raises:
        ConfigError: One isn't supported, or has a wrong value.
    """
    found: list[str] = []
    for name, value in (values or {}).items():
        writer = _WRITERS.get(name)
        if writer is None:
            close = get_close_matches(name, _WRITERS, 1, 0.75)
            hint = f'did you mean {close[0]!r}?' if close else f'these are: {", ".join(sorted(_WRITERS))}'
            raise ConfigError(f'{name!r} in docker_kwargs of {owner} is not supported', hint=hint)
        try:
            found += writer(value)
        except ValueError as error:
            raise ConfigError(f'{name!r} in docker_kwargs of {owner} is {value!r}', hint=f'give {error}') from None
    return found


def gpu_arguments(gpus: str | None, owner: str) -> list[str]:
    """Returns ``gpus`` as arguments of the command line.

    Args:
        gpus: ``all``, a number, or ``device=ID,ID``.
        owner: Whose it is, as messages name it.

    Raises:
        ConfigError: It is something else.
    """
    if not gpus:
        return []
    if _GPUS.fullmatch(gpus) is None:
        raise ConfigError(f'gpus of {owner} is {gpus!r}', hint="give 'all', a number, or 'device=0,1'")
    if gpus.startswith('device='):  # quotes, since the value is a line of comma-separated values
        return ['--gpus', f'"device={gpus.replace("device=", "")}"']
    return ['--gpus', gpus]


def volume_arguments(volumes: Sequence[str] | None, owner: str) -> list[str]:
    """Returns ``volumes`` as arguments of the command line.

    Args:
        volumes: Each ``HOST_PATH``, ``HOST_PATH:CONTAINER_PATH`` or with ``:ro`` behind it. Names without a slash are those of
            volumes of the engine; other paths are taken against the working directory.
        owner: Whose they are, as messages name it.

    Raises:
        ConfigError: One isn't written so.
    """
    found: list[str] = []
    for volume in volumes or ():
        source, separator, rest = volume.partition(':')
        target, _, mode = rest.partition(':')
        if not separator:
            target = f'/{Path(source).name}'
        if not source or not target.startswith('/') or target == '/' or ':' in mode:
            raise ConfigError(
                f'{volume!r} in volumes of {owner} can not be mounted',
                hint='write HOST_PATH:/CONTAINER_PATH, with :ro behind it if nothing is to be written',
            )
        if not (separator and _NAME.fullmatch(source)):
            source = str(Path(os.path.expanduser(source)).absolute())
        found += ['--volume', ':'.join([source, target, *([mode] if mode else [])])]
    return found


def volume_targets(arguments: Sequence[str]) -> list[Path]:
    """Returns where volumes are in the container, from :func:`volume_arguments`."""
    return [Path(text.split(':')[1]) for text in arguments if text != '--volume']
