"""Repeated readiness checks of one server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from jina.client.client import open_transport
from jina.client.host import resolve_address
from jina.client.loop import background_loop
from jina.core.config import ClientOptions, PingOptions, PodAddress
from jina.core.errors import JinaError

if TYPE_CHECKING:
    from jina.core.logging import JinaLogger

__all__ = ['ping']

_PAUSE_S: Final = 1.0


def ping(options: PingOptions, logger: JinaLogger) -> int:
    """Checks a server ``attempts`` times, one second apart, and logs each result, in the documented words.

    Args:
        options: Target, address, limits.
        logger: Where results go.

    Returns:
        0 if at least ``min_successful_attempts`` checks succeeded, else 1.
    """
    address = resolve_address(options.host)
    timeout_s = options.timeout / 1000 if options.timeout >= 0 else None
    successes, total_s = 0, 0.0
    for number in range(options.attempts):
        logger.info(f'ping {address} at {number} round...')
        error, duration_s = background_loop().run(lambda _: _check(address, options.target == 'flow', timeout_s))
        done, last = f'{number + 1}/{options.attempts}', number + 1 == options.attempts
        if error is None:
            successes += 1
            total_s += duration_s
        else:
            logger.error(f'Error while getting response from {address.protocol.name.lower()} server: {error}')
            logger.warning(f'not responding ({done})' if last else f'not responding, retry ({done}) in {_PAUSE_S:.0f}s')
        logger.info(f'ping {address} at {number} round takes {duration_s:.0f} seconds ({duration_s:.2f}s)')
        if not last:
            time.sleep(_PAUSE_S)
    return _conclude(options, successes, total_s, logger)


def _conclude(options: PingOptions, successes: int, total_s: float, logger: JinaLogger) -> int:
    lost = options.attempts - successes
    if lost:
        logger.warning(f'message lost {lost / options.attempts:.0%} ({lost}/{options.attempts})')
    if successes:
        logger.info(f'avg. latency: {total_s / successes * 1000:.0f} ms')
    if successes >= options.min_successful_attempts:
        logger.info(f'readiness check succeeded {successes} times!!!')
        return 0
    logger.error(f'readiness check succeeded {successes} times, less than {options.min_successful_attempts}')
    return 1


async def _check(address: PodAddress, dry_run: bool, timeout_s: float | None) -> tuple[JinaError | None, float]:
    """Returns why the server isn't ready, None if it is, and the seconds that this took."""
    transport = open_transport(address, ClientOptions())
    error: JinaError | None = None
    start = time.perf_counter()
    try:
        await (transport.dry_run(timeout_s) if dry_run else transport.check_health(timeout_s))
    except JinaError as reason:
        error = reason
    finally:
        duration_s = time.perf_counter() - start
        await transport.close()
    return error, duration_s
