"""The logger that every part of the framework and every Executor has."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

from jina.core import environment
from jina.core.logging.configuration import check_level, read_log_config

SUCCESS = 25
"""Level between INFO and WARNING, for good news such as "ready"."""

_OWN_FRAMES = 1 if sys.version_info >= (3, 11) else 0  # older versions count from the caller of the level's method

logging.addLevelName(SUCCESS, 'SUCCESS')


class JinaLogger(logging.Logger):
    """A standard library logger with its own handlers, as a logging configuration file describes them.

    It takes no part in the global tree of loggers: it neither changes nor feeds the root logger and its handlers, and
    two loggers of one name don't share anything.

    Args:
        context: Name shown in front of each record. In a pod the pod's name (``JINA_DEPLOYMENT_NAME``) is shown instead.
        name: Name that is shown whatever the environment says.
        log_config: Name of a built-in configuration (default, docker, json, plain, profile, quiet, remote), path of a
            YAML file, or the same as a dict. ``JINA_LOG_CONFIG`` overrides it and ``JINA_LOG_LEVEL`` the level in it.
        quiet: Whether to emit nothing.
        quiet_error: Whether to leave out tracebacks.

    Raises:
        ConfigError: The configuration is invalid.
        ConfigSourceError: The configuration can't be found.
    """

    def __init__(
        self,
        context: str,
        name: str | None = None,
        *,
        log_config: str | os.PathLike[str] | Mapping[str, Any] | None = 'default',
        quiet: bool = False,
        quiet_error: bool = False,
    ) -> None:
        super().__init__(name or environment.deployment_name() or context)
        self._arguments = (context, name, log_config, quiet, quiet_error)
        self.propagate = False
        overriding = environment.log_config()
        config = read_log_config('quiet' if quiet else overriding or log_config or 'default')
        level = environment.log_level()
        if level:
            check_level(level, 'environment variable JINA_LOG_LEVEL')
        self.setLevel(level or config.level)
        self.disabled = not config.handlers
        if quiet_error:
            self.addFilter(_without_traceback)
        for handler in config.build_handlers(self.name):
            self.addHandler(handler)

    @property
    def logger(self) -> logging.Logger:
        """The standard library logger, which is this object."""
        return self

    @property
    def debug_enabled(self) -> bool:
        """Whether records of level DEBUG are emitted."""
        return self.isEnabledFor(logging.DEBUG)

    def isEnabledFor(self, level: int) -> bool:
        """Whether a record of this level would be emitted.

        Args:
            level: A level number such as ``logging.INFO``.
        """
        # The inherited one keeps a cache that logging.disable() only clears for loggers in the global tree.
        return level >= self.level and not self.disabled and self.manager.disable < level

    def success(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Emits a record of level SUCCESS.

        Args:
            msg: Text, with ``%`` fields for ``args``.
            args: Values of the fields.
            kwargs: ``exc_info``, ``extra``, ``stack_info`` and ``stacklevel`` as in the standard library.
        """
        if self.isEnabledFor(SUCCESS):
            kwargs['stacklevel'] = kwargs.get('stacklevel', 1) + _OWN_FRAMES
            self._log(SUCCESS, msg, args, **kwargs)

    def close(self) -> None:
        """Closes the handlers and removes them."""
        for handler in list(self.handlers):
            self.removeHandler(handler)
            handler.close()

    def __enter__(self) -> JinaLogger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, self._arguments


def suppress_root_handlers() -> None:
    """Removes the handlers of Python's root logger (the option ``suppress_root_logging``)."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)


def _rebuild(context: str, name: str | None, log_config: Any, quiet: bool, quiet_error: bool) -> JinaLogger:
    return JinaLogger(context, name, log_config=log_config, quiet=quiet, quiet_error=quiet_error)


def _without_traceback(record: logging.LogRecord) -> bool:
    record.exc_info = record.exc_text = record.stack_info = None
    return True
