"""The servers under attack, seen from outside: that they answer, that none of their processes ended, what memory they hold."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import grpc.aio
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client

from tests.support.processes import Peer

PATIENCE_S = 30.0
"""Who has no answer after this much hangs; the machine may be busy."""
_UNHANDLED = re.compile(r'never retrieved|Exception in callback|Exception ignored|exception in|Unexpected |Fatal')
_T = TypeVar('_T')


@dataclass
class Target:
    """One server.

    Attributes:
        name: What it is.
        grpc: Port for gRPC.
        http: Port for HTTP.
        websocket: Port for WebSocket.
    """

    name: str
    grpc: int
    http: int
    websocket: int


@dataclass
class Victim:
    """All servers of a program.

    Attributes:
        program: The program.
        loop: Where asynchronous attacks run.
        flow: Its Flow.
        deployment: Its Deployment.
        sent: Requests so far, by kind.
        outcomes: Answers so far, by kind and status.
        samples: Resident memory of each process in KiB, by the number of requests sent until then.
    """

    program: Peer
    loop: asyncio.AbstractEventLoop
    flow: Target
    deployment: Target
    sent: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: list[tuple[int, dict[int, int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.members = self.program.members()
        self._channels: dict[int, grpc.aio.Channel] = {}
        self._session: aiohttp.ClientSession | None = None

    @property
    def targets(self) -> tuple[Target, Target]:
        """Both servers."""
        return self.flow, self.deployment

    def run(self, attack: Coroutine[Any, Any, _T]) -> _T:
        """Runs an attack; one that takes too long is a hang."""
        return self.loop.run_until_complete(asyncio.wait_for(attack, PATIENCE_S))

    def count(self, kind: str, outcome: Any, number: int = 1) -> None:
        """Notes an answer."""
        self.sent[kind] += number
        self.outcomes[kind, str(outcome)] += number

    def channel(self, port: int) -> grpc.aio.Channel:
        """A gRPC channel, kept; to be used on the loop."""
        if port not in self._channels:
            self._channels[port] = grpc.aio.insecure_channel(f'127.0.0.1:{port}')
        return self._channels[port]

    def session(self) -> aiohttp.ClientSession:
        """An HTTP client, kept; to be used on the loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S))
        return self._session

    async def close(self) -> None:
        """Closes what is kept."""
        for channel in self._channels.values():
            await channel.close()
        if self._session is not None:
            await self._session.close()

    def check(self) -> None:
        """Checks that all processes live, that good requests are answered over each protocol, and that nothing was unhandled."""
        assert self.program.members() == self.members, f'a process ended or was started\n{self.program.log()}'
        for target in self.targets:
            for protocol, port in (('grpc', target.grpc), ('http', target.http), ('websocket', target.websocket)):
                with Client(port=port, protocol=protocol) as client:
                    texts = client.post(
                        '/things',
                        DocList[TextDoc]([TextDoc(text='good')]),
                        parameters={'suffix': '!', 'times': 2},
                        return_type=DocList[TextDoc],
                        timeout=PATIENCE_S,
                    ).text
                assert texts == ['good!!'], (target.name, protocol)
            body = json.dumps({'query': '{ things(data: {text: "g"}) { text } }'}).encode()
            request = urllib.request.Request(
                f'http://127.0.0.1:{target.http}/graphql', body, headers={'content-type': 'application/json'}
            )
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                assert json.load(answer) == {'data': {'things': [{'text': 'g'}]}}
        log = self.program.log(last_bytes=1 << 20)
        found = _UNHANDLED.search(log)
        assert found is None, log[max(0, found.start() - 3000) : found.end() + 3000]
        self.sample()

    def sample(self) -> None:
        """Notes the memory of each process."""
        self.samples.append((sum(self.sent.values()), {pid: _resident_kib(pid) for pid in self.members}))


def _resident_kib(pid: int) -> int:
    text = Path(f'/proc/{pid}/status').read_text()
    (found,) = re.findall(r'VmRSS:\s+(\d+) kB', text)
    return int(found)
