"""A language model that is small enough to read: a Markov chain over the words of some texts."""

from __future__ import annotations

import random
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator

TOKEN = re.compile(r' ?\w+| ?[^\w\s]|\n\n')
LONGEST_CONTEXT = 4


def prose(text: str) -> Iterator[str]:
    """The paragraphs of a text that are sentences, each on one line; lists, code and signatures are left out."""
    for paragraph in text.split('\n\n'):
        line = ' '.join(paragraph.split())
        if re.fullmatch(r'[A-Z][^>|]{30,}\.', line):
            yield line


class MarkovChain:
    """Chooses the next token as it followed the last few tokens in the texts that it was trained on.

    Tokens are words and punctuation marks with the space before them, so that a text is its tokens joined.

    Args:
        texts: What to learn from.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        paragraphs = [paragraph for text in texts for paragraph in prose(text)]
        self.tokens: list[str] = TOKEN.findall('\n\n'.join(paragraphs))
        # All positions of the text in the order of what is read there: equal beginnings lie side by side.
        self.positions = sorted(range(len(self.tokens) - LONGEST_CONTEXT), key=self.read)

    def read(self, position: int, length: int = LONGEST_CONTEXT) -> list[str]:
        return self.tokens[position : position + length]

    def followers(self, context: list[str]) -> Counter[str]:
        """What follows a context, and how often. A context that was never seen is shortened until it was."""
        while True:
            length = len(context)
            low = bisect_left(self.positions, context, key=lambda position: self.read(position, length))
            high = bisect_right(self.positions, context, key=lambda position: self.read(position, length))
            found = Counter(self.tokens[position + length] for position in self.positions[low:high])
            if found:
                return found
            context = context[1:]

    def walk(self, prompt: str, order: int, temperature: float, seed: int) -> Iterator[str]:
        """Continues a prompt without an end.

        Args:
            prompt: The beginning.
            order: Number of tokens that the next one depends on.
            temperature: 0 takes the most frequent follower, 1 one by its frequency, more the rare ones more often.
            seed: The same seed gives the same text.
        """
        generator = random.Random(seed)
        context = TOKEN.findall(prompt)[-order:]
        while True:
            found = self.followers(context)
            if temperature == 0:
                token = max(found, key=lambda candidate: (found[candidate], candidate))
            else:
                most = max(found.values())  # keeps the powers between 0 and 1
                weights = [(count / most) ** (1 / temperature) for count in found.values()]
                (token,) = generator.choices(list(found), weights)
            yield token
            context = [*context, token][-order:]
