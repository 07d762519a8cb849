"""Sends prepared bytes with raw grpc.aio calls, or on the fast lane: callers, each one request after the other."""

import argparse
import asyncio
import json
import time
from pathlib import Path

import grpc

UNARY = '/jina.JinaSingleDataRequestRPC/process_single_data'
LANE = '/jina.core.FastLane/Connect'
STREAM = '/jina.JinaSingleDocumentRequestRPC/stream_doc'
LIMITS = (('grpc.max_send_message_length', -1), ('grpc.max_receive_message_length', -1))


async def caller(call, payload: bytes, until: float, latencies: list[float], items: list[int]) -> None:
    """One caller of the unary method; every request counts as one item."""
    while (began := time.perf_counter()) < until:
        await call(payload)
        latencies.append(time.perf_counter() - began)
        items.append(1)


async def stream_caller(call, payload: bytes, until: float, latencies: list[float], items: list[int]) -> None:
    """One caller of the streaming method; every answer in a stream counts as one item."""
    while (began := time.perf_counter()) < until:
        count = 0
        async for _ in call(payload):
            count += 1
        latencies.append(time.perf_counter() - began)
        items.append(count)


async def check(call, payload: bytes) -> None:
    """Sends one request and fails if the answer reports an Executor's error, which the RPC itself doesn't."""
    answer = call(payload)
    await (answer.read() if hasattr(answer, 'read') else answer)
    if not hasattr(answer, 'read') and ('is-error', 'true') in [
        tuple(pair) for pair in await answer.trailing_metadata()
    ]:
        raise RuntimeError('the server answered with an error')


async def drive(options: argparse.Namespace, payload: bytes) -> dict:
    """Warms up, then lets all callers work until the time is over."""
    async with grpc.aio.insecure_channel(f'127.0.0.1:{options.port}', options=LIMITS) as channel:
        await channel.channel_ready()
        call = channel.unary_stream(STREAM) if options.stream else channel.unary_unary(UNARY)
        work = stream_caller if options.stream else caller
        await check(call, payload)
        if options.lane:
            from jina.core.grpc_stream import GrpcStream
            from jina.core.lane import SharedLane

            begin = channel.stream_stream(LANE)
            call = SharedLane(lambda: GrpcStream(begin())).request
        warm_up = time.perf_counter() + min(0.5, options.seconds / 2)
        warming: list[int] = []
        await asyncio.gather(*(work(call, payload, warm_up, [], warming) for _ in range(options.callers)))
        latencies: list[float] = []
        items: list[int] = []
        began = time.perf_counter()
        tasks = (work(call, payload, began + options.seconds, latencies, items) for _ in range(options.callers))
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        seconds = time.perf_counter() - began
    latencies.sort()
    failures = [str(outcome) for outcome in outcomes if isinstance(outcome, BaseException)]
    return {
        'operations': sum(items),
        'warm_up': sum(warming),
        'seconds': seconds,
        'p50_ms': latencies[len(latencies) // 2] * 1e3 if latencies else 0.0,
        'p99_ms': latencies[len(latencies) * 99 // 100] * 1e3 if latencies else 0.0,
        'errors': len(failures),
        'first_error': failures[0] if failures else '',
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--payload', required=True)
    parser.add_argument('--callers', type=int, required=True)
    parser.add_argument('--seconds', type=float, required=True)
    parser.add_argument('--stream', action='store_true')
    parser.add_argument('--lane', action='store_true', help='all callers on one fast lane')
    options = parser.parse_args()
    print(json.dumps(asyncio.run(drive(options, Path(options.payload).read_bytes()))), flush=True)


if __name__ == '__main__':
    main()
