"""When a process that ended by itself is started again."""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator

_TEXT = re.compile(r'no|always|on-failure(?::([1-9]\d*))?')


class RestartPolicy(NamedTuple):
    """When a process that ended by itself is started again."""

    when: str = 'no'
    """``no``, ``on-failure`` or ``always``."""
    limit: int | None = None
    """Attempts in a row; None for no limit."""

    @classmethod
    def parse(cls, text: str) -> RestartPolicy:
        """Read the value of the option ``restart``."""
        when, _, limit = text.partition(':')
        return cls(when, int(limit) if limit else None)

    def wants(self, exit_status: int | None) -> bool:
        """Whether a process is started again after it ended with this status; None is an unknown one."""
        return self.when == 'always' or (self.when == 'on-failure' and exit_status != 0)


def _check(value: object) -> object:
    if value is False:  # how YAML reads a bare `no`
        return 'no'
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if _TEXT.fullmatch(text) is None:
        raise ValueError(f'{value!r} is not one of no, on-failure, on-failure:N, always')
    return text


Restart = Annotated[str, BeforeValidator(_check)]
