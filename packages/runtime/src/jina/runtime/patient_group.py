"""The replicas of a Deployment as those see them who would rather wait than be refused."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import partial
from typing import Any

from jina.core.errors import OverloadError
from jina.core.payloads import Payload
from jina.core.wire import EndpointsProto
from jina.runtime.connections import PeerGroup
from jina.runtime.group import GroupDone, Metadata
from jina.runtime.waiting_room import Turn


class PatientGroup:
    """Sends requests that all replicas refuse, since they are at their limits, again as soon as one of them has room.

    Args:
        group: The connections to the replicas; others may send requests by them without waiting.
    """

    def __init__(self, group: PeerGroup) -> None:
        self.name = group.name
        self._group = group

    @property
    def addresses(self) -> list[str]:
        """``host:port`` of each replica."""
        return self._group.addresses

    @property
    def is_down(self) -> bool:
        """Whether no replica is known to be up."""
        return self._group.is_down

    async def process(
        self, raw: Payload, endpoint: str, *, metadata: Metadata = (), timeout: float | None = None, many: bool = False
    ) -> bytes:
        """Sends one serialised request to one replica, see ``PeerGroup.process``."""
        send = partial(self._group.process, raw, endpoint, metadata=metadata, many=many)
        return await self._patiently(partial(send, timeout=timeout), send, timeout)

    def begin(
        self, raw: Payload, endpoint: str, done: GroupDone, *, metadata: Metadata = (), timeout: float | None = None
    ) -> Callable[[], object] | None:
        """Sends one serialised request to one replica if that is possible at once, see ``PeerGroup.begin``."""

        def answered(answer: bytes, retry: Callable[[], Coroutine[Any, Any, bytes]] | None) -> None:
            done(answer, None if retry is None else partial(self._patiently, retry, send, timeout))

        send = partial(self._group.process, raw, endpoint, metadata=metadata)
        return self._group.begin(raw, endpoint, answered, metadata=metadata, timeout=timeout)

    async def stream_doc(
        self, raw: bytes, endpoint: str, *, metadata: Metadata = (), timeout: float | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Sends one serialised document request and yields the serialised responses, see ``PeerGroup.stream_doc``."""
        deadline = _deadline(timeout)
        with self._turn() as turn:
            while True:
                started = False
                try:
                    responses = self._group.stream_doc(raw, endpoint, metadata=metadata, timeout=_left(deadline))
                    async with contextlib.aclosing(responses):
                        async for response in responses:
                            started = True
                            turn.leave()
                            yield response
                    return
                except OverloadError:
                    if started or _is_over(deadline):
                        raise
                await turn.wait(_left(deadline))

    async def discover(self, *, timeout: float | None = None) -> EndpointsProto:
        """Asks one replica for its endpoints."""
        return await self._group.discover(timeout=timeout)

    async def close(self) -> None:
        """Closes all channels."""
        await self._group.close()

    async def _patiently(
        self,
        first: Callable[[], Coroutine[Any, Any, bytes]],
        send: Callable[..., Coroutine[Any, Any, bytes]],
        timeout: float | None,
    ) -> bytes:
        deadline = _deadline(timeout)
        attempt = first
        with self._turn() as turn:
            while True:
                try:
                    return await attempt()
                except OverloadError:
                    if _is_over(deadline):
                        raise
                await turn.wait(_left(deadline))
                attempt = partial(send, timeout=_left(deadline))

    @contextlib.contextmanager
    def _turn(self) -> Iterator[Turn]:
        turn = Turn(self._group.room)
        try:
            yield turn
        finally:
            turn.leave()


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _is_over(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline
