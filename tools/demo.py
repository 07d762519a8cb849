"""Sets up an environment and runs the example of ``docs/examples/stdlib_search`` in it; arguments go to the example.

Needs only Python and a network to install packages from; the environment is kept in ``.cache/demo``.
"""

from __future__ import annotations

import os
import sys

from bootstrap import ROOT, environment

EXAMPLE = ROOT / 'docs' / 'examples' / 'stdlib_search'


def main() -> None:
    python = environment('demo', projects=['jina'], requirements=(EXAMPLE / 'requirements.txt').read_text().split())
    os.execv(python, [str(python), str(EXAMPLE / 'search.py'), *sys.argv[1:]])


if __name__ == '__main__':
    main()
