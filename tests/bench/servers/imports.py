"""Prints the time, the memory and the number of modules of an import."""

import argparse
import json
import resource
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('what', choices=['jina', 'bare'])
    options = parser.parse_args()
    began = time.perf_counter()
    if options.what == 'jina':
        from jina import Client, Deployment, Executor, Flow, requests  # noqa: F401
    else:
        import fastapi  # noqa: F401
        import grpc  # noqa: F401
    seconds = time.perf_counter() - began
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({'time': seconds, 'memory': memory_mb, 'modules': len(sys.modules)}), flush=True)


if __name__ == '__main__':
    main()
