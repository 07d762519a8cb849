"""The commands ``jina executor`` and ``jina gateway``: one pod in the foreground, without orchestration."""

from __future__ import annotations

import os
import sys
from typing import Final

from jina.core.cli.command import Command
from jina.core.config import ExecutorOptions, GatewayOptions, refuse_container_options
from jina.core.errors import NotSupportedError
from jina.core.remote_executor import RemoteExecutor
from jina.runtime.process import remaining_threads, serve

_LINGER_S: Final = 1.0
"""Whoever ends a process of its own, a cluster for example, has others in its place, and clients that go on there."""


def run_executor(options: ExecutorOptions) -> int:
    """Serves one Executor, or the head of shards that run elsewhere, until a signal.

    Raises:
        NotSupportedError: Several replicas are asked for, unless they are stateful, each with a process of its own; or what is for a
            head is given to an Executor.
    """
    if options.replicas > 1 and not options.stateful:
        raise NotSupportedError(
            f'jina executor runs one process and replicas is {options.replicas}', hint='use jina deployment'
        )
    for name in () if options.is_head else ('uses_before_address', 'uses_after_address'):
        if getattr(options, name) is not None:
            raise NotSupportedError(f'{name} is for a head', hint='give it to the process with --pod-role HEAD')
    return _serve(options)


def run_gateway(options: GatewayOptions) -> int:
    """Serves a gateway in front of Executors that run elsewhere, until a signal.

    Raises:
        NotSupportedError: Several replicas are asked for.
    """
    if options.replicas > 1:
        raise NotSupportedError(
            f'jina gateway runs one process and replicas is {options.replicas}',
            hint='start it several times behind a load balancer, or use a Flow',
        )
    if options.restart != 'no':
        raise NotSupportedError(
            f'jina gateway runs one process and restart is {options.restart!r}',
            hint='let the service manager restart it',
        )
    return _serve(options)


def _serve(options: ExecutorOptions | GatewayOptions) -> int:
    uses = options.uses
    if not (isinstance(uses, str) and '\n' not in uses and RemoteExecutor.parse(uses)):  # which is refused as such
        refuse_container_options(options)
    status = serve(options, on_ready=lambda _: None, linger_s=_LINGER_S)
    if remaining_threads():
        # Threads that an Executor left behind must not keep a stopped process alive.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


EXECUTOR = Command(
    name='executor',
    help='Serve one Executor.',
    options=ExecutorOptions,
    run=run_executor,
)
GATEWAY = Command(
    name='gateway',
    help='Serve a gateway in front of running Executors.',
    options=GatewayOptions,
    run=run_gateway,
    hidden=True,
)
