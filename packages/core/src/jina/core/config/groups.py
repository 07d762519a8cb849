"""Options by theme. The models of :mod:`jina.core.config.models` are put together from these groups."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jina.core.config.base import Options, option
from jina.core.config.protection import AccessOptions, LimitOptions, TlsServerOptions
from jina.core.config.restart import Restart
from jina.core.config.routes import Routes
from jina.core.config.stateful import PeerPorts
from jina.core.config.values import (
    Compression,
    GrpcValues,
    NetworkMode,
    PodRole,
    PortList,
    PortNumber,
    Protocols,
    Provider,
    TextList,
    TextMapping,
    Values,
)
from jina.core.enums import DockerNetworkMode, PodRoleType, ProtocolType, ProviderType
from jina.core.environment import default_timeout_ctrl


class LogOptions(Options):
    """What an object logs."""

    log_config: str = option('default')
    """Logger configuration: the name of a built-in one (default, plain, json, docker, profile, quiet, remote) or a path to a YAML file."""


class EssentialOptions(LogOptions):
    """Identity, workspace and logging of an object."""

    name: str | None = option(None)
    """Name of this object in Python, YAML, the command line, plots and log lines. Without it, a default name is given."""
    workspace: str | None = option(None)
    """Folder for files that this object writes. Without it, the parent's workspace is used."""
    workspace_id: str | None = option(
        None, hidden=True, unsupported='objects share a workspace by giving the same path as workspace'
    )
    """Identifier that objects of one workspace share."""
    quiet: bool = option(False)
    """Log nothing."""
    quiet_error: bool = option(False)
    """Leave tracebacks out of the log."""


class RootLoggingOptions(Options):
    """Handling of Python's root logger."""

    suppress_root_logging: bool = option(False)
    """Remove the handlers of Python's root logger."""


class IdentityOptions(Options):
    """Which part of a Deployment a process is. Set by the Deployment, seldom by people."""

    runtime_cls: str = option('WorkerRuntime', unsupported='there is one runtime for each role')
    """Name of the runtime that the process runs."""
    shard_id: Annotated[int, Field(ge=0)] = option(0, hidden=True)
    """Number of the shard that this process serves."""
    replica_id: Annotated[int, Field(ge=0)] = option(0, hidden=True)
    """Number of the replica that this process is."""
    pod_role: PodRole = option(PodRoleType.WORKER, hidden=True)
    """Role of the process in its Deployment: WORKER, or HEAD for the one that shares requests out to the shards of ``connection_list``."""


class StartOptions(Options):
    """How a process is started."""

    extra_search_paths: TextList = option(list, hidden=True)
    """More folders in which YAML files and Python modules are looked for."""
    env: TextMapping | None = option(None)
    """Environment variables that are set in the process."""
    timeout_ready: Annotated[int, Field(ge=-1)] = option(600000)
    """Milliseconds to wait until a process is ready; -1 waits forever."""
    timeout_ctrl: Annotated[int, Field(ge=-1)] = option(default_timeout_ctrl)
    """Milliseconds that a gateway gives an Executor in a dry run; -1 waits forever, the default of 60 stands for 10 seconds."""
    noblock_on_start: bool = option(False, hidden=True)
    """Return from the start at once; ``wait_start_success`` then waits until it is ready."""
    floating: bool = option(False)
    """Keep the result out of the pipeline and of the response; the next Executor is chained to the one before this one."""


class StopOptions(Options):
    """How a process ends."""

    timeout_graceful_shutdown: Annotated[int, Field(ge=0)] = option(4000)
    """Milliseconds that requests in flight may take when the process is to end (SIGTERM, Ctrl-C); ``close`` of the Executor comes after that."""

    @property
    def graceful_shutdown_s(self) -> float:
        """The same in seconds."""
        return self.timeout_graceful_shutdown / 1000


class RestartOptions(Options):
    """What becomes of processes that end by themselves."""

    restart: Restart = option('no')
    """Which processes are started again when they end by themselves: ``no``; ``on-failure``, or ``on-failure:N`` for at most N times in a row; ``always``."""


class ReloadOptions(Options):
    """Hot reload."""

    reload: bool = option(False)
    """Follow changes of the source files and the YAML file of Executors while they serve, and of the YAML file of a Flow or Deployment while it blocks. For development; needs the package watchfiles."""


class PortOptions(Options):
    """Where a server listens and what it speaks."""

    port: PortList = option(list, aliases=('ports', 'port_expose'), compact=True)
    """Ports to listen on, one for each protocol. Without it, or with 0, the server takes a free port."""
    protocol: Protocols = option(lambda: [ProtocolType.GRPC], aliases=('protocols',), compact=True)
    """Protocols that the server speaks: GRPC, HTTP, WEBSOCKET, or several of them."""


class ProviderOptions(Options):
    """Conventions of hosting services."""

    provider: Provider = option(ProviderType.NONE, planned='hosting providers')
    """Hosting service whose HTTP conventions the server follows: NONE, SAGEMAKER or AZURE."""
    provider_endpoint: str | None = option(None, planned='hosting providers')
    """Endpoint that the hosting service's single route calls."""


class MonitoringOptions(Options):
    """Prometheus metrics."""

    monitoring: bool = option(False)
    """Serve Prometheus metrics over HTTP."""
    port_monitoring: PortList = option(list, compact=True)
    """Ports of the Prometheus servers. Without it, or with 0, a free port is taken."""


class TelemetryOptions(Options):
    """OpenTelemetry traces and metrics."""

    tracing: bool = option(False)
    """Record OpenTelemetry traces and send them to the exporter."""
    traces_exporter_host: str | None = option(None, aliases=('tracing_exporter_host',))
    """Host of the OTLP collector that gets the traces."""
    traces_exporter_port: PortNumber | None = option(None, aliases=('tracing_exporter_port',))
    """Port of the OTLP collector that gets the traces."""
    metrics: bool = option(False)
    """Record OpenTelemetry metrics and send them to the exporter."""
    metrics_exporter_host: str | None = option(None)
    """Host of the OTLP collector that gets the metrics."""
    metrics_exporter_port: PortNumber | None = option(None)
    """Port of the OTLP collector that gets the metrics."""


class CallOptions(Options):
    """Calls from a gateway to Executors."""

    retries: int = option(-1)
    """Retries of a failed call; below 0 means max(3, replicas), 0 means none."""
    timeout_send: Annotated[int, Field(ge=-1)] | None = option(None)
    """Milliseconds that a call to an Executor may take; none or -1 sets no limit."""
    compression: Compression | None = option(None)
    """Compression of calls to Executors: NoCompression, Deflate or Gzip."""


class ChannelOptions(Options):
    """Settings of the gRPC library for connections."""

    grpc_channel_options: GrpcValues | None = option(None)
    """Options of gRPC channels that override the defaults, for example ``{'grpc.max_send_message_length': -1}``."""


class GrpcServerOptions(Options):
    """Settings of the gRPC library for servers."""

    grpc_server_options: GrpcValues | None = option(None)
    """Options of the gRPC server that override the defaults, for example ``{'grpc.max_send_message_length': -1}``."""


class KubernetesOptions(Options):
    """Settings that only matter in a Kubernetes cluster."""

    k8s_namespace: str | None = option(None, hidden=True)
    """Kubernetes namespace of the object."""
    env_from_secret: Values | None = option(None, hidden=True)
    """Environment variables read from Kubernetes secrets: ``{variable: {name: secret, key: entry}}``."""
    image_pull_secrets: TextList | None = option(None, hidden=True)
    """Names of the Kubernetes secrets that give access to private image registries."""


class ContainerOptions(Options):
    """Containers in which a process may run."""

    entrypoint: str | None = option(None)
    """Command that replaces the ``ENTRYPOINT`` of the image; it gets the arguments of ``jina`` first, ``executor`` or ``gateway`` with the rest."""
    docker_kwargs: Values | None = option(None)
    """Settings of the container, named as in the Docker SDK for Python: ``mem_limit``, ``shm_size``, ``user``, ``cap_add`` and others."""


class VolumeOptions(Options):
    """Files, devices and network of a container."""

    volumes: TextList | None = option(None)
    """Paths on the host that are mounted in the container, each ``HOST_PATH``, ``HOST_PATH:CONTAINER_PATH``, or with ``:ro`` behind it."""
    gpus: str | None = option(None)
    """GPUs that the container sees: ``all``, a number, or ``device=ID,ID``."""
    disable_auto_volume: bool = option(False)
    """Don't mount the folder of the workspace in the container."""
    force_network_mode: NetworkMode = option(DockerNetworkMode.AUTO, hidden=True)
    """Network of the container: AUTO is the one of ``docker_kwargs``, or else BRIDGE, the engine's own, with published ports; HOST is that of this machine. NONE is refused, since nothing could call the container."""


class StatefulOptions(Options):
    """Replicated state (RAFT)."""

    stateful: bool = option(False)
    """Have the replicas agree on the order of all requests to endpoints with ``@write``, and answer them all: each has the same state. Takes at least three replicas."""
    peer_ports: PeerPorts | None = option(None, aliases=('pod_ports',))
    """Ports at which the replicas of a stateful Executor reach each other, one for each: a list, with several shards a mapping from shard to list. Without it free ones are taken."""


class HttpServerOptions(Options):
    """The HTTP server."""

    title: str | None = option(None)
    """Title in the generated API documentation."""
    description: str | None = option(None)
    """Description in the generated API documentation."""
    cors: bool = option(False)
    """Let pages of any origin call the server."""
    no_debug_endpoints: bool = option(False)
    """Leave out ``/status`` and ``/post``."""
    no_crud_endpoints: bool = option(False)
    """Leave out ``/index``, ``/search``, ``/update`` and ``/delete``, also where an Executor has such an endpoint."""
    expose_endpoints: Routes | None = option(None)
    """Mapping from endpoints to the options of their routes: ``{'/foo': {'summary': 'mine', 'methods': ['PUT']}}``. As JSON on the command line."""
    expose_graphql_endpoint: bool = option(False)
    """Serve GraphQL at ``/graphql``. Needs the protocol HTTP and the extra ``jina-runtime[graphql]``."""
    uvicorn_kwargs: Values | None = option(None)
    """Settings passed on to the Uvicorn server. A WebSocket server takes those whose names begin with ``ws_``."""


class PodOptions(
    TlsServerOptions,
    AccessOptions,
    LimitOptions,
    KubernetesOptions,
    ContainerOptions,
    ChannelOptions,
    GrpcServerOptions,
    CallOptions,
    StatefulOptions,
    TelemetryOptions,
    MonitoringOptions,
    ProviderOptions,
    ReloadOptions,
    PortOptions,
    IdentityOptions,
    StopOptions,
    StartOptions,
    EssentialOptions,
):
    """Options that every server process has: Executors and the gateway."""
