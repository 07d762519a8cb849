"""A peer of the HTTP rows: LitServe on uvicorn, one API server and one worker, with its faster ZeroMQ queue."""

import argparse
import json
import os

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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, required=True)
    options = parser.parse_args()
    server = litserve.LitServer(Echo(api_path='/echo'), accelerator='cpu', workers_per_device=1, fast_queue=True)
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
