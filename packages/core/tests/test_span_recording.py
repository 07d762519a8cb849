"""The span of a caller, and the change of contexts around a method."""

from __future__ import annotations

from typing import Any

import pytest
from jina.core.span_recording import RECORDED, SPAN_KEY, CallerSpan, context_switch
from jina.core.trace_headers import CHECKED_PARENT, PARENT, PARENT_FORM
from opentelemetry import context
from opentelemetry.context import Context, get_current
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.trace import get_current_span


class OwnContexts(ContextVarsRuntimeContext):
    """Stands for what ``OTEL_PYTHON_CONTEXT`` names."""

    def __init__(self) -> None:
        super().__init__()
        self.attached: list[Context] = []

    def attach(self, context: Context) -> Any:
        self.attached.append(context)
        return super().attach(context)


@pytest.mark.parametrize('own', [None, OwnContexts()])
def test_a_context_is_current_until_it_is_taken_back(monkeypatch: pytest.MonkeyPatch, own: OwnContexts | None) -> None:
    if own is not None:
        monkeypatch.setattr(context, '_RUNTIME_CONTEXT', own)
    attach, detach = context_switch()
    before, inside = get_current(), Context({'a': 1})
    token = attach(inside)
    assert get_current() == inside
    detach(token)
    assert get_current() == before
    assert own is None or own.attached == [inside]


def test_a_key_that_says_that_the_value_was_checked() -> None:
    assert CHECKED_PARENT == PARENT and CHECKED_PARENT is not PARENT


@pytest.mark.parametrize('flags', [f'{number:02x}' for number in range(16)])
def test_the_last_character_says_whether_a_trace_is_recorded(flags: str) -> None:
    header = f'00-{"4b" * 16}-{"0f" * 8}-{flags}'
    assert PARENT_FORM.fullmatch(header)
    found = get_current_span(Context({SPAN_KEY: CallerSpan(header)})).get_span_context()
    assert found.is_valid and found.is_remote
    assert found.trace_flags.sampled == (header[-1] in RECORDED)
