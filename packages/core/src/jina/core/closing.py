"""Closing an Executor from synchronous code, whether its ``close`` is ``def`` or ``async def``."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jina.core.executor import BaseExecutor


def close_executor(executor: BaseExecutor) -> None:
    """Closes an Executor; a coroutine runs to its end, in a thread since an event loop may be running in this one."""
    result = executor.close()
    if not inspect.isawaitable(result):
        return
    import asyncio  # noqa: PLC0415 - few Executors need it
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    async def finish() -> None:
        await result

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, finish()).result()
