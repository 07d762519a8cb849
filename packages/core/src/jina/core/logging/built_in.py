"""The built-in logging configurations. They are no YAML files, so that a process without a file of its own needs no PyYAML."""

from __future__ import annotations

from typing import Any, Final

_RECORD: Final = '{name}@%(process)d[%(levelname).1s]: %(message)s'

BUILT_IN: Final[dict[str, dict[str, Any]]] = {
    'default': {  # one line per record on the console: coloured columns on a terminal, plain text elsewhere
        'handlers': ['RichHandler'],
        'level': 'INFO',
        'configs': {'RichHandler': {'format': '{name}@%(process)d %(message)s', 'show_level': True, 'show_time': True}},
    },
    'docker': {  # records of an Executor in a local container, marked as such
        'handlers': ['RichHandler'],
        'level': 'INFO',
        'configs': {'RichHandler': {'format': '🐳 %(message)s', 'show_level': False, 'show_time': False}},
    },
    'json': {  # one JSON object per line
        'handlers': ['StreamHandler'],
        'level': 'INFO',
        'configs': {'StreamHandler': {'formatter': 'JsonFormatter'}},
    },
    'plain': {  # one line of plain text per record, also on a terminal
        'handlers': ['StreamHandler'],
        'level': 'INFO',
        'configs': {
            'StreamHandler': {
                'format': '{name:>15}@%(process)2d[%(levelname).1s]:%(message)s',
                'formatter': 'PlainFormatter',
            }
        },
    },
    'profile': {  # one JSON object per record whose message is a mapping of measured values; others are left out
        'handlers': ['StreamHandler'],
        'level': 'DEBUG',
        'configs': {'StreamHandler': {'formatter': 'ProfileFormatter'}},
    },
    'quiet': {'handlers': [], 'level': 'CRITICAL', 'configs': {}},
    'remote': {  # plain text to the system log
        'handlers': ['SysLogHandler'],
        'level': 'INFO',
        'configs': {'SysLogHandler': {'ident': 'jina', 'format': _RECORD, 'formatter': 'PlainFormatter'}},
    },
}
"""Configuration by name."""
