"""A peer of the HTTP rows: Ray Serve, one replica per deployment, set up for throughput as its guide tells.

With ``--batching`` it puts up to 32 requests, or those of 10 ms, into one call of the model.
"""

import argparse
import asyncio
import json
import os
import signal
import time

os.environ['RAY_SERVE_THROUGHPUT_OPTIMIZED'] = '1'
os.environ['RAY_USAGE_STATS_ENABLED'] = '0'
os.environ['RAY_AUTH_MODE'] = 'disabled'  # else it leaves a token in the home folder

import ray
from ray import serve
from starlette.requests import Request

CONCURRENT = 128


@serve.deployment(num_replicas=1, max_ongoing_requests=CONCURRENT)
class Step:
    async def __call__(self, body):
        return body


@serve.deployment(num_replicas=1, max_ongoing_requests=CONCURRENT)
class Echo:
    def __init__(self, steps):
        self.steps = steps

    async def __call__(self, request: Request):
        body = await request.json()
        for step in self.steps:
            body = await step.remote(body)
        return body


@serve.deployment(num_replicas=1, max_ongoing_requests=CONCURRENT)
class Model:
    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.01)
    async def call(self, bodies):
        await asyncio.to_thread(time.sleep, 0.005 + 0.00005 * len(bodies))
        return bodies

    async def __call__(self, request: Request):
        return await self.call(await request.json())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--length', type=int, default=1, choices=[1, 2])
    parser.add_argument('--batching', action='store_true')
    options = parser.parse_args()
    ray.init(
        address='local',
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 * 2**20,
        _temp_dir=os.getcwd(),
    )
    serve.start(http_options={'host': '127.0.0.1', 'port': options.port}, logging_config={'enable_access_log': False})
    steps = [Step.bind() for _ in range(options.length - 1)]
    serve.run(Model.bind() if options.batching else Echo.bind(steps), route_prefix='/echo')
    print(json.dumps({'port': options.port}), flush=True)
    os.dup2(2, 1)  # nobody reads what is logged after this line
    signal.pause()


if __name__ == '__main__':
    main()
