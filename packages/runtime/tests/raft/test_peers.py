"""How a replica reaches another one that is lost, or that comes back elsewhere."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import grpc
import pytest
from jina.core.errors import TransportError
from jina.runtime.raft import peers
from jina.runtime.raft.messages import Append, AppendReply, EntryKind
from jina.runtime.raft.peers import Peer, PeerServer


class Obliging:
    """Accepts everything."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()

    async def append(self, message: Append) -> AppendReply:
        return AppendReply(message.term, True, 0)

    async def submit(self, kind: EntryKind, command: bytes, timeout: float | None) -> tuple[int, bytes]:
        await self.may_answer.wait()
        return 1, command


def port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return int(probe.getsockname()[1])


async def reach(peer: Peer) -> AppendReply:
    message = Append(1, 0, 0, 0, 0, [])
    while True:
        try:
            return await peer.append(message)
        except grpc.RpcError:
            await asyncio.sleep(0.02)


async def test_the_address_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC itself would go on with what it found first."""
    monkeypatch.setattr(peers, '_RENEW_S', 0.2)
    address = f'127.0.0.1:{port()}'
    peer, answers = Peer(f'127.0.0.1:{port()}'), Obliging()
    server: Any = PeerServer(address, answers, 'a test')
    await server.start()
    first = peer._link
    peer._address = address  # as the name of a pod stands for another address when the pod comes back
    try:
        assert (await asyncio.wait_for(reach(peer), 30)).accepted
        assert peer._link is not first
        assert first.calls == 0
    finally:
        await peer.close()
        await server.stop()


async def test_a_command_under_way_keeps_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, '_RENEW_S', -1.0)
    address, answers = f'127.0.0.1:{port()}', Obliging()
    server: Any = PeerServer(address, answers, 'a test')
    await server.start()
    peer = Peer(address)
    try:
        slow = asyncio.create_task(peer.submit(EntryKind.COMMAND, b'slow', 30))
        await reach(peer)
        used = peer._link
        with pytest.raises(TransportError, match='the leader does not answer'):
            await peer.submit(EntryKind.COMMAND, b'late', 0.1)
        assert peer._link is not used
        answers.may_answer.set()
        assert await slow == (1, b'slow')
        assert used.calls == 0
    finally:
        await peer.close()
        await server.stop()
