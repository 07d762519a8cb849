"""The command ``jina check``: what YAML files describe, and what is wrong with them, without starting anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jina.core import loader
from jina.core.cli import Command
from jina.core.config import (
    CheckOptions,
    DeploymentOptions,
    GatewayOptions,
    build,
    changed,
    external_addresses,
)
from jina.core.errors import JinaError
from jina.core.remote_executor import RemoteExecutor
from jina.core.stateful import check_stateful
from jina.core.yaml import LoadedYaml, LoadOverrides, load_yaml, locator
from jina.orchestrate import launcher

if TYPE_CHECKING:
    from jina.core.executor import BaseExecutor
    from jina.orchestrate.flow import Flow

_GATEWAYS = ('Gateway', 'GRPCGateway', 'HTTPGateway', 'WebSocketGateway', 'CompositeGateway')
"""Names in ``jtype`` of the gateways that the framework has itself."""
_SHOWN_ELSEWHERE = frozenset({'name', 'uses', 'needs', 'port', 'protocol', 'host', 'extra_search_paths'})
_SECRET = frozenset({'env', 'grpc_metadata', 'env_from_secret'})
"""Options whose values stay out of the output."""


class Report:
    """What was found in one file.

    Args:
        path: The file.
        context: Values of its variables.
        imports: Whether Python files may be imported.
    """

    def __init__(self, path: str, *, context: Mapping[str, Any] | None = None, imports: bool = True) -> None:
        self.path = path
        self.context = context
        self.imports = imports
        self.kind = 'document'
        self.lines: list[str] = []
        self.problems: list[str] = []

    def make(self) -> None:
        """Read the file and collect lines and problems."""
        try:
            loaded = load_yaml(self.path, context=self.context)
            kind = loaded.data.get('jtype')
            if kind == 'Flow' or (kind is None and 'executors' in loaded.data):
                self._flow()
            elif kind == 'Deployment':
                self._deployment()
            elif kind in _GATEWAYS:
                self._gateway(loaded)
            else:
                self._executor(loaded)
        except JinaError as error:
            self.problems.append(str(error))

    def _flow(self) -> None:
        self.kind = 'Flow'
        from jina.orchestrate.flow import Flow  # noqa: PLC0415 - an Executor's file needs no client

        with launcher.unprepared():
            flow = Flow.load_config(self.path, context=self.context)
        names = [name for name, _ in flow]
        self.kind = f'Flow of {len(names)} Executor{"s" * (len(names) != 1)}'
        self.lines.append(f'gateway  {_servers(flow.gateway_options)}{_settings(flow.gateway_options)}')
        executors = {}
        for name, deployment in flow:
            needs = ', '.join(deployment.needs)
            self.lines.append(f'{name}  {_uses(deployment.options)}, needs {needs}{_settings(deployment.options)}')
            executors[name] = self._of_options(deployment.options, place=f'{self.path}: Executor {name!r}: ')
        topology = flow.topology
        if topology.hanging:
            self.lines.append(f'nobody takes the results of {", ".join(topology.hanging)}')
        if not self.problems and None not in executors.values():
            self._neighbours(flow, {name: found for name, found in executors.items() if found is not None})

    def _deployment(self) -> None:
        self.kind = 'Deployment'
        from jina.orchestrate.deployment import Deployment  # noqa: PLC0415 - as above

        with launcher.unprepared():
            deployment = Deployment.load_config(self.path, context=self.context)
        options = deployment.options
        self.lines.append(f'{deployment.name}  {_uses(options)}, {_servers(options)}{_settings(options)}')
        self._of_options(options)

    def _gateway(self, loaded: LoadedYaml) -> None:
        self.kind = 'gateway'
        values = {key: value for key, value in loaded.data.items() if key not in ('jtype', 'version', 'with', 'jcloud')}
        locate = locator(loaded, (), aliases=GatewayOptions.aliases())
        options = build(GatewayOptions, values, where=loaded.where(), locate=locate)
        self.lines.append(f'{options.name}  {_servers(options)}{_settings(options)}')

    def _executor(self, loaded: LoadedYaml) -> None:
        self.kind = 'Executor'
        if self.imports:
            self._endpoints(loader.definition_of(loaded, LoadOverrides()))
        else:
            self.lines.append(str(loaded.data.get('jtype')))

    def _of_options(self, options: DeploymentOptions, place: str = '') -> BaseExecutor | None:
        """Check the Executor of a Deployment, unless it is somewhere else."""
        uses = options.uses
        remote = options.external or (isinstance(uses, str) and RemoteExecutor.parse(uses) is not None)
        if remote or not self.imports:
            return None
        overrides = LoadOverrides(
            uses_with=options.uses_with,
            uses_metas=options.uses_metas,
            uses_requests=options.uses_requests,
            uses_dynamic_batching=options.uses_dynamic_batching,
            py_modules=tuple(options.py_modules or ()),
            extra_search_paths=tuple(options.extra_search_paths),
        )
        try:
            with _environment(options.env or {}):
                executor = self._endpoints(loader.find_definition(uses, overrides))
                if options.stateful:
                    check_stateful(executor)
                return executor
        except JinaError as error:
            self.problems.append(f'{place}{error}')
            return None

    def _endpoints(self, definition: loader.Definition) -> BaseExecutor:
        executor = loader.blueprint(definition)
        for endpoint in executor.endpoints:
            schema = endpoint.schema
            stream = 'stream of ' if schema.is_generator else ''
            types = f'{schema.input_model.__name__} → {stream}{schema.output_model.__name__}'
            self.lines.append(f'  {endpoint.name}  {types}')
        return executor

    def _neighbours(self, flow: Flow, executors: Mapping[str, BaseExecutor]) -> None:
        """Check whether each Executor takes what the one before it gives, as a gateway does at its start."""
        from jina.runtime.discovery import Directory  # noqa: PLC0415 - as above

        directory = Directory(flow.topology.compile(), {}, flow.logger)
        for name, executor in executors.items():
            directory.learn(name, executor.endpoints.discovery())
        directory.check()


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """The variables that an Executor's process will have, which its YAML may name."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _uses(options: DeploymentOptions) -> str:
    if options.external:
        return f'external at {", ".join(str(address) for address in external_addresses(options))}'
    uses = options.uses
    if isinstance(uses, Mapping):
        return str(uses.get('jtype'))
    return uses.__name__ if isinstance(uses, type) else str(uses)


def _servers(options: DeploymentOptions | GatewayOptions) -> str:
    ports: list[Any] = [*options.port] or [0] * len(options.protocol)
    pairs = zip(options.protocol, ports, strict=False)
    return ', '.join(f'{protocol} on {f"port {port}" if port else "a free port"}' for protocol, port in pairs)


def _settings(options: DeploymentOptions | GatewayOptions) -> str:
    return ''.join(f', {text}' for text in _changed_settings(options))


def _changed_settings(options: DeploymentOptions | GatewayOptions) -> Iterator[str]:
    for name, value in changed(options).items():
        if name not in _SHOWN_ELSEWHERE:
            yield f'{name} {" ".join(value)}' if name in _SECRET and value else f'{name}={value!r}'


def run_check(options: CheckOptions) -> int:
    """Check files and print what they describe; the exit status is 1 if one of them is wrong."""
    wrong = False
    for path in options.paths:
        report = Report(path, context=options.context, imports=not options.no_import)
        report.make()
        verdict = f'{len(report.problems)} problem{"s" * (len(report.problems) > 1)}' if report.problems else 'valid'
        print(f'{path}: {report.kind}, {verdict}')  # noqa: T201 - the command's result
        for line in report.lines:
            print(f'  {line}')  # noqa: T201
        sys.stdout.flush()
        for problem in report.problems:
            sys.stderr.write(f'error: {problem}\n')
        wrong = wrong or bool(report.problems)
    return int(wrong)


CHECK = Command(
    name='check',
    help='Check YAML files and show what they describe, without starting it',
    options=CheckOptions,
    run=run_check,
)
