"""Replacing a process that clients have connections to by another one, at the same ports and with no request lost."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from jina.core.errors import TerminatedError
from jina.orchestrate.pod import Pod, close_pods, wait_ready

ANSWER_MARGIN_S: Final = 10.0
"""A process has so many seconds to answer a command, beside those that it has for what is asked for."""
_SHARE_S: Final = 30.0


def take_over(
    old: Pod,
    launch: Callable[[], Pod],
    put: Callable[[Pod], object],
    *,
    limit: float | None,
    grace: float,
    end_grace: float | None = None,
) -> None:
    """Start a process that listens beside another one, and have that one leave as soon as the new one is ready.

    Args:
        old: The process that leaves. It may have ended.
        launch: Starts the new one.
        put: Puts the new one, which is ready, in the place of the old one.
        limit: Seconds until the new one is ready; None for no limit.
        grace: Seconds that the old one has for its last requests.
        end_grace: Seconds that it has for its end then; by default the same.

    Raises:
        NotSupportedError: The old one can't share its ports.
        StartupError: The new one failed to start; the old one goes on.
    """
    if old.is_ready:
        old.command(do='share_port').result(_SHARE_S)
    new = launch()
    try:
        wait_ready([new], limit)
        put(new)
    except BaseException:
        close_pods([new], grace)
        raise
    leave([old], grace, end_grace)


def leave(pods: Sequence[Pod], grace: float, end_grace: float | None = None) -> None:
    """Have processes answer what they have, while others at their ports get what comes, and close them.

    Args:
        pods: The processes.
        grace: Seconds that they have for their last requests.
        end_grace: Seconds that they have for their end then; by default the same.
    """
    answers = []
    for pod in pods:
        with contextlib.suppress(TerminatedError):  # it has ended by itself
            answers.append(pod.command(do='leave', grace=grace))
    done, _ = concurrent.futures.wait(answers, grace + ANSWER_MARGIN_S)
    close_pods(pods, grace if end_grace is None else end_grace)
    for answer in done:
        with contextlib.suppress(TerminatedError):
            answer.result()
