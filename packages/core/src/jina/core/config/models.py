"""The options of each object and command, put together from :mod:`jina.core.config.groups`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from jina.core.config.base import Options, option
from jina.core.config.batching import Batching
from jina.core.config.groups import (
    ChannelOptions,
    EssentialOptions,
    HttpServerOptions,
    LogOptions,
    PodOptions,
    ReloadOptions,
    RestartOptions,
    RootLoggingOptions,
    TelemetryOptions,
    VolumeOptions,
)
from jina.core.config.raft import RaftSettings
from jina.core.config.shards import check_around, check_role
from jina.core.config.stateful import PeerPorts, check_stateful, check_stateful_deployment
from jina.core.config.values import (
    Addresses,
    Conditions,
    DeploymentRole,
    Graph,
    HostList,
    Inspect,
    Metadata,
    PodRole,
    Polling,
    PortList,
    PortNumber,
    Protocol,
    Query,
    TextList,
    TextMapping,
    Values,
)
from jina.core.enums import DeploymentRoleType, FlowInspectType, PodRoleType, PollingType, ProtocolType
from jina.core.environment import default_host
from jina.core.errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Self

_HUB = 'the Executor hub'
_STATELESS = 'a gateway has no state; give it to an Executor'
_NO_METRICS = 'a client records traces only'
_USED_BY = {
    'no_debug_endpoints': (ProtocolType.HTTP, ProtocolType.WEBSOCKET),
    'no_crud_endpoints': (ProtocolType.HTTP,),
    'expose_endpoints': (ProtocolType.HTTP,),
    'expose_graphql_endpoint': (ProtocolType.HTTP,),
    'uvicorn_kwargs': (ProtocolType.HTTP, ProtocolType.WEBSOCKET),
}


class ServedPodOptions(PodOptions):
    """A process that serves: the rules between its ports and protocols."""

    @model_validator(mode='after')
    def _check_protocols(self) -> Self:
        if len(set(self.protocol)) != len(self.protocol) or not self.protocol:
            names = ', '.join(map(str, self.protocol)) or 'none'
            raise PydanticCustomError(
                'protocols', 'protocols must be different and at least one, got {names}', {'names': names}
            )
        if self.port and len(self.port) != len(self.protocol) and not self._ports_name_replicas():
            context = {'ports': str(self.port), 'protocols': ', '.join(map(str, self.protocol))}
            raise PydanticCustomError(
                'ports',
                'port {ports} and protocol {protocols} differ in number; give one port for each protocol',
                context,
            )
        taken = [port for port in self.port if port]
        if len(set(taken)) != len(taken) and not self._ports_name_replicas():
            raise PydanticCustomError(
                'same_port', 'port {ports} names a port twice; give each protocol its own', {'ports': str(self.port)}
            )
        return self

    def refuse_unused(self) -> None:
        """Check that options of the HTTP server have one: called at the start, when all options are known.

        Raises:
            ConfigError: They are set, and no protocol uses them.
        """
        for name, protocols in _USED_BY.items():
            if getattr(self, name, None) and not set(protocols) & set(self.protocol):
                spoken = ' and '.join(map(str, self.protocol))
                raise ConfigError(
                    f'{self.owner}: {name} is for {" and ".join(map(str, protocols))}, and the protocol is {spoken}',
                    hint=f"add protocol='{str(protocols[0]).lower()}', or remove {name}",
                )

    _joins: bool = PrivateAttr(default=False)

    @property
    def shares_port(self) -> bool:
        """Whether several processes listen on the same ports."""
        return self._joins

    @property
    def joins_port(self) -> bool:
        """Whether another process listens on the ports already, beside which this one is to listen."""
        return self._joins or (self.shares_port and self.replica_id > 0)

    @property
    def takes_over(self) -> bool:
        """Whether that other process leaves when this one is ready."""
        return self._joins

    def joining(self, ports: Sequence[int] | None = None) -> Self:
        """Returns the options of a process that takes the place of one which listens on the ports meanwhile.

        Args:
            ports: The ports; by default those of these options.
        """
        twin = self.model_copy(update={} if ports is None else {'port': list(ports)})
        twin._joins = True
        return twin

    def _ports_name_replicas(self) -> bool:
        """Whether ``port`` lists addresses of existing servers rather than ports to listen on."""
        return False


class ExecutorOptions(HttpServerOptions, VolumeOptions, ServedPodOptions):
    """Options of one Executor process: the ``jina executor`` command."""

    owner: ClassVar[str] = 'Executor'
    command: ClassVar[str] = 'executor'

    uses: Any = option('BaseExecutor')
    """The Executor: a class, the name of one, ``package.module.Class``, a YAML file, YAML or JSON text, a dict, or an image (``docker://...``)."""
    uses_with: Values | None = option(None)
    """Arguments of the Executor's ``__init__``; they override those in its YAML."""
    uses_metas: Values | None = option(None)
    """Values of the Executor's ``metas``; they override those in its YAML."""
    uses_requests: Values | None = option(None)
    """Endpoints and the names of the methods that serve them; they override the ``@requests`` decorators."""
    uses_dynamic_batching: Batching | None = option(None)
    """Endpoints, or names of methods, and their batching settings; they override the ``@dynamic_batching`` decorators value by value."""
    py_modules: TextList | None = option(None)
    """Python files or packages that are imported before the Executor is loaded."""
    host: HostList = option(lambda: [default_host()], aliases=('host_in',), compact=True)
    """Address to listen on; of an external Executor, the addresses of its replicas, or ``dns://NAME`` for all that a name resolves to. ``JINA_DEFAULT_HOST`` changes the default."""
    replicas: Annotated[int, Field(ge=1)] = option(1)
    """Number of processes that share the requests, of each shard if there are several."""
    shards: Annotated[int, Field(ge=1)] = option(1)
    """Number of parts that the data is divided into; each part has its replicas. ``jina executor`` serves the one that ``shard_id`` names."""
    polling: Polling = option(PollingType.ANY)
    """Which shards get a request: ANY, ALL, or a mapping from endpoint to these (``*`` for all others). ``/index`` goes to any and ``/search`` to all shards, unless the mapping names them. With one shard it makes no difference."""
    native: bool = option(False)
    """Run the Executor in this process; never in a container."""
    allow_concurrent: bool = option(False)
    """Let the Executor work on several requests at the same time. Its methods must be safe for that."""
    exit_on_exceptions: TextList = option(list)
    """Names of the exceptions that end the process when an endpoint raises them."""
    no_reduce: bool = option(False, aliases=('disable_reduce',))
    """Don't merge the results of several predecessors; they are given as ``docs_matrix`` and ``docs_map``."""
    output_array_type: str | None = option(None, unsupported='it belongs to docarray before 0.30')
    """Type that the tensors of the output are converted to."""
    raft_configuration: RaftSettings | None = option(None)
    """Settings of the consensus among the replicas of a stateful Executor, for example ``{'heartbeat_timeout': 500}``."""
    raft_peers: TextList | None = option(None, hidden=True)
    """Addresses (``host:port``) of all replicas of a stateful Executor, by their numbers; this process listens at its own one. By default the ``peer_ports`` on this machine."""
    install_requirements: bool = option(False)
    """Install the ``requirements.txt`` beside the Executor, if there is one, before it is loaded. It takes pip or uv."""
    force_update: bool = option(False, aliases=('force',), planned=_HUB)
    """Fetch the Executor from the hub even if it is there already."""
    prefer_platform: str | None = option(None, planned=_HUB)
    """Platform of the image that is fetched from the hub, for example ``linux/amd64``."""
    uses_before_address: str | None = option(None)
    """Address of a process that runs elsewhere and works on a request before the shards do."""
    uses_after_address: str | None = option(None)
    """Address of a process that runs elsewhere and works on the results of the shards."""
    connection_list: Values | None = option(None)
    """Addresses of the replicas of each shard for a head, as JSON: ``{"0": ["host:port"], "1": ["host:port"]}``."""

    @property
    def runtime_name(self) -> str:
        """Name of the process in results, logs and metrics.

        It is ``<name>/rep-<replica_id>``, ``<name>/shard-<shard_id>/rep-<replica_id>`` with several shards, ``<name>/head``.
        """
        name = self.name or 'executor'
        if self.is_head:
            return f'{name}/head'
        shard = f'shard-{self.shard_id}/' if self.shards > 1 else ''
        return f'{name}/{shard}rep-{self.replica_id}'

    @property
    def is_head(self) -> bool:
        """Whether the process shares requests out to shards, and runs no Executor."""
        return self.pod_role is PodRoleType.HEAD

    @model_validator(mode='after')
    def _check_role(self) -> Self:
        check_role(self)
        check_stateful(self)
        return self


class DeploymentOptions(RestartOptions, RootLoggingOptions, ExecutorOptions):
    """Options of a Deployment: ``Deployment(...)``, ``Flow().add(...)`` and the ``jina deployment`` command."""

    owner: ClassVar[str] = 'Deployment'
    command: ClassVar[str] = 'deployment'

    name: str | None = option('executor')
    """Name of the Deployment. In a Flow the default is ``executor<n>`` with its position."""
    needs: TextList | None = option(None, cli=False)
    """Names of the Deployments whose results it gets; the default is the one added before it. ``gateway`` is the start of the Flow."""
    uses_before: Any = option(None)
    """Executor that works on a request before the shards do; given like ``uses``."""
    uses_after: Any = option(None)
    """Executor that works on the results of the shards, which it gets as ``docs_matrix`` and ``docs_map``; given like ``uses``."""
    when: Query | None = option(None)
    """Filter that documents must match to reach this Executor, for example ``{'tags__key': {'$eq': 5}}``."""
    external: bool = option(False)
    """The Executor runs elsewhere, at ``host`` and ``port``; it is neither started nor stopped."""
    tls: bool = option(False)
    """Connect to the external Executor with TLS."""
    grpc_metadata: TextMapping | None = option(None)
    """gRPC metadata that is sent with every call to this Executor."""
    deployment_role: DeploymentRole = option(DeploymentRoleType.DEPLOYMENT, hidden=True)
    """Role of the Deployment in its Flow: DEPLOYMENT, or INSPECT, which ``Flow.inspect`` sets."""
    include_gateway: bool = option(True, cli=False)
    """Put a gateway in front of several replicas. Without it they all listen on the same port, and the system spreads connections over them."""

    @property
    def shares_port(self) -> bool:
        return self._joins or (self.replicas > 1 and not self.include_gateway and not self.needs_head)

    @property
    def needs_head(self) -> bool:
        """Whether a head stands in front of the Executors: there are shards, or Executors before or after them."""
        around = (self.uses_before, self.uses_after, self.uses_before_address, self.uses_after_address)
        return self.shards > 1 or any(value is not None for value in around)

    def _ports_name_replicas(self) -> bool:
        return self.external

    @model_validator(mode='after')
    def _check_tls(self) -> Self:
        if self.tls and not self.external:
            raise PydanticCustomError('tls', 'tls is for external Executors; give external=True and host too')
        if self.deployment_role not in (DeploymentRoleType.DEPLOYMENT, DeploymentRoleType.INSPECT):
            raise PydanticCustomError(
                'role', 'deployment_role is DEPLOYMENT or INSPECT; a Flow finds the others by itself'
            )
        check_around(self)
        check_stateful_deployment(self)
        return self


class AroundOptions(DeploymentOptions):
    """Options of the process that runs the Executor of ``uses_before`` or ``uses_after``. Made by a Deployment."""

    around: Literal['uses_before', 'uses_after'] = option('uses_before', cli=False)
    """Which of the two it runs."""

    @property
    def runtime_name(self) -> str:
        """Name of the process: ``<name>/uses_before-0`` or ``<name>/uses_after-0``."""
        return f'{self.name or "executor"}/{self.around}-{self.replica_id}'


class GatewayOptions(HttpServerOptions, RestartOptions, VolumeOptions, ServedPodOptions):
    """Options of a Flow's gateway: ``Flow(...)``, ``Flow().config_gateway(...)`` and the ``jina gateway`` command."""

    owner: ClassVar[str] = 'Gateway'
    command: ClassVar[str] = 'gateway'

    name: str | None = option('gateway')
    """Name of the gateway."""
    host: str = option(default_host, aliases=('host_in',))
    """Address to listen on. ``JINA_DEFAULT_HOST`` changes the default."""
    port: PortList = option(list, aliases=('ports', 'port_expose', 'port_in'), compact=True)
    """Ports to listen on, one for each protocol. Without it, or with 0, the server takes a free port."""
    floating: bool = option(False, unsupported='a gateway is never floating')
    """Only Executors float."""
    runtime_cls: str = option('GatewayRuntime', unsupported='there is one runtime for each role')
    """Name of the runtime that the process runs."""
    pod_role: PodRole = option(PodRoleType.GATEWAY, hidden=True, unsupported='a gateway has no other role')
    """Role of the process."""
    stateful: bool = option(False, unsupported=_STATELESS)
    """Only Executors are stateful."""
    peer_ports: PeerPorts | None = option(None, aliases=('pod_ports',), unsupported=_STATELESS)
    """Only Executors are stateful."""
    prefetch: Annotated[int, Field(ge=0)] = option(1000)
    """Requests of one client that are worked on at the same time; 0 sets no limit."""
    proxy: bool = option(False)
    """Reach Executors through the proxy that ``http_proxy``, ``https_proxy`` and ``no_proxy`` name."""
    uses: Any = option(None)
    """A gateway of your own: a class, the name of one, ``package.module.Class``, a YAML file, YAML or JSON text, a dict, or an image (``docker://...``)."""
    uses_with: Values | None = option(None)
    """Arguments of the gateway's ``__init__``; they override those in its YAML."""
    py_modules: TextList | None = option(None)
    """Python files or packages that are imported before the gateway is loaded."""
    replicas: Annotated[int, Field(ge=1)] = option(1)
    """Number of gateways. They all listen on the same ports, and the system spreads connections over them."""
    graph_description: Graph = option(dict)
    """Routing graph as JSON: each node with the nodes behind it."""
    graph_conditions: Conditions = option(dict)
    """Filter of each Executor as JSON."""
    graph_merge_order: Graph = option(dict, hidden=True)
    """For Deployments whose predecessors' results are merged in another order than the routing graph names them: these, as JSON."""
    deployments_addresses: Addresses = option(dict)
    """Addresses of each Deployment as JSON: ``{"name": ["host:port"]}``."""
    deployments_metadata: Metadata = option(dict)
    """gRPC metadata for each Deployment as JSON."""
    deployments_no_reduce: TextList = option(list, aliases=('deployments_disable_reduce',))
    """Deployments whose predecessors' results aren't merged, as a JSON list."""

    @property
    def runtime_name(self) -> str:
        """Name of the process in logs and metrics: ``<name>/rep-<replica_id>``."""
        return f'{self.name or "gateway"}/rep-{self.replica_id}'

    @property
    def shares_port(self) -> bool:
        return self._joins or self.replicas > 1


class FlowOptions(ReloadOptions, RootLoggingOptions, EssentialOptions):
    """Options of a Flow itself; :func:`jina.core.config.split_flow_values` finds those meant for its parts."""

    owner: ClassVar[str] = 'Flow'
    command: ClassVar[str] = 'flow'

    uses: str | None = option(None)
    """YAML file or URL of the Flow."""
    env: TextMapping | None = option(None)
    """Environment variables that are set in all processes of the Flow."""
    inspect: Inspect = option(FlowInspectType.COLLECT)
    """What becomes of inspecting Deployments: HANG (nobody waits for their results), REMOVE (they aren't added) or COLLECT (their results are merged with the response)."""
    asyncio: bool = option(False, cli=False)
    """Give asynchronous generators from ``post`` of the Flow."""
    reuse_session: bool = option(False, cli=False)
    """Keep the HTTP session of the Flow's client between calls."""
    dashboard: bool = option(False)
    """Serve a web page about the Flow on this machine while it runs, and switch ``monitoring`` on unless it is given. The gateway must speak gRPC."""
    port_dashboard: PortNumber = option(0)
    """Port of the page of ``dashboard``. Without it, or with 0, a free port is taken."""


class ClientOptions(ChannelOptions, TelemetryOptions, RootLoggingOptions, LogOptions):
    """Options of a client."""

    owner: ClassVar[str] = 'Client'
    command: ClassVar[str] = 'client'

    host: str = option(default_host)
    """Address of the server: a name or number, or ``[protocol://]host[:port]``."""
    port: PortNumber | None = option(None)
    """Port of the server. Without it 80, or 443 with TLS."""
    protocol: Protocol = option(ProtocolType.GRPC)
    """Protocol of the server: GRPC, HTTP or WEBSOCKET."""
    tls: bool = option(False)
    """Encrypt the connection."""
    ssl_cafile: str | None = option(None)
    """File with the certificates as PEM that are trusted, instead of those that the system trusts."""
    ssl_server_name: str | None = option(None)
    """Name that the certificate of the server must have, if it is not that of ``host``."""
    api_key: str | None = option(None, repr=False, secret=True)
    """Key that is sent with every call, as a bearer token."""
    asyncio: bool = option(False)
    """Give asynchronous generators instead of results."""
    prefetch: Annotated[int, Field(ge=0)] = option(1000)
    """Requests that may be in flight at the same time; 0 sets no limit."""
    reuse_session: bool = option(False)
    """Keep the HTTP session between calls."""
    metrics: bool = option(False, unsupported=_NO_METRICS)
    """Only servers record metrics."""
    metrics_exporter_host: str | None = option(None, unsupported=_NO_METRICS)
    """Only servers record metrics."""
    metrics_exporter_port: PortNumber | None = option(None, unsupported=_NO_METRICS)
    """Only servers record metrics."""
    proxy: bool = option(False)
    """Go through the proxy that ``http_proxy``, ``https_proxy`` and ``no_proxy`` name."""
    cors: bool = option(False, cli=False)
    """Means nothing to a client, which is no page of a browser. Accepted since the arguments of a server are often given to its client too."""


class ClientCallOptions(ClientOptions):
    """Options of ``jina client``: a client, and the one call that it makes."""

    on: str = option('/')
    """Endpoint that is called."""
    data: str | None = option(None)
    """Documents as JSON: an object, a list, or an object per line. ``@FILE`` reads a file, ``-`` standard input."""
    parameters: Values | None = option(None)
    """Parameters for the Executors."""
    target_executor: str | None = option(None)
    """Pattern that the names of Executors match from their start; only those get the request."""
    request_size: Annotated[int, Field(ge=1)] = option(100)
    """Documents per request."""
    stream_doc: bool = option(False)
    """Call a streaming endpoint, with each document in turn."""


class PingOptions(Options):
    """Options of ``jina ping``."""

    owner: ClassVar[str] = 'ping'
    command: ClassVar[str] = 'ping'

    target: Literal['flow', 'deployment', 'executor', 'gateway'] = option(positional=True)
    """What is checked."""
    host: str = option(positional=True)
    """Its address: ``[protocol://]host:port``."""
    timeout: Annotated[int, Field(ge=-1)] = option(3000)
    """Milliseconds that one check may take; -1 waits forever."""
    attempts: Annotated[int, Field(ge=1)] = option(1)
    """Number of checks."""
    min_successful_attempts: Annotated[int, Field(ge=1)] = option(1)
    """Number of checks that must succeed."""
    ssl_cafile: str | None = option(None)
    """File with the certificates as PEM that are trusted, instead of those that the system trusts."""
    ssl_server_name: str | None = option(None)
    """Name that the certificate of the server must have, if it is not that of ``host``."""


class DashboardOptions(Options):
    """Options of ``jina dashboard``."""

    owner: ClassVar[str] = 'dashboard'
    command: ClassVar[str] = 'dashboard'

    target: str = option(positional=True)
    """Address of the gateway or Executor that is shown: ``grpc://host:port``."""
    host: str = option('127.0.0.1')
    """Address that the page is served on. Whoever reaches it can send requests with the key of this process."""
    port: PortNumber = option(8260)
    """Port that the page is served on; 0 takes a free one."""
    metrics: TextList = option(list)
    """Addresses (``host:port``) where processes serve their metrics: the ``port_monitoring`` of gateway and Executors. Without it the server and its replicas are asked."""
    ssl_cafile: str | None = option(None)
    """File with the certificates as PEM that are trusted, instead of those that the system trusts."""
    ssl_server_name: str | None = option(None)
    """Name that the certificate of the server must have, if it is not that of ``target``."""


class NewOptions(Options):
    """Options of ``jina new``."""

    owner: ClassVar[str] = 'new'
    command: ClassVar[str] = 'new'

    name: str = option(positional=True)
    """Name of the project, and of the folder that is made."""
    type: Literal['flow', 'deployment'] = option('flow')
    """What the project holds."""


class ExportOptions(Options):
    """What all kinds of ``jina export`` that convert a YAML file have in common."""

    owner: ClassVar[str] = 'export'
    command: ClassVar[str] = 'export'

    config_path: str = option(positional=True)
    """YAML file of the Flow or Deployment."""
    outpath: str = option(positional=True)
    """File or folder that is written."""


class ExportFlowchartOptions(ExportOptions):
    """Options of ``jina export flowchart``."""

    vertical_layout: bool = option(False)
    """Draw from top to bottom instead of from left to right."""


class ExportKubernetesOptions(ExportOptions):
    """Options of ``jina export kubernetes``."""

    k8s_namespace: str | None = option(None)
    """Kubernetes namespace of the objects."""
    balance: Literal['client', 'mesh'] = option('client')
    """Who shares requests out to replicas: gateways, which follow headless Services, or a service mesh."""
    nonroot: bool = option(False)
    """Run containers as an ordinary user, without any privilege."""
    scrape: Literal['service-monitor', 'annotations', 'none'] = option('service-monitor')
    """How Prometheus finds processes with ``monitoring``: ServiceMonitors for its operator, annotations of pods, or neither."""
    pre_stop_s: int = option(12)
    """Seconds in which a pod that is to stop still answers; more than a request takes, and than gateways need to notice."""
    kustomize: bool = option(False)
    """Write a ``kustomization.yaml`` that lists the files."""


class ExportComposeOptions(ExportOptions):
    """Options of ``jina export docker-compose``."""

    network_name: str | None = option(None)
    """Name of the network that the services share."""


class ExportDockerfileOptions(Options):
    """Options of ``jina export dockerfile``."""

    owner: ClassVar[str] = 'export'
    command: ClassVar[str] = 'export'

    outpath: str = option(positional=True)
    """File that is written, or the folder that gets a file ``Dockerfile``."""
    kind: Literal['executor', 'gateway'] = option('executor')
    """What the image runs."""
    config: str = option('config.yml')
    """YAML file of the Executor or gateway, beside the Dockerfile; empty for the gateway of the framework."""
    base: str = option('python:3.12-slim')
    """Image with Python that it is built on."""


class ExportDashboardsOptions(Options):
    """Options of ``jina export dashboards``."""

    owner: ClassVar[str] = 'export'
    command: ClassVar[str] = 'export'

    outpath: str = option(positional=True)
    """Folder that is written."""


class ExportSchemaOptions(Options):
    """Options of ``jina export schema``."""

    owner: ClassVar[str] = 'export'
    command: ClassVar[str] = 'export'

    yaml_path: TextList = option(list)
    """Files that get the schema as YAML; ``%s`` stands for the version."""
    json_path: TextList = option(list)
    """Files that get the schema as JSON; ``%s`` stands for the version."""
    schema_path: TextList = option(list)
    """Files that get the schema as JSON Schema; ``%s`` stands for the version."""
