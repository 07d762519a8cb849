from __future__ import annotations

import pytest
from jina.core.errors import RequestTypeError
from jina.core.status import StatusMessage, fill_status
from jina.core.wire import StatusProto


def test_status_message() -> None:
    message = StatusMessage()
    assert message.is_ok()
    assert message.to_dict() == {'code': 0, 'description': '', 'exception': None}
    assert message.to_bytes() == b''
    message.set_exception(ValueError('boom'))
    received = StatusMessage.from_bytes(message.to_bytes())
    assert not received.is_ok()
    assert received.to_dict() == {
        'code': 1,
        'description': "ValueError('boom')",
        'exception': {'name': 'ValueError', 'args': ['boom'], 'stacks': ['ValueError: boom\n'], 'executor': ''},
    }
    assert repr(received) == """<StatusMessage ERROR "ValueError('boom')">"""
    with pytest.raises(RequestTypeError, match=r'^1 bytes are no status: '):
        StatusMessage.from_bytes(b'\xff')


def test_what_utf8_can_not_express_is_escaped() -> None:
    status = StatusProto()
    fill_status(status, ValueError('lone \ud800'), 'Encoder')
    assert list(status.exception.args) == ['lone \\ud800']
    assert status.exception.executor == 'Encoder'
