"""What is said about endpoints that nobody serves: a request to one passes through, a stream from one fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from jina.core.config.build import nearest
from jina.core.errors import NotSupportedError
from jina.core.wire import DEFAULT_ENDPOINT, DRY_RUN_ENDPOINT

__all__ = ['MissingEndpoints', 'not_streaming']

_REMEMBERED: Final = 1000
"""Names after which no new ones are reported: clients choose them, so they must not fill the memory."""
_SHOWN: Final = 8
_LONGEST: Final = 200
"""Characters of a name that is compared with others, which takes the longer the longer both are."""


class MissingEndpoints:
    """Reports each endpoint once that requests ask for and nobody serves.

    Args:
        warn: Logs a message.
    """

    def __init__(self, warn: Callable[[str], object]) -> None:
        self._warn = warn
        self._notes: dict[str, str] = {}

    def note(self, endpoint: str, known: Iterable[str]) -> str:
        """Returns what the response tells about the endpoint: empty for one that is none of users.

        Args:
            endpoint: The endpoint.
            known: Endpoints that are served.
        """
        if endpoint == DRY_RUN_ENDPOINT:
            return ''
        text = self._notes.get(endpoint)
        if text is None:
            text = f'no Executor serves endpoint {_shown(endpoint)}, so documents pass unchanged'
            if len(self._notes) < _REMEMBERED and len(endpoint) <= _LONGEST:
                text = self._notes[endpoint] = f'{text}; {_instead(endpoint, known)}'
                self._warn(text)
        return text


def not_streaming(endpoint: str, known: Mapping[str, bool]) -> ValueError | NotSupportedError:
    """Returns the error for a stream from an endpoint that doesn't stream, or doesn't exist.

    Args:
        endpoint: The endpoint.
        known: Endpoints that are served, and whether they stream.
    """
    streaming = [name for name, streams in known.items() if streams]
    if endpoint in known or DEFAULT_ENDPOINT in known:
        near = None if endpoint in known else _nearest(endpoint, streaming)
        advice = 'call it with post' if near is None else f'call it with post, or did you mean {near!r}?'
        # The first words are those of the original.
        return ValueError(f'endpoint must be generator: {_shown(endpoint)} does not stream; {advice}')
    if not streaming:
        return NotSupportedError(
            f'there is no endpoint {_shown(endpoint)}, and none of this server streams', hint=_instead(endpoint, known)
        )
    return NotSupportedError(
        f'there is no endpoint {_shown(endpoint)} that streams', hint=_instead(endpoint, streaming)
    )


def _shown(endpoint: str) -> str:
    return repr(endpoint) if len(endpoint) <= _LONGEST else f'{endpoint[:_LONGEST]!r}...'


def _nearest(endpoint: str, names: Iterable[str]) -> str | None:
    return nearest(endpoint, names) if len(endpoint) <= _LONGEST else None


def _instead(endpoint: str, known: Iterable[str]) -> str:
    names = [name for name in known if name != DRY_RUN_ENDPOINT]
    near = _nearest(endpoint, names)
    if near is not None:
        return f'did you mean {near!r}?'
    if not names or names == [DEFAULT_ENDPOINT]:
        return 'it has no named endpoints'
    more = ', ...' if len(names) > _SHOWN else ''
    return f'there are {", ".join(map(repr, sorted(names)[:_SHOWN]))}{more}'
