"""Which shards get a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from jina.core.enums import PollingType
from jina.core.wire import DRY_RUN_ENDPOINT

_BUILT_IN: Final = {'/index': PollingType.ANY, '/search': PollingType.ALL}
_WILDCARD: Final = '*'


class PollingPlan:
    """Answers for each endpoint whether all shards get a request, or one of them.

    ``/index`` goes to any and ``/search`` to all shards, unless a mapping names them itself.

    Args:
        polling: A mode for all endpoints, or a mapping from endpoints to modes with ``*`` for the others.
    """

    def __init__(self, polling: PollingType | Mapping[str, PollingType]) -> None:
        modes = polling if isinstance(polling, Mapping) else {_WILDCARD: polling}
        self._default = modes.get(_WILDCARD, PollingType.ANY) is not PollingType.ANY
        named = {**_BUILT_IN, **modes, DRY_RUN_ENDPOINT: PollingType.ALL}
        self._named = {endpoint: mode is not PollingType.ANY for endpoint, mode in named.items()}

    def asks_all(self, endpoint: str) -> bool:
        """Whether all shards get a request to this endpoint."""
        return self._named.get(endpoint, self._default)
