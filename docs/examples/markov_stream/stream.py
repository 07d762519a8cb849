"""Serves the model and prints what it generates token by token, over gRPC and over HTTP."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path

from documents import Prompt, Sampling, Token
from jina import Client, Deployment
from jina.client import SyncClient

DEPLOYMENT = Path(__file__).with_name('deployment.yml')


def show(title: str, prompt: Prompt, tokens: Iterable[Token]) -> str:
    """Print tokens as they come, and then how fast they came; returns the text."""
    print(f'\n--- {title}\n{prompt.text}', end='', flush=True)
    text = ''
    times = [time.perf_counter()]
    for token in tokens:
        times.append(time.perf_counter())
        text += token.text
        print(token.text, end='', flush=True)
    first, total = times[1] - times[0], times[-1] - times[0]
    print(f'\n{len(times) - 1} tokens: the first after {first * 1000:.1f} ms, {(len(times) - 1) / total:.0f} tokens/s')
    return text


def ended_streams(client: SyncClient, wanted: int) -> dict[str, float]:
    """How many streams ended in which way. The Executor notices a moment later that a reader left."""
    while True:
        (response,) = client.post('/streams', return_responses=True)
        counts: dict[str, float]
        (counts,) = response.parameters['__results__'].values()
        if sum(counts.values()) >= wanted:
            return counts
        time.sleep(0.01)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('prompt', nargs='?', default='Return the', help='what the model continues')
    parser.add_argument('--fast', action='store_true', help='without the pause before each token')
    for name, field in Sampling.model_fields.items():
        flag = f'--{name.replace("_", "-")}'
        parser.add_argument(flag, type=type(field.default), default=field.default, help=field.description)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    prompt = Prompt(text=args.prompt)
    sampling = Sampling(**{name: getattr(args, name) for name in Sampling.model_fields})
    parameters = sampling.model_dump(exclude_defaults=True)  # the Executor knows the defaults
    pace = {'seconds_per_token': 0} if args.fast else {}
    with Deployment.load_config(str(DEPLOYMENT), uses_with=pace) as deployment:
        grpc_port, http_port = deployment.port
        grpc = Client(port=grpc_port)
        http = Client(port=http_port, protocol='http')
        for client in (grpc, http):
            client.is_flow_ready()  # connects, so that the time to the first token is the model's

        tokens = grpc.stream_doc('/generate', prompt, return_type=Token, parameters=parameters)
        text = show('gRPC', prompt, tokens)

        tokens = http.stream_doc('/generate', prompt, return_type=Token, parameters=parameters)
        again = show('HTTP, server-sent events', prompt, tokens)
        print(f'the same text: {again == text}')

        parameters['max_tokens'] = 10_000
        with closing(grpc.stream_doc('/generate', prompt, return_type=Token, parameters=parameters)) as tokens:
            show('gRPC, and the reader leaves after 5 of 10,000 tokens', prompt, islice(tokens, 5))
        print(f'streams that the Executor ended: {ended_streams(grpc, 3)}')


if __name__ == '__main__':
    main()
