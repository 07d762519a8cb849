"""All errors belong to one tree, and the tree is documented."""

from __future__ import annotations

import importlib

import pytest
from jina.core import errors

from tests.support.distributions import ROOT, module_names

PAGE = (ROOT / 'docs' / 'reference' / 'errors.md').read_text()
INTERNAL = {
    'Aborted': 'ends the handler of a gRPC call whose status is sent already',
    'BodyError': 'the HTTP server turns it into a response with status 422 before anyone sees it',
    'BrokenCallError': 'ends what a server writes to a client that is gone; nobody is left to see it',
    'CallError': 'connections turn it into a transport error',
    'CallFault': 'the HTTP/2 server turns it into the status of one call',
    'ClientGone': 'ends the work for an HTTP client that has gone away; nobody is left to see it',
    'ConnectionFault': 'the HTTP/2 server turns it into a GOAWAY for a client that breaks the rules',
    'HpackError': 'the HTTP/2 server turns it into a GOAWAY, as a connection with unreadable headers is over',
    'LaneError': 'the fast lane turns it into a transport error, or into a call without the lane',
    'LaneLeftError': 'makes the client send the request to who takes the place of the server',
    'LaneMissingError': 'makes a peer without the fast lane be served by plain calls',
    'NotLeaderError': 'makes a replica ask the new leader, or say that there is none',
    'Unreadable': 'hands a document over to docarray, whose own error users see',
    'Unwritable': 'hands a document over to docarray, whose own error users see',
}
"""Exceptions that never reach a user, with the reason."""


def exceptions() -> list[type[BaseException]]:
    """Every exception class that a module of ours defines."""
    found = []
    for name in module_names():
        if not name.endswith('__main__'):
            for value in vars(importlib.import_module(name)).values():
                if isinstance(value, type) and issubclass(value, BaseException) and value.__module__ == name:
                    found.append(value)
    return found


@pytest.mark.parametrize('error', exceptions(), ids=lambda error: error.__name__)
def test_public_errors_descend_from_the_root_and_are_documented(error: type[BaseException]) -> None:
    if error.__name__.startswith('_') or error.__name__ in INTERNAL:
        return
    assert issubclass(error, errors.JinaError), f'{error.__module__}.{error.__name__} is not a JinaError'
    assert f'| `{error.__name__}` |' in PAGE, 'run: hatch run docs:reference'


def test_no_error_is_based_on_a_third_party_class() -> None:
    for error in exceptions():
        assert all(base.__module__ in ('builtins',) or base.__module__.startswith('jina.') for base in error.__mro__)


def test_every_error_maps_to_known_wire_statuses() -> None:
    import grpc

    for error in exceptions():
        if issubclass(error, errors.JinaError):
            assert hasattr(grpc.StatusCode, error.grpc_code)
            assert 400 <= error.http_status < 600
