"""Opens streams to one server, a connection each, and keeps them: prints a line when they stand, another at the end.

Every stream sends one request at first and one more before it ends; ``answered`` counts the answers.
"""

import argparse
import asyncio
import json
from pathlib import Path

import grpc

CALL = '/jina.JinaRPC/Call'
AT_ONCE = 50
"""Connections that are made at the same time."""


async def keep(options: argparse.Namespace, payload: bytes) -> None:
    """Opens all streams, waits, asks once more on each."""
    channels = [
        # a pool of its own: a connection of its own
        grpc.aio.insecure_channel(f'127.0.0.1:{options.port}', options=[('grpc.use_local_subchannel_pool', 1)])
        for _ in range(options.clients)
    ]
    calls = [channel.stream_stream(CALL)() for channel in channels]
    gate = asyncio.Semaphore(AT_ONCE)
    answered = 0

    async def ask(call) -> None:
        nonlocal answered
        async with gate:
            await call.write(payload)
            answer = await call.read()
            answered += answer is not grpc.aio.EOF

    await asyncio.gather(*(ask(call) for call in calls))
    print(json.dumps({'answered': answered}), flush=True)
    await asyncio.sleep(options.seconds)
    await asyncio.gather(*(ask(call) for call in calls))
    print(json.dumps({'answered': answered}), flush=True)
    for call in calls:
        call.cancel()
    await asyncio.gather(*(channel.close() for channel in channels))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--payload', required=True)
    parser.add_argument('--clients', type=int, required=True)
    parser.add_argument('--seconds', type=float, required=True, help='how long they are idle')
    options = parser.parse_args()
    asyncio.run(keep(options, Path(options.payload).read_bytes()))


if __name__ == '__main__':
    main()
