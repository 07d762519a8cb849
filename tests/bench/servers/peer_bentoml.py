"""A peer of the HTTP rows: BentoML's production server, one worker per service, access log and tracing off.

With ``--batching`` it puts up to 32 requests into one call of the model; how long they wait is up to its own estimate.

The program is also the module of services that the server loads.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import bentoml
from pydantic import BaseModel

QUIET = {'access': {'enabled': False}}


class Doc(BaseModel):
    id: str
    text: str


@bentoml.service(workers=1, logging=QUIET)
class Echo:
    @bentoml.api(route='/echo')
    async def echo(self, data: list[Doc]) -> list[Doc]:
        return data


@bentoml.service(workers=1, logging=QUIET, traffic={'concurrency': 64})
class Model:
    @bentoml.api(route='/echo', batchable=True, max_batch_size=32)
    def echo(self, data: list[Doc]) -> list[Doc]:
        time.sleep(0.005 + 0.00005 * len(data))
        return data


@bentoml.service(workers=1, logging=QUIET)
class Pipeline:
    first = bentoml.depends(Echo)

    @bentoml.api(route='/echo')
    async def echo(self, data: list[Doc]) -> list[Doc]:
        return await self.first.to_async.echo(data=data)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', required=True)
    parser.add_argument('--length', type=int, default=1, choices=[1, 2])
    parser.add_argument('--batching', action='store_true')
    options = parser.parse_args()
    name = 'Model' if options.batching else {1: 'Echo', 2: 'Pipeline'}[options.length]
    service = f'{Path(__file__).stem}:{name}'
    print(json.dumps({'port': int(options.port)}), flush=True)
    os.dup2(2, 1)  # nobody reads what is logged after this line
    command = ['-m', 'bentoml', 'serve', service, '--host', '127.0.0.1', '--port', options.port]
    os.environ |= {'BENTOML_DO_NOT_TRACK': 'true', 'BENTOML_HOME': os.getcwd()}
    os.execv(sys.executable, [sys.executable, *command, '--working-dir', str(Path(__file__).parent)])


if __name__ == '__main__':
    main()
