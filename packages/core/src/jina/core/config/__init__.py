"""All options of the framework: the only place where an option exists, with its name, type, default and description."""

from jina.core.config.address import HostText, PodAddress, external_addresses, parse_host
from jina.core.config.arguments import changed, to_arguments
from jina.core.config.base import OptionInfo, Options, default_of, description_of, option, option_info
from jina.core.config.batching import DynamicBatchingOptions, check_batching, merge_batching
from jina.core.config.build import build, nearest, unknown_option
from jina.core.config.commands import CheckOptions, CompletionOptions, HelpOptions, HubNewOptions
from jina.core.config.containers import CONTAINER_OPTIONS, container_arguments, refuse_container_options
from jina.core.config.flow import FlowValues, split_flow_values
from jina.core.config.groups import EssentialOptions, PodOptions
from jina.core.config.models import (
    AroundOptions,
    ClientCallOptions,
    ClientOptions,
    DashboardOptions,
    DeploymentOptions,
    ExecutorOptions,
    ExportComposeOptions,
    ExportDashboardsOptions,
    ExportDockerfileOptions,
    ExportFlowchartOptions,
    ExportKubernetesOptions,
    ExportOptions,
    ExportSchemaOptions,
    FlowOptions,
    GatewayOptions,
    NewOptions,
    PingOptions,
)
from jina.core.config.protection import PUBLIC_OPTIONS, api_keys_of
from jina.core.config.raft import RaftOptions, check_raft
from jina.core.config.restart import RestartPolicy
from jina.core.config.routes import PYTHON_ONLY, RouteOptions, check_routes
from jina.core.config.shards import shard_addresses
from jina.core.config.stateful import peer_ports_of, peers_of

__all__ = [
    'CONTAINER_OPTIONS',
    'PUBLIC_OPTIONS',
    'PYTHON_ONLY',
    'AroundOptions',
    'CheckOptions',
    'ClientCallOptions',
    'ClientOptions',
    'CompletionOptions',
    'DashboardOptions',
    'DeploymentOptions',
    'DynamicBatchingOptions',
    'EssentialOptions',
    'ExecutorOptions',
    'ExportComposeOptions',
    'ExportDashboardsOptions',
    'ExportDockerfileOptions',
    'ExportFlowchartOptions',
    'ExportKubernetesOptions',
    'ExportOptions',
    'ExportSchemaOptions',
    'FlowOptions',
    'FlowValues',
    'GatewayOptions',
    'HelpOptions',
    'HostText',
    'HubNewOptions',
    'NewOptions',
    'OptionInfo',
    'Options',
    'PingOptions',
    'PodAddress',
    'PodOptions',
    'RaftOptions',
    'RestartPolicy',
    'RouteOptions',
    'api_keys_of',
    'build',
    'changed',
    'check_batching',
    'check_raft',
    'check_routes',
    'container_arguments',
    'default_of',
    'description_of',
    'external_addresses',
    'merge_batching',
    'nearest',
    'option',
    'option_info',
    'parse_host',
    'peer_ports_of',
    'peers_of',
    'refuse_container_options',
    'shard_addresses',
    'split_flow_values',
    'to_arguments',
    'unknown_option',
]
