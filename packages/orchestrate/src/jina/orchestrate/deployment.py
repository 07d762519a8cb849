"""``Deployment``: the processes of one Executor."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from jina.client import Client
from jina.client.signatures import SyncCalls
from jina.core.config import (
    DeploymentOptions,
    GatewayOptions,
    PodAddress,
    build,
    changed,
    check_batching,
    external_addresses,
    merge_batching,
    unknown_option,
)
from jina.core.enums import PodRoleType, ProtocolType
from jina.core.errors import ConfigError, NotStartedError
from jina.core.logging import JinaLogger
from jina.core.topology import Node, Topology
from jina.core.yaml import LoadedYaml, LoadOverrides, YamlObject
from jina.orchestrate import banner, launcher
from jina.orchestrate.export import ExportMixin
from jina.orchestrate.exposing import ExposeMixin, writable_routes
from jina.orchestrate.lifecycle import Orchestrator
from jina.orchestrate.pod import Pod, close_pods, wait_ready
from jina.orchestrate.server import referenced_classes, run_server, server_modules

if TYPE_CHECKING:
    from typing_extensions import Self

_DOCUMENT_KEYS = ('jtype', 'version', 'with')


class Deployment(YamlObject, SyncCalls, ExportMixin, ExposeMixin, Orchestrator):
    """Serves one Executor, with as many processes as ``replicas`` asks for.

    With one replica the Executor's own process listens on the public port. Several replicas stand behind a gateway process
    that gives each request to the one with the least work; with ``include_gateway=False`` they all listen on the public port
    themselves, and the system gives each connection to one of them.

    Args:
        kwargs: Options of a Deployment, see :class:`jina.core.config.DeploymentOptions`; the most used are ``uses``,
            ``port``, ``protocol``, ``replicas`` and ``name``.

    Raises:
        ConfigError: An option doesn't exist, has a wrong value or isn't available in this version.

    >>> from jina import Deployment
    >>> with Deployment(replicas=2) as deployment:
    ...     deployment.is_deployment_ready()
    True
    """

    kind: ClassVar[str] = 'Deployment'

    def __init__(self, **kwargs: Any) -> None:
        launcher.prepare()  # it starts while the options are read
        self._set_up(build(DeploymentOptions, kwargs, where='Deployment'))
        launcher.prepare(server_modules(self.options.protocol))

    @classmethod
    def of_options(cls, options: DeploymentOptions) -> Deployment:
        """Make a Deployment of checked options, without preparing for its start."""
        deployment = cls.__new__(cls)
        deployment._set_up(options)
        return deployment

    @classmethod
    def _in_flow(cls, options: DeploymentOptions) -> Deployment:
        deployment = cls.__new__(cls)
        deployment._set_up(options, standalone=False)
        return deployment

    def _set_up(self, options: DeploymentOptions, *, standalone: bool = True) -> None:
        Orchestrator.__init__(self)
        self.options = options
        """All options, with their defaults."""
        self._standalone = standalone
        self._workers: list[Pod] = []
        self._gateway: Pod | None = None

    @cached_property
    def logger(self) -> JinaLogger:
        """Logger of the Deployment; made when it is needed, since each ``add`` copies all Deployments of a Flow."""
        options = self.options
        return JinaLogger(
            self.name, log_config=options.log_config, quiet=options.quiet, quiet_error=options.quiet_error
        )

    @property
    def name(self) -> str:
        """Name of the Deployment."""
        return self.options.name or 'executor'

    @property
    def external(self) -> bool:
        """Whether the Executor runs elsewhere."""
        return self.options.external

    def start(self) -> Self:
        """The same as :meth:`Orchestrator.start`.

        Raises:
            ConfigError: An option means something in a Flow only.
        """
        for name in ('when', 'floating'):
            if getattr(self.options, name):
                raise ConfigError(f'{self._title()} has {name}', hint=f'give {name} to an Executor of a Flow')
        return super().start()

    @property
    def uses(self) -> str:
        """The Executor in words: the name of its class, its path, or its image."""
        uses = self.options.uses
        if isinstance(uses, dict):
            uses = uses.get('jtype', 'BaseExecutor')
        return uses.__name__ if isinstance(uses, type) else str(uses)

    @property
    def replicas(self) -> int:
        """Number of processes that share the requests."""
        return self.options.replicas

    @property
    def needs(self) -> list[str]:
        """Names of the Deployments whose results it gets."""
        return list(self.options.needs or ())

    @property
    def grpc_metadata(self) -> dict[str, str] | None:
        """gRPC metadata that is sent with every call to this Executor."""
        return self.options.grpc_metadata

    @property
    def protocol(self) -> Any:
        """The protocol that it speaks, or a list if there are several."""
        return _single([str(protocol) for protocol in self.options.protocol])

    @property
    def tls_enabled(self) -> bool:
        """Whether the external Executor is called with TLS."""
        return self.options.tls

    @property
    def host(self) -> Any:
        """Address that it listens on; of an external Executor the address that it runs at, or a list."""
        if self.external:
            return _single([address.host for address in external_addresses(self.options)])
        return self.options.host[0]

    @property
    def port(self) -> Any:
        """Port that it listens on, or a list with one for each protocol; None while a free one is still to be found."""
        if self.external:
            return _single([address.port for address in external_addresses(self.options)])
        known = [address.port for address in self.public_addresses] or [port for port in self.options.port if port]
        return _single(known) if known else None

    @property
    def hosts(self) -> list[str]:
        """Host of each replica."""
        return [address.host for address in self.replica_addresses]

    @property
    def ports(self) -> list[int]:
        """gRPC port of each replica, or its first port if it speaks no gRPC."""
        return [address.port for address in self.replica_addresses]

    @property
    def replica_addresses(self) -> list[PodAddress]:
        """Where the replicas answer; empty before the start, unless they are external."""
        if self.external:
            return external_addresses(self.options)
        return [_preferred(pod.ready.result()) for pod in self._workers if pod.is_ready]

    @property
    def public_addresses(self) -> list[PodAddress]:
        """Where clients reach it; empty before the start, unless it is external."""
        if self._gateway is not None:
            return self._gateway.ready.result() if self._gateway.is_ready else []
        if self.external:
            return external_addresses(self.options)
        if self._shares_port():
            return next((pod.ready.result() for pod in self._workers if pod.is_ready), [])
        if self._standalone or len(self._workers) == 1:
            return [address for pod in self._workers if pod.is_ready for address in pod.ready.result()]
        return self.replica_addresses

    @property
    def address_private(self) -> str:
        """Address of this machine in its network."""
        return banner.private_address()

    @property
    def address_public(self) -> None:
        """Always None: the public address is never looked up, because that would ask a server on the internet."""
        return None

    @property
    def num_pods(self) -> int:
        """Number of running processes."""
        return sum(pod.is_alive for pod in self.pods)

    @property
    def pods(self) -> list[Pod]:
        """All processes that were started, the gateway first."""
        return [*([self._gateway] if self._gateway else []), *self._workers]

    @property
    def is_ready(self) -> bool:
        """Whether all processes run and answer."""
        return self.external or (bool(self._workers) and all(pod.is_ready for pod in self.pods))

    @property
    def client(self) -> Any:
        """A client of this Deployment.

        Raises:
            NotStartedError: The port isn't known before the start.
        """
        return self._cached_client(lambda: make_client(self, self.public_addresses, self.options.port))

    def is_deployment_ready(self, timeout: float | None = 5.0) -> Any:
        """Whether it answers requests; False before the start and after the end.

        Args:
            timeout: Seconds to wait for an answer; None for no limit.
        """
        if not self.external and not self.is_ready:
            return False
        return self.client.is_deployment_ready(timeout)

    def launch(self) -> None:
        """Start the processes of the replicas without waiting for them, except for the first if they share its port.

        Raises:
            StartupError: The first one failed.
            ConfigError: The Executor class can't be sent to another process.
        """
        if self.external:
            return
        self._workers = []
        classes = referenced_classes(self.options)
        first, *others = self.replica_options()
        self._launch_replica(first, classes)
        if self._shares_port():
            wait_ready(self._workers, self.ready_timeout)
            # The others join the first one's ports, which are known only now.
            ports = [address.port for address in self.public_addresses]
            others = [option.model_copy(update={'port': ports}) for option in others]
        for option in others:
            self._launch_replica(option, classes)

    def join(self) -> None:
        """Wait until all processes have ended; Ctrl-C ends the wait."""
        try:
            for pod in self.pods:
                pod.wait()
        except KeyboardInterrupt:
            return

    @property
    def ready_timeout(self) -> float | None:
        """Seconds to wait for the start; None for no limit."""
        return None if self.options.timeout_ready < 0 else self.options.timeout_ready / 1000

    def _exposed(self) -> Mapping[str, Any]:
        return self.options.expose_endpoints or {}

    def _expose(self, routes: dict[str, dict[str, Any]]) -> None:
        self.options = self.options.model_copy(update={'expose_endpoints': routes})

    def _title(self) -> str:
        return f'Deployment {self.name!r}'

    def _noblock(self) -> bool:
        return self.options.noblock_on_start

    def _start(self) -> None:
        self._gateway = None
        self.launch()
        wait_ready(self._workers, self.ready_timeout)
        if self.needs_gateway:
            self._gateway = self._pod('gateway/rep-0', self.gateway_options(), [])
            self._gateway.start()
            wait_ready([self._gateway], self.ready_timeout)
        if self._standalone and not self.options.quiet and not self.external:
            banner.show(self.kind, self.public_addresses)

    def _close(self, grace: float) -> None:
        if self._gateway is not None:
            close_pods([self._gateway], grace / 2)
        close_pods(self._workers, grace / 2 if self._gateway else grace)

    def _running_pods(self) -> list[Pod]:
        return self.pods

    @property
    def needs_gateway(self) -> bool:
        """Whether a gateway process stands in front of the replicas."""
        if not self._standalone:
            return False
        if self.external:
            return len(external_addresses(self.options)) > 1 or bool(self.options.grpc_metadata)
        return self.options.replicas > 1 and not self._shares_port()

    def _shares_port(self) -> bool:
        """Whether the replicas listen on the public port themselves."""
        return self._standalone and not self.external and self.options.shares_port

    def replica_options(self) -> list[DeploymentOptions]:
        """Options of each process."""
        options = self.options
        if options.replicas == 1:
            return [options]
        if self._shares_port():
            return [options.model_copy(update={'replica_id': number}) for number in range(options.replicas)]
        hidden = {**_PUBLIC_ONLY, 'port': [], 'protocol': [ProtocolType.GRPC], 'include_gateway': True}
        return [options.model_copy(update={**hidden, 'replica_id': number}) for number in range(options.replicas)]

    def _launch_replica(self, options: DeploymentOptions, classes: list[type]) -> None:
        pod = self._pod(options.runtime_name, options, classes)
        self._workers.append(pod)
        pod.start()

    def _pod(self, name: str, options: DeploymentOptions | GatewayOptions, classes: list[type]) -> Pod:
        return Pod(
            name,
            run_server,
            (options, classes),
            env=pod_environment(options),
            owner=self._title(),
            logger=self.logger,
        )

    def gateway_options(self) -> GatewayOptions:
        """Options of the gateway in front of the replicas."""
        own = self.options
        shared = {name: getattr(own, name) for name in _SHARED_WITH_GATEWAY}
        return GatewayOptions.model_construct(
            **{
                **_defaults(GatewayOptions),
                **shared,
                'pod_role': PodRoleType.HEAD,
                'port': [] if self.external else own.port,
                'protocol': [ProtocolType.GRPC] if self.external else own.protocol,
                'host': '127.0.0.1' if self.external else own.host[0],
                'graph_description': Topology([Node(self.name)]).description(),
                'deployments_addresses': {self.name: gateway_addresses(self)},
                'deployments_metadata': {self.name: own.grpc_metadata} if own.grpc_metadata else {},
            }
        )

    @classmethod
    def from_config(cls, loaded: LoadedYaml, overrides: LoadOverrides) -> Deployment:
        """Make a Deployment from a document; called by ``load_config``."""
        values = deployment_values(loaded.data, where=loaded.label)
        values.update(overrides.arguments)
        apply_overrides(values, overrides, loaded)
        return cls(**{key: value for key, value in values.items() if value is not None})

    def to_config(self) -> dict[str, Any]:
        """The document that describes this Deployment."""
        return {'jtype': 'Deployment', 'version': '1', 'with': document_values(self.options)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Deployment) and self.name == other.name and self.options == other.options

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f'<Deployment {self.name!r}{" (running)" if self._is_running() else ""}>'


_PUBLIC_ONLY: dict[str, Any] = {
    'no_debug_endpoints': False,
    'no_crud_endpoints': False,
    'expose_endpoints': None,
    'expose_graphql_endpoint': False,
    'uvicorn_kwargs': None,
}
"""Options of the public server that replicas behind a gateway don't have."""
_SHARED_WITH_GATEWAY = (
    'timeout_ctrl',
    'log_config',
    'quiet',
    'quiet_error',
    'env',
    'timeout_ready',
    'timeout_send',
    'retries',
    'compression',
    'grpc_server_options',
    'grpc_channel_options',
    'title',
    'description',
    'cors',
    'no_debug_endpoints',
    'no_crud_endpoints',
    'expose_endpoints',
    'expose_graphql_endpoint',
    'uvicorn_kwargs',
    'workspace',
    'reload',
)


def make_client(orchestrator: Any, addresses: list[PodAddress], ports: list[int]) -> Any:
    """A client with the options of ``client_arguments``.

    Raises:
        NotStartedError: The port isn't known.
    """
    return Client(**client_arguments(orchestrator, addresses, ports))


def client_arguments(orchestrator: Any, addresses: list[PodAddress], ports: list[int]) -> dict[str, Any]:
    """Options of a client for the first of the addresses, or, before the start, for the port that was asked for.

    Raises:
        NotStartedError: Neither is known.
    """
    options = orchestrator.options
    settings = {name: getattr(options, name) for name in ('asyncio', 'reuse_session') if hasattr(options, name)}
    if addresses:
        first = addresses[0]
        host = '127.0.0.1' if first.host in ('0.0.0.0', '::', '') else first.host
        return {'host': host, 'port': first.port, 'protocol': first.protocol, 'tls': first.tls, **settings}
    if not ports or not ports[0]:
        name = orchestrator.kind
        raise NotStartedError(
            f'{name} is not started', hint=f'use it in a with statement, or call start(), or give {name} a port'
        )
    protocols = orchestrator.protocols if hasattr(orchestrator, 'protocols') else options.protocol
    return {'host': '127.0.0.1', 'port': ports[0], 'protocol': protocols[0], **settings}


def gateway_addresses(deployment: Deployment) -> list[str]:
    """The replicas as a gateway gets them: ``host:port``, with a scheme if TLS is wanted."""
    return [str(address) if address.tls else address.target for address in deployment.replica_addresses]


def pod_environment(options: DeploymentOptions | GatewayOptions) -> dict[str, str]:
    """Environment variables that a pod gets beside the parent's."""
    environ = {name: str(value) for name, value in (options.env or {}).items()}
    if options.quiet:
        environ.setdefault('JINA_LOG_CONFIG', 'QUIET')
    return environ


def deployment_values(document: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Options of a Deployment in a document: its top-level keys and those of ``with``.

    Raises:
        ConfigError: A key stands in both places, or ``with`` isn't a mapping.
    """
    inner = document.get('with') or {}
    if not isinstance(inner, Mapping):
        raise ConfigError(f'{where}: with is {inner!r}', hint='give a mapping of options')
    outer = {key: value for key, value in document.items() if key not in _DOCUMENT_KEYS}
    known = {*DeploymentOptions.model_fields, *DeploymentOptions.aliases()}
    for key in outer:
        if key not in known:
            raise unknown_option(str(key), known | {'with', 'jtype', 'version'}, where=where)
        if key in inner:
            raise ConfigError(f'{where}: {key!r} stands at the top level and in with', hint='give it once')
    return {**outer, **inner}


def apply_overrides(values: dict[str, Any], overrides: LoadOverrides, loaded: LoadedYaml) -> None:
    """Put what the caller of ``load_config`` gave on top of what the document says."""
    for name in ('uses_with', 'uses_metas', 'uses_requests'):
        given = getattr(overrides, name)
        if given:
            values[name] = {**(values.get(name) or {}), **given}
    if overrides.uses_dynamic_batching:
        values['uses_dynamic_batching'] = merge_batching(
            check_batching(values.get('uses_dynamic_batching') or {}, 'uses_dynamic_batching'),
            check_batching(overrides.uses_dynamic_batching, 'uses_dynamic_batching'),
        )
    if overrides.py_modules:
        values['py_modules'] = [*_as_list(values.get('py_modules')), *overrides.py_modules]
    add_search_paths(values, overrides, loaded)
    if overrides.needs is not None:
        values['needs'] = list(overrides.needs)
    if overrides.noblock_on_start:
        values['noblock_on_start'] = True
    if not overrides.include_gateway:
        values['include_gateway'] = False


def add_search_paths(values: dict[str, Any], overrides: LoadOverrides, loaded: LoadedYaml) -> None:
    """Look for relative paths in the folder of the document too."""
    folders = [os.fspath(loaded.directory)] if loaded.directory else []
    paths = [*_as_list(values.get('extra_search_paths')), *overrides.extra_search_paths, *folders]
    if paths:
        values['extra_search_paths'] = list(dict.fromkeys(paths))


def document_values(options: DeploymentOptions | GatewayOptions) -> dict[str, Any]:
    """The options that differ from their defaults, as YAML can hold them: a class becomes its name or import path."""
    values = changed(options)
    uses = values.get('uses')
    if isinstance(uses, type):
        values['uses'] = uses.__name__ if uses.__module__ == '__main__' else f'{uses.__module__}.{uses.__qualname__}'
    if 'expose_endpoints' in values:
        values['expose_endpoints'] = writable_routes(values['expose_endpoints'])
    return values


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def _single(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _preferred(addresses: list[PodAddress]) -> PodAddress:
    return next((address for address in addresses if address.protocol is ProtocolType.GRPC), addresses[0])


def _defaults(model: type[GatewayOptions]) -> dict[str, Any]:
    return {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in model.model_fields.items()
    }
