"""An Executor that takes forever to load."""

import time
from typing import Any

from jina import Executor


class Sleeper(Executor):
    """Sleeps."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        time.sleep(600)
