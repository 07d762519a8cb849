"""Who is compared: each side is an interpreter and the programs that serve with it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.support.requirements import original_env, peer_env

SERVERS = Path(__file__).parent / 'servers'


@dataclass(frozen=True)
class Side:
    """A column of the report."""

    name: str
    interpreter: Callable[[], Path]
    """Gives the interpreter; may build an environment on first use."""
    is_peer: bool = False
    """Another serving framework, which takes part only when it is asked for."""

    def command(self, program: str, *arguments: str) -> list[str | Path]:
        """The command line of one of the programs in ``servers/`` or ``load/``."""
        return [self.interpreter(), SERVERS.parent / program, *arguments]

    @property
    def variables(self) -> dict[str, str]:
        """What its programs get beside our environment variables: a path to our modules is for our interpreter."""
        return {} if self.interpreter is _this_python else {'PYTHONPATH': ''}


def _this_python() -> Path:
    return Path(sys.executable)


JINA = Side('jina', _this_python)
"""The system in this repository."""
ORIGINAL = Side('original', original_env.original_python)
"""The original package, in its own environment."""
BARE = Side('bare', _this_python)
"""grpc.aio, FastAPI and uvicorn used by hand, in the system's environment."""
ONE_ECHO = Side('one echo', _this_python)
"""One bare server that echoes, beside a pipeline of several."""
BUFFER = Side('buffer', _this_python)
"""grpc.aio with one array of floats a request, no ids and no texts: the bound that nothing with documents reaches."""

PEERS = tuple(Side(name, partial(peer_env.peer_python, name), is_peer=True) for name in peer_env.REQUIREMENTS)
"""Other serving frameworks, each in an environment of its own."""

SIDES = (JINA, ORIGINAL, BARE, BUFFER, ONE_ECHO, *PEERS)
