"""Endpoints that nobody serves are named, with the nearest that exists."""

from __future__ import annotations

import re
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Executor, requests
from jina.core.errors import NotSupportedError
from jina.runtime.missing_endpoint import MissingEndpoints, not_streaming


def test_each_endpoint_is_reported_once_and_only_so_many() -> None:
    warnings: list[str] = []
    missing = MissingEndpoints(warnings.append)
    note = missing.note('/fooo', ['/foo', '_jina_dry_run_'])
    assert note == "no Executor serves endpoint '/fooo', so documents pass unchanged; did you mean '/foo'?"
    assert missing.note('/fooo', ['/foo']) == note
    assert missing.note('_jina_dry_run_', ['/foo']) == ''
    assert missing.note('/x', ['/foo', '/bar']).endswith("there are '/bar', '/foo'")
    assert len(warnings) == 2
    for number in range(2000):
        assert missing.note(f'/number{number}', ['/foo'])
    assert len(warnings) == 1000
    assert missing.note('/number3000', ['/number1']).endswith('pass unchanged')


def test_long_names_cost_no_more_than_short_ones() -> None:
    warnings: list[str] = []
    note = MissingEndpoints(warnings.append).note('/a' * 500_000, ['/a' * 50])
    assert len(note) < 300
    assert not warnings
    assert len(str(not_streaming('/a' * 500_000, {'/a' * 50: True}))) < 500


@pytest.mark.parametrize(
    ('endpoint', 'known', 'kind', 'text'),
    [
        ('/foo', {'/foo': False}, ValueError, "endpoint must be generator: '/foo' does not stream; call it with post"),
        (
            '/gem',
            {'/gen': True, '/gel': False},
            NotSupportedError,
            "no endpoint '/gem' that streams; did you mean '/gen'",
        ),
        ('/gem', {'/gen': True, '/default': False}, ValueError, "generator: '/gem' does not .* did you mean '/gen'"),
        ('/x', {'/gen': True}, NotSupportedError, "that streams; there are '/gen'"),
        ('/fooo', {'/foo': False}, NotSupportedError, "none of this server streams; did you mean '/foo'"),
        ('/fooo', {}, NotSupportedError, 'it has no named endpoints'),
    ],
)
def test_streams(endpoint: str, known: dict[str, bool], kind: type[Exception], text: str) -> None:
    error = not_streaming(endpoint, known)
    assert type(error) is kind
    assert re.search(text, str(error))


class Named(Executor):
    @requests(on='/foo')
    def foo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs


async def test_responses_tell(cluster: Any) -> None:
    flow = await cluster.flow(Named, Named)
    for address in (flow.address, cluster.running[0].address):  # the gateway, and an Executor alone
        response = await cluster.post(address, '/fooo', 'a')
        assert response.docs.text == ['a']
        assert not response.is_error
        assert "did you mean '/foo'?" in response.status.description
        assert not (await cluster.post(address, '/foo', 'a')).status.description
    assert not (await cluster.post(flow.address, '/fooo', 'a', target='e1')).status.description
    assert not (await cluster.post((await cluster.flow(Executor)).address, '/fooo', 'a')).status.description
