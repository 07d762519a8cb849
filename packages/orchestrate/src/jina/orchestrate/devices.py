"""GPUs for replicas in turn: ``CUDA_VISIBLE_DEVICES=RR`` and its forms."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from functools import cache

from jina.core.errors import ConfigError

VARIABLE = 'CUDA_VISIBLE_DEVICES'
_PREFIX = 'RR'
_TOTAL = 'CUDA_TOTAL_DEVICES'
_SLICE = re.compile(r'\[?\s*(-?\d*)\s*:\s*(-?\d*)\s*\]?')
_NUMBER = re.compile(r'\d+')
_ASK_S = 10.0


def visible_device(env: Mapping[str, str], replica_id: int) -> str | None:
    """The value of ``CUDA_VISIBLE_DEVICES`` for one replica, if its Deployment wants GPUs in turn.

    ``RR`` takes all GPUs of the machine in turn, ``RR1:3`` those of a Python slice, ``RR2`` one, ``RR1,3`` those of a list;
    ``RRGPU-<uuid>,GPU-<uuid>`` names them.

    Args:
        env: Environment variables of the Deployment; those of this process are behind them.
        replica_id: Number of the replica within its shard.

    Returns:
        None if the variable has no such value; empty if the machine has no GPU.

    Raises:
        ConfigError: The value has none of these forms.
    """
    value = env.get(VARIABLE) or os.environ.get(VARIABLE, '')
    if not value.startswith(_PREFIX):
        return None
    found = devices(value[len(_PREFIX) :].strip())
    return found[replica_id % len(found)] if found else ''


def devices(selection: str) -> list[str]:
    """The GPUs that the text behind ``RR`` names.

    Raises:
        ConfigError: The text has none of the known forms.
    """
    if not selection:
        return [str(number) for number in range(device_count())]
    match = _SLICE.fullmatch(selection)
    if match is not None:
        return _sliced(match[1], match[2])
    names = [name.strip() for name in selection.strip('[]').lstrip(':').split(',')]
    if not all(_NUMBER.fullmatch(name) or re.match(r'(GPU|MIG)-', name) for name in names):
        raise ConfigError(
            f'{VARIABLE}={_PREFIX + selection!r} names no GPUs',
            hint='use RR, RR0:2, RR1,3 or RRGPU-<uuid>,GPU-<uuid>',
        )
    return names


def _sliced(start: str, stop: str) -> list[str]:
    first, last = int(start or 0), int(stop) if stop else None
    if first >= 0 and last is not None and last >= 0:
        total = device_count()
        numbers = range(first, last) if total == 0 else range(total)[first:last]
    else:
        numbers = range(device_count())[first:last]
    return [str(number) for number in numbers]


def device_count() -> int:
    """The number of GPUs of this machine: what ``nvidia-smi -L`` lists, otherwise ``CUDA_TOTAL_DEVICES``."""
    listed = _listed_devices()
    if listed:
        return listed
    total = os.environ.get(_TOTAL, '0')
    if not _NUMBER.fullmatch(total):
        raise ConfigError(f'{_TOTAL}={total!r} is no number', hint='give the number of GPUs')
    return int(total)


@cache
def _listed_devices() -> int:
    try:
        done = subprocess.run(['nvidia-smi', '-L'], capture_output=True, text=True, timeout=_ASK_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return done.stdout.count('UUID')
