"""Prints the time, the memory and the number of modules of an import, or of a whole ``jina --help``."""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path


def memory_mb(what: str) -> float:
    """The most memory that was resident."""
    if what == 'help':
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    # ru_maxrss of a process counts its parent's memory from before the program was loaded
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith('VmHWM:'):
            return int(line.split()[1]) / 1024
    raise RuntimeError('no VmHWM in /proc/self/status')


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('what', choices=['jina', 'module', 'executor', 'help', 'bare'])
    options = parser.parse_args()
    began = time.perf_counter()
    if options.what == 'jina':
        from jina import Client, Deployment, Executor, Flow, requests  # noqa: F401
    elif options.what == 'module':
        import jina  # noqa: F401
    elif options.what == 'executor':
        from jina import Executor, requests  # noqa: F401
    elif options.what == 'help':
        script = Path(sys.executable).with_name('jina')
        subprocess.run([str(script), '--help'], check=True, stdout=subprocess.DEVNULL)
    else:
        import fastapi  # noqa: F401
        import grpc  # noqa: F401
    seconds = time.perf_counter() - began
    print(json.dumps({'time': seconds, 'memory': memory_mb(options.what), 'modules': len(sys.modules)}), flush=True)


if __name__ == '__main__':
    main()
