"""What agreement on writes costs: ``python -m tests.bench.stateful [--original] [--rounds N] [--docs N] [--json FILE]``.

Documents a second of three replicas that keep them in a dict, by their own Client: of this framework with and without ``stateful``,
and of the original. Each side starts afresh in each round, and they take turns, since none of them is to have a disk that another
one writes to.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.bench.endurance import START_TIMEOUT_S
from tests.bench.sides import JINA, ORIGINAL, Side
from tests.support.processes import free_port, peer

PLAIN = 'without stateful'
SIDES: dict[str, tuple[Side, tuple[str, ...]]] = {
    'jina': (JINA, ('--stateful',)),
    PLAIN: (JINA, ()),
    'original': (ORIGINAL, ('--stateful',)),
}


def measure(name: str, docs: int) -> dict[str, float]:
    """Documents a second of one side, by what is done."""
    side, arguments = SIDES[name]
    port = free_port()
    with peer(side.command('servers/stateful.py', '--port', str(port), *arguments), env=side.variables) as server:
        server.read_json(timeout_s=START_TIMEOUT_S)
        load = side.command('load/stateful.py', '--port', str(port), '--docs', str(docs))
        with peer(load, env=side.variables) as client:
            return {case: float(rate) for case, rate in client.read_json(timeout_s=300).items()}


def compare(names: Sequence[str], *, rounds: int, docs: int) -> dict[str, dict[str, float]]:
    """The medians of all rounds: by side, and by what is done."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(rounds):
        for name in [*names[number % len(names) :], *names[: number % len(names)]]:
            found[name].append(measure(name, docs))
    return {name: {case: median(one[case] for one in runs) for case in runs[0]} for name, runs in found.items()}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog='python -m tests.bench.stateful', description=__doc__)
    parser.add_argument('--original', action='store_true', help='measure the original package too')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--docs', type=int, default=10_000)
    parser.add_argument('--json', type=Path)
    options = parser.parse_args(arguments)
    names = [name for name in SIDES if name != 'original' or options.original]
    medians = compare(names, rounds=options.rounds, docs=options.docs)
    print(f'{"documents a second":26}' + ''.join(f'{name:>18}' for name in medians))
    for case in medians['jina']:
        print(f'{case:26}' + ''.join(f'{rates[case]:18,.0f}' for rates in medians.values()))
    if options.json is not None:
        options.json.write_text(json.dumps(medians))
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
