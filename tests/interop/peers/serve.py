"""Serves the Executor of documents.py as a Deployment or a Flow, by whichever ``jina`` this interpreter has."""

import argparse
import json

from documents import Peer
from jina import Deployment, Flow


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('kind', choices=['deployment', 'flow'])
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--protocol', default='grpc')
    parser.add_argument('--external', type=int, help='port of a Deployment that becomes the second step of the Flow')
    options = parser.parse_args()
    if options.kind == 'deployment':
        server = Deployment(uses=Peer, name='peer', port=options.port, protocol=options.protocol)
    else:
        server = Flow(port=options.port, protocol=options.protocol).add(uses=Peer, name='first')
        if options.external is None:
            server = server.add(uses=Peer, name='second')
        else:
            server = server.add(name='second', host='127.0.0.1', port=options.external, external=True)
    with server:
        print(json.dumps({'port': options.port}), flush=True)
        server.block()


if __name__ == '__main__':
    main()
