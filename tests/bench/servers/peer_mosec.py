"""A peer of the HTTP rows: mosec, its server in Rust, one worker process per stage, JSON by its own default.

With ``--batching`` its server puts up to 32 requests, or those of 10 ms, into one call of the model."""

import argparse
import json
import os
import sys
import time

from mosec import Server, Worker


class First(Worker):
    def forward(self, data):
        return data


class Second(Worker):
    def forward(self, data):
        return data


class Model(Worker):
    def forward(self, data):
        time.sleep(0.005 + 0.00005 * len(data))
        return data


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', required=True)
    parser.add_argument('--length', type=int, default=1, choices=[1, 2])
    parser.add_argument('--batching', action='store_true')
    options = parser.parse_args()
    # the server reads its own options from the command line, and its workers import this file again
    sys.argv[1:] = ['--address', '127.0.0.1', '--port', options.port, '--log-level', 'error']
    server = Server()
    if options.batching:
        server.append_worker(Model, num=1, max_batch_size=32, max_wait_time=10, route='/echo')
    else:
        for stage in (First, Second)[: options.length]:
            server.append_worker(stage, num=1, route='/echo')
    print(json.dumps({'port': int(options.port)}), flush=True)
    os.dup2(2, 1)  # nobody reads what is logged after this line
    server.run()


if __name__ == '__main__':
    main()
