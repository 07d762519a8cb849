"""Logging of the framework's processes: `JinaLogger` and its configuration files."""

from jina.core.logging.logger import SUCCESS, JinaLogger, suppress_root_handlers

__all__ = ['SUCCESS', 'JinaLogger', 'suppress_root_handlers']
