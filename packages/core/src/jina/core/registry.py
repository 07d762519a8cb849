"""All Executor classes of this process by name, so that ``jtype: MyExecutor`` finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from jina.core.executor import BaseExecutor

EXECUTORS: Final[dict[str, type[BaseExecutor]]] = {}
"""Class name to class; a class that is defined again replaces the older one of its name."""


def register(executor_class: type[BaseExecutor]) -> None:
    """Makes an Executor class known by its name and by ``module.name``."""
    EXECUTORS[executor_class.__name__] = executor_class
    EXECUTORS[f'{executor_class.__module__}.{executor_class.__qualname__}'] = executor_class
