"""Formatters that logging configurations may name."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping

_CONTROL_SEQUENCE = re.compile(r'\x1b\[[0-9;?]*[ -/]*[@-~]')
_JSON_FIELDS = (
    'created',
    'filename',
    'funcName',
    'levelname',
    'lineno',
    'module',
    'name',
    'pathname',
    'process',
    'processName',
    'thread',
    'threadName',
)
_PROFILE_FIELDS = ('created', 'module', 'name', 'process', 'thread')


def trace_of(record: logging.LogRecord) -> dict[str, str]:
    """Returns ``trace_id`` and ``span_id`` of the span in which a record was made; nothing outside of spans.

    Args:
        record: The record; attributes of these names, given as ``extra``, come first.
    """
    given = {name: getattr(record, name, None) for name in ('trace_id', 'span_id')}
    if given['trace_id']:
        return {name: str(value) for name, value in given.items() if value}
    tracing = sys.modules.get('opentelemetry.trace')  # not loaded: there are no spans
    context = tracing.get_current_span().get_span_context() if tracing is not None else None
    if context is None or not context.is_valid:
        return {}
    return {'trace_id': f'{context.trace_id:032x}', 'span_id': f'{context.span_id:016x}'}


class TextFormatter(logging.Formatter):
    """Text by a format string; inside of a span it ends with the trace."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Returns the text of a record without its traceback.

        Args:
            record: The record.
        """
        ids = ' '.join(f'{name}={value}' for name, value in trace_of(record).items())
        text = super().formatMessage(record)
        return f'{text} [{ids}]' if ids else text


class PlainFormatter(TextFormatter):
    """Text by a format string, without the control sequences of terminals."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the text of a record.

        Args:
            record: The record.
        """
        return _CONTROL_SEQUENCE.sub('', super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object per record, with sorted keys; ``msg`` is the message with its arguments filled in.

    A traceback is the text under ``exc_info``. Inside of a span there are ``trace_id`` and ``span_id`` too.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Returns the JSON of a record.

        Args:
            record: The record.
        """
        fields = {name: getattr(record, name) for name in _JSON_FIELDS} | trace_of(record)
        fields['msg'] = _CONTROL_SEQUENCE.sub('', record.getMessage())
        if record.exc_info:
            fields['exc_info'] = self.formatException(record.exc_info)
        return json.dumps(fields, sort_keys=True, default=str)


class ProfileFormatter(logging.Formatter):
    """One JSON object per record whose message is a mapping: its items, and when and where they were measured."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the JSON of a record.

        Args:
            record: The record; `accepts` must hold for it.
        """
        measured = record.msg if isinstance(record.msg, Mapping) else {}
        fields = {name: getattr(record, name) for name in _PROFILE_FIELDS} | dict(measured)
        return json.dumps(fields, sort_keys=True, default=str)

    @staticmethod
    def accepts(record: logging.LogRecord) -> bool:
        """Whether a record holds measured values.

        Args:
            record: The record.
        """
        return isinstance(record.msg, Mapping)


FORMATTERS: dict[str, type[logging.Formatter]] = {
    'JsonFormatter': JsonFormatter,
    'PlainFormatter': PlainFormatter,
    'ProfileFormatter': ProfileFormatter,
}
"""Formatters by the name that configurations use."""
