"""Sends one document with a large array after the other with the framework's own Client."""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from jina import Client


class ArrayDoc(BaseDoc):
    array: NdArray


def peak_bytes() -> int:
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith('VmHWM:'))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--size', type=int, required=True, help='bytes of the array')
    parser.add_argument('--rounds', type=int, required=True)
    options = parser.parse_args()
    client = Client(host='127.0.0.1', port=options.port)

    def post(size: int) -> float:
        docs = DocList[ArrayDoc]([ArrayDoc(array=np.ones(size // 4, np.float32))])
        began = time.perf_counter()
        answer = client.post('/arrays', inputs=docs, return_type=DocList[ArrayDoc])
        seconds = time.perf_counter() - began
        assert answer[0].array.nbytes == size // 4 * 4
        return seconds

    post(4)
    before = peak_bytes()
    seconds = [post(options.size) for _ in range(options.rounds)]
    print(json.dumps({'seconds': seconds, 'grown': peak_bytes() - before}), flush=True)


if __name__ == '__main__':
    main()
