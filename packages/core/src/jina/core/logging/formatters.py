"""Formatters that logging configurations may name."""

from __future__ import annotations

import json
import logging
import re
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


class PlainFormatter(logging.Formatter):
    """Text by a format string, without the control sequences of terminals."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the text of a record.

        Args:
            record: The record.
        """
        return _CONTROL_SEQUENCE.sub('', super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object per record, with sorted keys; ``msg`` is the message with its arguments filled in.

    A traceback is the text under ``exc_info``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Returns the JSON of a record.

        Args:
            record: The record.
        """
        fields = {name: getattr(record, name) for name in _JSON_FIELDS}
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
