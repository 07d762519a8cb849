"""``Deployment``: the processes of one Executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from jina.client.signatures import SyncCalls
from jina.core.config import (
    DeploymentOptions,
    GatewayOptions,
    PodAddress,
    PodOptions,
    RestartPolicy,
    api_keys_of,
    build,
    external_addresses,
)
from jina.core.enums import ProtocolType
from jina.core.errors import ConfigError
from jina.core.logging import JinaLogger, suppress_root_handlers
from jina.core.yaml import LoadedYaml, LoadOverrides, YamlObject
from jina.orchestrate import banner, deployment_yaml, launcher
from jina.orchestrate.container import container_pod
from jina.orchestrate.container_plan import ContainerPlan, check_containers, image_of
from jina.orchestrate.export import ExportMixin
from jina.orchestrate.exposing import ExposeMixin
from jina.orchestrate.lifecycle import Orchestrator
from jina.orchestrate.own_client import make_client
from jina.orchestrate.pod import Pod, close_in_order, wait_ready
from jina.orchestrate.pod_options import (
    around_options,
    gateway_options,
    head_options,
    pod_environment,
    replica_options,
    with_ports,
)
from jina.orchestrate.restarts import RestartPlan
from jina.orchestrate.rolling_restart import DeploymentRestartMixin
from jina.orchestrate.scaling import ScalingMixin
from jina.orchestrate.server import referenced_classes, run_server, server_modules
from jina.orchestrate.stateful import choose_peers

if TYPE_CHECKING:
    from typing_extensions import Self


class Deployment(YamlObject, SyncCalls, ExportMixin, ExposeMixin, ScalingMixin, DeploymentRestartMixin, Orchestrator):
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
    _configuration = ('options', 'logger')

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
        if options.suppress_root_logging:
            suppress_root_handlers()
        self._standalone = standalone
        self._shards: list[list[Pod]] = []
        self._peers: list[list[str]] = []
        self._around: dict[str, Pod] = {}
        self._head: Pod | None = None
        self._gateway: Pod | None = None
        self._started_shared: bool | None = None
        self._called_from_container = False
        self._gateways: Callable[[], list[Pod]] = lambda: [self._gateway] if self._gateway else []

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
        """Number of processes that share the requests, of each shard."""
        return self.options.replicas

    @property
    def shards(self) -> int:
        """Number of parts that the data is divided into."""
        return self.options.shards

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
        """Host of each replica; with shards, of the head."""
        return [address.host for address in self.entry_addresses]

    @property
    def ports(self) -> list[int]:
        """gRPC port of each replica, or its first port if it speaks no gRPC; with shards, of the head."""
        return [address.port for address in self.entry_addresses]

    @property
    def head_host(self) -> str | None:
        """Host of the head; None if there is none, or before the start."""
        return self.entry_addresses[0].host if self._head and self.entry_addresses else None

    @property
    def head_port(self) -> int | None:
        """Port of the head; None if there is none, or before the start."""
        return self.entry_addresses[0].port if self._head and self.entry_addresses else None

    @property
    def replica_addresses(self) -> list[PodAddress]:
        """Where the replicas answer, shard by shard; empty before the start, unless they are external."""
        if self.external:
            return external_addresses(self.options)
        return [_preferred(addresses) for addresses in self._known(self._workers)]

    @property
    def entry_addresses(self) -> list[PodAddress]:
        """Where a gateway reaches it: its head, or else its replicas."""
        if self.options.needs_head:
            return [_preferred(addresses) for addresses in self._known([self._head] if self._head else [])]
        return self.replica_addresses

    @property
    def shard_addresses(self) -> list[list[str]]:
        """The replicas of each shard as a head gets them."""
        return [[_preferred(addresses).target for addresses in self._known(pods)] for pods in self._shards]

    @property
    def restarts(self) -> dict[str, int]:
        """How often each process was started again after it ended by itself, by its name."""
        return {pod.name: pod.restarts for pod in self.pods}

    @staticmethod
    def _known(pods: Sequence[Pod]) -> list[list[PodAddress]]:
        return [pod.addresses for pod in pods if pod.addresses]

    @property
    def _workers(self) -> list[Pod]:
        return [pod for shard in self._shards for pod in shard]

    @property
    def public_addresses(self) -> list[PodAddress]:
        """Where clients reach it; empty before the start, unless it is external."""
        front = self._gateway or self._head
        if front is not None:
            return front.addresses
        if self.external:
            return external_addresses(self.options)
        if self.shares_port:
            return next(iter(self._known(self._workers)), [])
        if self._standalone or len(self._workers) == 1:
            return next(iter(self._known(self._workers)), [])
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
        """All processes that were started: gateway, head, those around the shards, and the replicas."""
        fronts = [pod for pod in (self._gateway, self._head) if pod is not None]
        return [*fronts, *self._around.values(), *self._workers, *self._joining]

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
        self._shards, self._around, self._head, self._joining = [], {}, None, []
        self._started_shared = None
        if self.external:
            return
        check_containers(self.options, is_public=self._standalone)
        classes = referenced_classes(self.options)
        shares = self._started_shared = self.shares_port
        self._peers = choose_peers(self.options)
        for shard in range(self.options.shards):
            options = self.replica_options(shard)
            self._shards.append(
                [self.launch_replica(option, classes) for option in (options[:1] if shares else options)]
            )
        for around in around_options(self.options):
            self._around[around.around] = self.launch_replica(around, referenced_classes(around))
        if shares:
            wait_ready(self._workers, self.ready_timeout)
            # The others join the first one's ports, which are known only now.
            for option in options[1:]:
                self._shards[0].append(self.launch_replica(with_ports(option, self.public_addresses), classes))

    def gateways(self) -> list[Pod]:
        """The gateways that send requests here: those of a Flow, or that of the Deployment."""
        return self._gateways()

    def is_behind(self, gateways: Callable[[], list[Pod]], *, in_container: bool = False) -> None:
        """Note which gateways of a Flow send requests here.

        Args:
            gateways: Gives their processes.
            in_container: They are in a container with a network of its own.
        """
        self._gateways = gateways
        self._called_from_container = in_container and not self.options.needs_head

    def told_of_replicas(self) -> list[Pod]:
        """The processes that share requests out to the replicas."""
        if self._head is not None:
            return [self._head]
        sharer = self._sharer
        return self.gateways() if sharer is None else [sharer]

    def news_of_replicas(self) -> dict[str, Any]:
        """What they are told."""
        shards = self.shard_addresses
        if self._sharer is not None:
            return {'do': 'share', 'addresses': shards[0][1:]}
        return {'do': 'reconnect', 'name': self.name, 'addresses': shards if self._head is not None else shards[0]}

    def news_of_entry(self) -> dict[str, Any]:
        """What the gateways of a Flow are told when the head changes."""
        return {'do': 'reconnect', 'name': self.name, 'addresses': gateway_addresses(self)}

    @property
    def is_public(self) -> bool:
        """Whether clients call it, and not the gateway of a Flow."""
        return self._standalone

    @property
    def is_called_itself(self) -> bool:
        """Whether clients have connections to a replica, and not to a process in front."""
        return self._sharer is not None or self.shares_port

    @property
    def _sharer(self) -> Pod | None:
        """The replica that clients call itself, and that shares requests out to the others when there are more."""
        fronts = self._gateway or self._head or self.shares_port
        return self._shards[0][0] if self._standalone and self._shards and not fronts else None

    def _tell_again(self) -> None:
        sharer = self._sharer
        if sharer is not None and self.options.replicas > 1:
            sharer.command(**self.news_of_replicas(), grace=0.0)

    def launch_head(self) -> list[Pod]:
        """Start the head, if there is to be one, when the processes behind it are ready; it isn't waited for.

        Returns:
            The process, or nothing.

        Raises:
            StartupError: It can't be started.
        """
        if self.external or not self.options.needs_head:
            return []
        self._head = self.launch_head_of(self.head_options())
        return [self._head]

    def launch_head_of(self, options: DeploymentOptions) -> Pod:
        """Start a head without waiting for it."""
        pod = self._pod(options, [], lambda addresses: with_ports(self.head_options(), addresses))
        pod.start()
        return pod

    def launch_gateway(self, options: GatewayOptions) -> Pod:
        """Start a gateway in front of the replicas without waiting for it."""
        pod = self._pod(options, [], lambda addresses: with_ports(self.gateway_options(), addresses))
        pod.start()
        return pod

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

    def _log(self) -> JinaLogger:
        return self.logger

    def _follows_yaml(self) -> bool:
        return self.options.reload

    def _graceful_shutdown_s(self) -> float:
        return self.options.graceful_shutdown_s

    def _noblock(self) -> bool:
        return self.options.noblock_on_start

    def _start(self) -> None:
        self._gateway = None
        check_protection(self.options)
        self.launch()
        wait_ready([*self._around.values(), *self._workers], self.ready_timeout)
        wait_ready(self.launch_head(), self.ready_timeout)
        if self.needs_gateway:
            self._gateway = self.launch_gateway(self.gateway_options())
            wait_ready([self._gateway], self.ready_timeout)
        count = 1 + (self._gateway is not None)
        self.logger.debug('%d Deployments (i.e. %d Pods) are running in this Deployment', count, self.num_pods)

    def _announce(self) -> None:
        if self._standalone and not self.options.quiet and not self.external:
            banner.show(self.kind, self.public_addresses, [self.options])

    def _close(self, grace: float) -> None:
        fronts = [pod for pod in (self._gateway, self._head) if pod is not None]
        if self._sharer is not None and len(self._workers) > 1:
            fronts.append(self._sharer)
        close_in_order(fronts, [pod for pod in self.pods if pod not in fronts], grace)

    def _take(self, configuration: Mapping[str, Any], addresses: Sequence[PodAddress]) -> None:
        vars(self).update(configuration)
        if not any(self.options.port) and len(addresses) == len(self.options.protocol):
            self.options = self.options.model_copy(update={'port': [address.port for address in addresses]})
        launcher.prepare(server_modules(self.options.protocol))

    def _running_pods(self) -> list[Pod]:
        return self.pods

    @property
    def needs_gateway(self) -> bool:
        """Whether a gateway process stands in front of the replicas."""
        if not self._standalone:
            return False
        if self.external:
            addresses = external_addresses(self.options)
            return len(addresses) > 1 or addresses[0].followed or bool(self.options.grpc_metadata)
        several = self.options.replicas > 1 or image_of(self.options.uses) is not None
        return several and not self.shares_port and not self.options.needs_head

    @property
    def shares_port(self) -> bool:
        """Whether the replicas listen on the public port themselves; their number may change, this doesn't."""
        if self._started_shared is not None:
            return self._started_shared
        return self._standalone and not self.external and self.options.shares_port

    def replica_options(self, shard: int = 0, replicas: range | None = None) -> list[DeploymentOptions]:
        """Options of the replicas of a shard, of all by default."""
        options = self.options
        if not self._standalone:  # keys are for clients of the Flow
            options = options.model_copy(update={'api_key': []})
        is_public = self.shares_port or (options.replicas == 1 and not options.needs_head and replicas is None)
        if self._standalone and image_of(options.uses) is not None:
            is_public = False
        if self._peers:
            options = options.model_copy(update={'raft_peers': self._peers[shard]})
        return replica_options(options, is_public=is_public, shard=shard, replicas=replicas)

    def head_options(self) -> DeploymentOptions:
        """Options of the head, with the addresses of the processes that run behind it."""
        around = {name: _preferred(pod.addresses).target for name, pod in self._around.items()}
        return head_options(self.options, self.shard_addresses, around, is_public=self._standalone)

    def gateway_options(self) -> GatewayOptions:
        """Options of the gateway in front of the replicas."""
        return gateway_options(self.options, gateway_addresses(self))

    def launch_replica(self, options: DeploymentOptions, classes: list[type]) -> Pod:
        """Start one process of an Executor, or one container, without waiting for it."""
        if image_of(options.uses) is None:
            pod = self._pod(options, classes, lambda addresses: with_ports(options, addresses))
        else:
            plan = ContainerPlan.make(options, for_containers=self._called_from_container)
            pod = container_pod(plan, owner=self._title(), logger=self.logger, on_return=self._tell_again)
        pod.start()
        return pod

    def _pod(
        self,
        options: DeploymentOptions | GatewayOptions,
        classes: list[type],
        again: Callable[[list[PodAddress]], DeploymentOptions | GatewayOptions],
    ) -> Pod:
        return Pod(
            options.runtime_name,
            run_server,
            (options, classes),
            env=pod_environment(options),
            owner=self._title(),
            logger=self.logger,
            restart=RestartPlan(
                RestartPolicy.parse(options.restart),
                lambda addresses: (again(addresses), classes),
                on_return=self._tell_again,
            ),
        )

    @classmethod
    def from_config(cls, loaded: LoadedYaml, overrides: LoadOverrides) -> Deployment:
        """Make a Deployment from a document; called by ``load_config``."""
        return cls(**deployment_yaml.read(loaded, overrides))

    def to_config(self) -> dict[str, Any]:
        """The document that describes this Deployment."""
        return {'jtype': 'Deployment', 'version': '1', 'with': deployment_yaml.document_values(self.options)}

    def __eq__(self, other: object) -> bool:
        """Whether all options are the same, but for where files are looked for: the folder of a YAML file that one comes from."""
        return isinstance(other, Deployment) and _compared(self.options) == _compared(other.options)

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f'<Deployment {self.name!r}{" (running)" if self._is_running() else ""}>'


def check_protection(options: PodOptions) -> None:
    """Read certificates and keys before anything is started.

    Raises:
        ConfigError: A file can't be read or holds something else, or certificate and key don't belong together.
    """
    api_keys_of(options)
    if options.ssl_certfile is not None and options.ssl_keyfile is not None:
        from jina.core.tls import server_context  # noqa: PLC0415 - only with TLS

        server_context(options.ssl_certfile, options.ssl_keyfile)


def gateway_addresses(deployment: Deployment) -> list[str]:
    """The replicas as a gateway gets them: ``host:port``, with a scheme if TLS is wanted or a name is followed."""
    return [address.dialled for address in deployment.entry_addresses]


def _compared(options: DeploymentOptions) -> DeploymentOptions:
    return options.model_copy(update={'extra_search_paths': []})


def _single(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _preferred(addresses: list[PodAddress]) -> PodAddress:
    return next((address for address in addresses if address.protocol is ProtocolType.GRPC), addresses[0])
