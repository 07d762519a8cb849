"""A peer of the HTTP rows: LitServe on uvicorn, one API server and one worker, with its faster ZeroMQ queue.

With ``--batching`` it puts up to 32 requests, or those of 10 ms, into one call of the model.
"""

import argparse
import json
import os
import time

import litserve


class Echo(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return request['data']

    def predict(self, docs):
        return docs

    def encode_response(self, output):
        return {'data': output}


class Model(Echo):
    def batch(self, inputs):
        return inputs

    def predict(self, docs):
        time.sleep(0.005 + 0.00005 * len(docs))
        return docs

    def unbatch(self, output):
        return output


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--batching', action='store_true')
    options = parser.parse_args()
    batched = {'max_batch_size': 32, 'batch_timeout': 0.01}
    api = Model(api_path='/echo', **batched) if options.batching else Echo(api_path='/echo')
    server = litserve.LitServer(api, accelerator='cpu', workers_per_device=1, fast_queue=True)
    print(json.dumps({'port': options.port}), flush=True)
    os.dup2(2, 1)  # nobody reads what is logged after this line
    server.run(
        host='127.0.0.1',
        port=options.port,
        num_api_servers=1,
        log_level='error',
        generate_client_file=False,
        access_log=False,
    )


if __name__ == '__main__':
    main()
