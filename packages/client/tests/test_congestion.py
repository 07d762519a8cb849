from __future__ import annotations

import asyncio

import pytest
from jina.client.congestion import Congestion
from jina.core.errors import OverloadError
from jina.core.request import DataRequest, Response


class Server:
    """Takes on some requests at the same time, all callers together, and refuses the others."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.working = self.refused = 0

    async def send(self, request: DataRequest) -> Response:
        await asyncio.sleep(0)
        if self.working >= self.places:
            self.refused += 1
            raise OverloadError('full')
        self.working += 1
        try:
            await asyncio.sleep(0.001)
        finally:
            self.working -= 1
        await asyncio.sleep(0)
        return Response()


@pytest.mark.parametrize('places', [1, 3, 50, 1000])
async def test_all_requests_of_a_call_get_through(places: int) -> None:
    server = Server(places)
    congestion = Congestion(server.send)
    results = await asyncio.gather(*(congestion.send(DataRequest()) for _ in range(200)))
    assert len(results) == 200
    assert server.refused <= 400  # the first burst, and then few


async def test_a_server_that_is_full_with_others_is_reported() -> None:
    congestion = Congestion(Server(0).send)
    results = await asyncio.gather(*(congestion.send(DataRequest()) for _ in range(5)), return_exceptions=True)
    assert any(isinstance(result, OverloadError) for result in results)


async def test_a_cancelled_request_gives_its_turn_to_the_next() -> None:
    server = Server(1)
    congestion = Congestion(server.send)
    calls = [asyncio.ensure_future(congestion.send(DataRequest())) for _ in range(30)]
    await asyncio.sleep(0.005)
    for call in calls[5:15]:
        call.cancel()
    done = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)
    assert sum(isinstance(result, Response) for result in done) >= 20
