"""Serves the model: an Executor with an endpoint that yields one token after the other."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from itertools import islice
from typing import Any

from corpus import collect
from documents import Prompt, Sampling, Token
from jina import Executor, requests
from markov import MarkovChain


class StreamingModel(Executor):
    """Continues a prompt in the style of the standard library's documentation.

    Args:
        seconds_per_token: Pause before each token. The model needs none; with one it is as slow as a large model.
    """

    model: MarkovChain

    def __init__(self, seconds_per_token: float = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seconds_per_token = seconds_per_token
        self.streams = Counter(complete=0, cut_short=0)

    def warm_up(self) -> None:
        """Trains the model, as another one would load its weights. The server is ready when this is over."""
        self.model = MarkovChain(entry.text for entry in collect())

    @requests(on='/generate')
    async def generate(self, doc: Prompt, parameters: Sampling, **kwargs: Any) -> AsyncIterator[Token]:
        text = self.model.walk(doc.text, parameters.order, parameters.temperature, parameters.seed)
        sent = 0
        try:
            for token in islice(text, parameters.max_tokens):
                await asyncio.sleep(self.seconds_per_token)
                yield Token(text=token, number=sent)
                sent += 1
        finally:  # runs also when the reader has gone: the place to stop what costs money
            if sent == parameters.max_tokens:
                self.streams['complete'] += 1
            else:
                self.streams['cut_short'] += 1
                self.logger.info(f'the reader left after {sent} tokens')

    @requests(on='/streams')
    def count(self, **kwargs: Any) -> dict[str, int]:
        return dict(self.streams)
