"""``Flow``: Executors connected to a pipeline behind one gateway."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from jina.client.signatures import SyncCalls
from jina.core.config import (
    DeploymentOptions,
    FlowOptions,
    GatewayOptions,
    PodAddress,
    RestartPolicy,
    build,
    split_flow_values,
)
from jina.core.config.build import nearest
from jina.core.enums import DeploymentRoleType, FlowInspectType, ProtocolType
from jina.core.errors import ConfigError, TopologyError
from jina.core.logging import JinaLogger, suppress_root_handlers
from jina.core.topology import GATEWAY, Topology
from jina.core.yaml import LoadedYaml, LoadOverrides, YamlObject
from jina.orchestrate import banner, flow_graph, flow_yaml, launcher
from jina.orchestrate.container_plan import image_of
from jina.orchestrate.dashboard import check_protocols, monitored, open_dashboard
from jina.orchestrate.deployment import Deployment, check_protection, gateway_addresses
from jina.orchestrate.export import ExportMixin
from jina.orchestrate.exposing import ExposeMixin
from jina.orchestrate.gateway_container import gateway_container, gateway_network
from jina.orchestrate.lifecycle import FLOATING_GRACE_S, Orchestrator
from jina.orchestrate.own_client import client_arguments, make_client
from jina.orchestrate.pictures import PictureMixin
from jina.orchestrate.pod import Pod, close_in_order, wait_ready, wait_ready_within
from jina.orchestrate.pod_options import pod_environment, with_ports
from jina.orchestrate.restarts import RestartPlan
from jina.orchestrate.rolling_restart import FlowRestartMixin
from jina.orchestrate.scaling import FlowScalingMixin
from jina.orchestrate.server import portable_uses, referenced_classes, run_server, server_modules

if TYPE_CHECKING:
    from jina.client.dashboard.server import Dashboard
    from typing_extensions import Self

_NAME = re.compile(r'[^\W\d][\w.-]*')


class Flow(
    YamlObject, SyncCalls, ExportMixin, PictureMixin, ExposeMixin, FlowScalingMixin, FlowRestartMixin, Orchestrator
):
    """Connects Executors to a pipeline behind a gateway. Documents flow from the gateway through them and back.

    ``add`` and its relatives return a new Flow and leave the old one as it is.

    Args:
        kwargs: Options of the Flow, of its gateway (for example ``port`` and ``protocol``) and defaults for all its Executors;
            see :class:`jina.core.config.FlowOptions`, ``GatewayOptions`` and ``DeploymentOptions``.

    Raises:
        ConfigError: An option doesn't exist, has a wrong value or isn't available in this version.

    >>> from jina import Flow
    >>> with Flow().add(name='first').add(name='second') as flow:
    ...     flow.is_flow_ready()
    True
    """

    kind: ClassVar[str] = 'Flow'
    _configuration = ('options', 'gateway_options', '_gateway_values', '_values', '_own_values', '_deployments')

    def __init__(self, **kwargs: Any) -> None:
        Orchestrator.__init__(self)
        launcher.prepare()  # it starts while the options are read
        values = split_flow_values(monitored(kwargs), where='Flow')
        self._values = values
        self.options: FlowOptions = build(FlowOptions, values.flow, where='Flow')
        """Options of the Flow itself."""
        if self.options.uses is not None:
            raise ConfigError(f'Flow.uses is {self.options.uses!r}', hint='load a YAML file by Flow.load_config(path)')
        build(DeploymentOptions, values.executors, where='Flow')
        self._gateway_values: dict[str, Any] = dict(values.gateway)
        self.gateway_options: GatewayOptions = build(GatewayOptions, self._gateway_values, where='Flow')
        """Options of the gateway."""
        self._deployments: list[Deployment] = []
        self._own_values: dict[str, dict[str, Any]] = {}
        self._gateways: list[Pod] = []
        self._dashboard: Dashboard | None = None
        if self.options.suppress_root_logging:
            suppress_root_handlers()
        self._prepare()

    def add(self, deployment: Deployment | str | None = None, /, **kwargs: Any) -> Flow:
        """Add an Executor.

        Args:
            deployment: A Deployment, or the path of a Deployment's YAML file, whose options are taken.
            kwargs: Options of the Deployment, see :class:`jina.core.config.DeploymentOptions`. ``needs`` names the Executors
                whose results it gets: a name, a list of names, or ``'gateway'``; by default the one that was added before.

        Returns:
            A new Flow; this one is unchanged.

        Raises:
            ConfigError: An option doesn't exist, has a wrong value or isn't available in this version.
            TopologyError: The name is taken already.
        """
        return self._with_deployment({**flow_yaml.deployment_arguments(deployment), **kwargs}, where='add()')

    def needs(self, needs: Sequence[str], name: str = 'joiner', **kwargs: Any) -> Flow:
        """Add an Executor that waits for several others.

        Args:
            needs: Names of at least two of them.
            name: Name of the new Executor.
            kwargs: As for ``add``.

        Returns:
            A new Flow.

        Raises:
            TopologyError: ``needs`` has less than two names.
        """
        if isinstance(needs, str) or len(needs) < 2:
            raise TopologyError(
                f'needs() waits for several Executors, got {needs!r}', hint='use add(needs=...) to wait for one'
            )
        return self.add(needs=list(needs), name=name, **kwargs)

    def needs_all(self, name: str = 'joiner', **kwargs: Any) -> Flow:
        """Add an Executor that waits for all those whose results nobody takes so far.

        Args:
            name: Name of the new Executor.
            kwargs: As for ``add``.

        Returns:
            A new Flow.

        Raises:
            TopologyError: The Flow has no Executors.
        """
        ends = flow_graph.open_ends(self._deployments)
        if not ends:
            raise TopologyError('needs_all() finds no Executor to wait for', hint='add some before')
        return self.add(needs=ends, name=name, **kwargs)

    def inspect(self, name: str = 'inspect', **kwargs: Any) -> Flow:
        """Add an Executor that looks at the results of the last one, beside the pipeline: the next one doesn't get its results.

        The option ``inspect`` of the Flow says what becomes of them. ``COLLECT``: they are merged with the response.
        ``HANG``: nobody waits for them. ``REMOVE``: the Executor isn't even added.

        Args:
            name: Name of the new Executor.
            kwargs: As for ``add``.

        Returns:
            A new Flow.

        Raises:
            ConfigError: An option doesn't exist, or has a wrong value.
            TopologyError: The name is taken already.
        """
        added = self.add(name=name, **{**kwargs, 'deployment_role': DeploymentRoleType.INSPECT})
        return self._copy() if self.options.inspect is FlowInspectType.REMOVE else added

    def gather_inspect(self, name: str = 'gather_inspect', include_last_deployment: bool = True, **kwargs: Any) -> Flow:
        """Add an Executor that waits for the results of all inspecting ones.

        Args:
            name: Name of the new Executor.
            include_last_deployment: It also gets the results of the last Executor of the pipeline.
            kwargs: As for ``add``.

        Returns:
            A new Flow; the same as this one if nothing is inspected.
        """
        needs = flow_graph.open_inspections(self._deployments)
        if not needs:
            return self._copy()
        return self.add(
            needs=[*needs, *([flow_graph.last_name(self._deployments)] if include_last_deployment else [])],
            name=name,
            **kwargs,
        )

    def config_gateway(self, **kwargs: Any) -> Flow:
        """Set options of the gateway.

        Args:
            kwargs: See :class:`jina.core.config.GatewayOptions`. ``uses`` is a gateway of your own: a class derived from
                ``jina.Gateway``, its name, its YAML, or an image
                (``docker://...``); ``uses_with`` has the arguments of its ``__init__``.

        Returns:
            A new Flow.

        Raises:
            ConfigError: An option doesn't exist, has a wrong value or isn't available in this version.
        """
        return self._with_gateway(kwargs, where='config_gateway()')

    def _with_gateway(self, given: Mapping[str, Any], *, where: str) -> Flow:
        aliases = GatewayOptions.aliases()
        own = {aliases.get(key, key): value for key, value in given.items()}
        if own.get('uses') is not None:
            own['uses'] = portable_uses(own['uses'])
        changed = self._copy()
        changed._gateway_values = {**self._gateway_values, **own}
        changed.gateway_options = build(GatewayOptions, changed._gateway_values, where=where)
        changed._prepare()
        return changed

    def build(self, copy_flow: bool = False) -> Flow:
        """Check that the Executors form a graph. ``start``, ``plot`` and ``load_config`` do it by themselves.

        Args:
            copy_flow: Return a copy instead of this Flow.

        Returns:
            This Flow, or a copy.

        Raises:
            TopologyError: They don't; the message shows the graph.
        """
        _ = self.topology
        return self._copy() if copy_flow else self

    @property
    def name(self) -> str | None:
        """Name of the Flow."""
        return self.options.name

    @property
    def deployments(self) -> list[Deployment]:
        """The Deployments in the order in which they were added, without the gateway."""
        return list(self._deployments)

    @property
    def topology(self) -> Topology:
        """The graph of the Executors.

        Raises:
            TopologyError: Two Executors have the same name, there is a cycle, or a combination can't work.
            MissingDeploymentError: A ``needs`` names an Executor that doesn't exist.
        """
        return flow_graph.topology_of(self._deployments, self.options.inspect)

    @property
    def protocols(self) -> list[ProtocolType]:
        """Protocols of the gateway; before the start those that were asked for."""
        return [address.protocol for address in self.public_addresses] or list(self.gateway_options.protocol)

    @property
    def protocol(self) -> Any:
        """The protocol of the gateway, or a list if there are several."""
        names = [str(protocol) for protocol in self.protocols]
        return names[0] if len(names) == 1 else names

    @property
    def host(self) -> str:
        """Address that the gateway listens on."""
        return self.gateway_options.host

    @property
    def port(self) -> Any:
        """Port of the gateway, or a list with one for each protocol; None while a free one is still to be found."""
        known = [address.port for address in self.public_addresses] or [
            port for port in self.gateway_options.port if port
        ]
        return (known[0] if len(known) == 1 else known) if known else None

    @property
    def public_addresses(self) -> list[PodAddress]:
        """Where clients reach the gateway; empty before the start."""
        return next((pod.addresses for pod in self._gateways if pod.addresses), [])

    @property
    def address_private(self) -> str:
        """Address of this machine in its network."""
        return banner.private_address()

    @property
    def address_public(self) -> None:
        """Always None: the public address is never looked up, because that would ask a server on the internet."""
        return None

    @property
    def dashboard_url(self) -> str | None:
        """Where the page about this Flow is; None without ``dashboard=True``, and while it doesn't run."""
        return None if self._dashboard is None else self._dashboard.url

    @property
    def env(self) -> dict[str, str] | None:
        """Environment variables that are set in all processes."""
        return self.options.env

    @property
    def workspace(self) -> str | None:
        """Folder for files of the Executors."""
        return self.options.workspace

    @property
    def num_deployments(self) -> int:
        """Number of Deployments; the gateway counts as one while the Flow runs."""
        return len(self._deployments) + bool(self._gateways)

    @property
    def num_pods(self) -> int:
        """Number of running processes."""
        return sum(pod.is_alive for pod in self._running_pods())

    @property
    def client(self) -> Any:
        """A client of this Flow.

        Raises:
            NotStartedError: The port isn't known before the start.
        """
        return self._cached_client(lambda: make_client(self, self.public_addresses, self.gateway_options.port))

    @property
    def client_args(self) -> dict[str, Any]:
        """Options that ``Client`` takes for a client of this Flow, for example in another process.

        Raises:
            NotStartedError: The port isn't known before the start.
        """
        return client_arguments(self, self.public_addresses, self.gateway_options.port)

    def is_flow_ready(self, timeout: float | None = 5.0) -> Any:
        """Whether the gateway and all Executors answer; False before the start and after the end.

        Args:
            timeout: Seconds to wait for an answer; None for no limit.
        """
        if not self.public_addresses:
            return _answer_false() if self.options.asyncio else False
        return self.client.is_flow_ready(timeout)

    def __getitem__(self, item: str | int) -> Deployment:
        if isinstance(item, int):
            return self._deployments[item]
        for deployment in self._deployments:
            if deployment.name == item:
                return deployment
        near = nearest(item, [deployment.name for deployment in self._deployments])
        raise KeyError(f'{item!r} is no Executor of the Flow' + (f'; did you mean {near!r}?' if near else ''))

    def __iter__(self) -> Iterator[tuple[str, Deployment]]:
        return iter([(deployment.name, deployment) for deployment in self._deployments])

    def __contains__(self, name: object) -> bool:
        return any(deployment.name == name for deployment in self._deployments)

    def __eq__(self, other: object) -> bool:
        """Whether all options of the Flow, its gateway and its Executors are the same, but for where files are looked for."""
        if not isinstance(other, Flow):
            return NotImplemented
        anywhere: dict[str, Any] = {'extra_search_paths': []}
        return (
            type(self) is type(other)
            and self.options == other.options
            and self.gateway_options.model_copy(update=anywhere) == other.gateway_options.model_copy(update=anywhere)
            and self._deployments == other._deployments
        )

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        names = ' → '.join(deployment.name for deployment in self._deployments)
        return f'<Flow {names or "(empty)"}{" (running)" if self._is_running() else ""}>'

    def _with_deployment(self, given: Mapping[str, Any], *, where: str) -> Flow:
        aliases = DeploymentOptions.aliases()
        own = {aliases.get(key, key): value for key, value in given.items() if value is not None}
        name = own.setdefault('name', f'executor{len(self._deployments)}')
        own.setdefault('needs', [flow_graph.last_name(self._deployments)])
        defaults = self._values.executors
        merged = {**defaults, **own}
        if defaults.get('env') and isinstance(own.get('env'), Mapping):
            merged['env'] = {**defaults['env'], **own['env']}
        options = build(DeploymentOptions, merged, where=where)
        if not _NAME.fullmatch(str(name)):
            raise ConfigError(
                f'{where}: {name!r} can not be the name of an Executor', hint='use letters, digits, _ and -'
            )
        if name == GATEWAY:
            raise TopologyError("an Executor can not be named 'gateway'", hint='choose another name')
        if options.protocol != [ProtocolType.GRPC]:
            raise ConfigError(
                f'{where}: an Executor in a Flow speaks gRPC only, got protocol {given.get("protocol")!r}',
                hint='give protocol to the Flow',
            )
        _refuse_public_options(own, where)
        added = Deployment._in_flow(options)
        flow_graph.check_added(self._deployments, added)
        changed = self._copy()
        changed._deployments.append(added)
        changed._own_values[str(name)] = own
        return changed

    def _copy(self) -> Flow:
        twin = copy.copy(self)
        Orchestrator.__init__(twin)
        twin._deployments = [Deployment._in_flow(deployment.options) for deployment in self._deployments]
        twin._own_values = dict(self._own_values)
        twin._gateways = []
        twin._dashboard = None
        return twin

    def _exposed(self) -> Mapping[str, Any]:
        return self.gateway_options.expose_endpoints or {}

    def _expose(self, routes: dict[str, dict[str, Any]]) -> None:
        self._gateway_values = {**self._gateway_values, 'expose_endpoints': routes}
        self.gateway_options = self.gateway_options.model_copy(update={'expose_endpoints': routes})

    def _prepare(self) -> None:
        options = self.gateway_options
        expected: Any = getattr(
            options.uses, 'default_protocol', None
        )  # of a gateway class, unless protocol says otherwise
        given = expected is None or 'protocol' in options.model_fields_set
        launcher.prepare(server_modules(options.protocol if given else [expected]))

    @property
    def logger(self) -> JinaLogger:
        """Logger of the Flow."""
        options = self.options
        return JinaLogger(
            options.name or 'Flow', log_config=options.log_config, quiet=options.quiet, quiet_error=options.quiet_error
        )

    def _title(self) -> str:
        return f'Flow {self.options.name!r}' if self.options.name else 'Flow'

    def _log(self) -> JinaLogger:
        return self.logger

    def _follows_yaml(self) -> bool:
        return self.options.reload

    def _graceful_shutdown_s(self) -> float:
        options = [self.gateway_options, *(d.options for d in self._deployments if not d.external)]
        return max(option.graceful_shutdown_s for option in options)

    def _noblock(self) -> bool:
        return self.gateway_options.noblock_on_start

    def _running_pods(self) -> list[Pod]:
        return [*self._gateways, *self._joining, *(pod for d in self._deployments for pod in d.pods)]

    def _start(self) -> None:
        topology = self.topology
        check_protection(self.gateway_options)
        if topology.hanging:
            names = ', '.join(topology.hanging)
            self.logger.warning(
                'nobody takes the results of %s; add floating=True if that is meant, or needs_all()', names
            )
        network = gateway_network(self.gateway_options, self._deployments)
        if self.options.dashboard and self.gateway_options.uses is None:
            check_protocols(self.gateway_options.protocol)
        self._gateways = []
        for deployment in self._deployments:
            deployment.is_behind(
                lambda: list(self._gateways), in_container=network is not None and not network.is_of_machine
            )
            deployment.launch()
        wait_ready_within([(pod, d.ready_timeout) for d in self._deployments for pod in d.pods])
        wait_ready_within([(head, d.ready_timeout) for d in self._deployments for head in d.launch_head()])
        options = self.complete_gateway_options(topology)
        limit = None if options.timeout_ready < 0 else options.timeout_ready / 1000
        self._gateways.append(self._launch_gateway(options))
        wait_ready(self._gateways, limit)
        # The others join the first one's ports, which are known only now.
        ports = [address.port for address in self.public_addresses]
        for number in range(1, options.replicas):
            again = options.model_copy(update={'replica_id': number, 'port': ports})
            self._gateways.append(self._launch_gateway(again))
        wait_ready(self._gateways, limit)
        if self.options.dashboard:
            self._dashboard = open_dashboard(self)
        self.logger.debug('%d Deployments (i.e. %d Pods) are running in this Flow', self.num_deployments, self.num_pods)

    def _announce(self) -> None:
        if not self.options.quiet:
            executors = [deployment.options for deployment in self._deployments]
            banner.show(self.kind, self.public_addresses, executors, dashboard=self.dashboard_url)

    def _close(self, grace: float) -> None:
        if self._dashboard is not None:
            self._dashboard.close()
            self._dashboard = None
        floats = any(node.floating for node in self.topology.nodes) and not self._interrupted
        behind = [pod for deployment in self._deployments for pod in deployment.pods]
        fronts = [*self._gateways, *self._joining]
        close_in_order(fronts, behind, grace, front_grace=FLOATING_GRACE_S if floats else None)
        self._gateways = []

    def _take(self, configuration: Mapping[str, Any], addresses: Sequence[PodAddress]) -> None:
        vars(self).update(configuration)
        if not any(self.gateway_options.port) and len(addresses) == len(self.gateway_options.protocol):
            ports = [address.port for address in addresses]
            self.gateway_options = self.gateway_options.model_copy(update={'port': ports})
        self._prepare()

    def _launch_gateway(self, options: GatewayOptions) -> Pod:
        owner = f'gateway of {self._title()}'

        def again(addresses: list[PodAddress]) -> GatewayOptions:
            return self._gateway_again(options, addresses)

        if image_of(options.uses) is not None:
            pod = gateway_container(options, owner=owner, logger=self.logger, again=again)
        else:
            pod = Pod(
                options.runtime_name,
                run_server,
                (options, referenced_classes(options)),
                env=pod_environment(options),
                owner=owner,
                logger=self.logger,
                restart=RestartPlan(RestartPolicy.parse(options.restart), lambda addresses: (again(addresses), [])),
            )
        pod.start()
        return pod

    def _put_gateway(self, number: int, pod: Pod) -> None:
        """Have a gateway, which is ready, take the place of another one."""
        self._gateways[number] = pod
        self._joining = []

    def _gateway_again(self, options: GatewayOptions, addresses: list[PodAddress]) -> GatewayOptions:
        """Options of a gateway that takes the place of one that ended, with the Executors as they are now."""
        current = self.complete_gateway_options(self.topology)
        return with_ports(current.model_copy(update={'replica_id': options.replica_id}), addresses)  # type: ignore[no-any-return]

    def complete_gateway_options(self, topology: Topology) -> GatewayOptions:
        """Options of the gateway, with the graph and the addresses of the Executors that run."""
        metadata = {d.name: dict(d.options.grpc_metadata) for d in self._deployments if d.options.grpc_metadata}
        reload = self.gateway_options.reload or any(deployment.options.reload for deployment in self._deployments)
        return self.gateway_options.model_copy(
            update={
                'reload': reload,
                'graph_description': topology.description(),
                'graph_conditions': {node.name: node.when for node in topology.nodes if node.when},
                'graph_merge_order': topology.merge_order(),
                'deployments_addresses': {
                    deployment.name: gateway_addresses(deployment) for deployment in self._deployments
                },
                'deployments_metadata': metadata,
                'deployments_no_reduce': [node.name for node in topology.nodes if node.no_reduce],
            }
        )

    @classmethod
    def from_config(cls, loaded: LoadedYaml, overrides: LoadOverrides) -> Self:
        """Make a Flow from a document; called by ``load_config``."""
        return flow_yaml.read(cls, loaded, overrides)

    def to_config(self) -> dict[str, Any]:
        """The document that describes this Flow."""
        return flow_yaml.write(self)


_ONLY_PUBLIC = ('ssl_certfile', 'ssl_keyfile', 'ssl_cafile', 'api_key', 'api_key_file', 'allow_origins')


def _refuse_public_options(values: Mapping[str, Any], where: str) -> None:
    for name in _ONLY_PUBLIC:
        if values.get(name):
            hint = 'give it to the Flow or to config_gateway()'
            if values.get('external') and name.startswith('api_key'):
                hint = "send a key to an external Executor by grpc_metadata={'authorization': 'Bearer ...'}"
            raise ConfigError(
                f'{where}: {name} is for the server that clients reach; traffic inside a Flow stays plain', hint=hint
            )


async def _answer_false() -> bool:
    return False
