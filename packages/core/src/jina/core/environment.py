"""Typed access to the environment variables of the framework, and the facts that ``jina -vf`` and ``/status`` report.

Variables are read at each call, so that a script may set them after its imports.
"""

from __future__ import annotations

import functools
import os
import sys
import time

from jina.core.errors import ConfigError
from jina.core.version import __version__

WINDOWS = sys.platform == 'win32'
DEFAULT_HOST = '127.0.0.1' if WINDOWS else '0.0.0.0'
"""Address that servers listen on unless ``host`` or ``JINA_DEFAULT_HOST`` says otherwise."""
DOCKER_HOST = 'host.docker.internal'
"""Name of the host machine inside containers."""
PROTO_VERSION = '0.1.27'
"""Version of the public wire protocol."""
UNSET = '(unset)'
"""What reports show for a variable or a package that is absent."""

STREAMER_ARGS = 'JINA_STREAMER_ARGS'
"""Tells the processes that a custom gateway starts where the Executors are."""

REPORTED = (
    'JINA_DEFAULT_HOST',
    'JINA_DEFAULT_TIMEOUT_CTRL',
    'JINA_DEPLOYMENT_NAME',
    'JINA_DISABLE_FAST_LANE',
    'JINA_DISABLE_HTTP2_CLIENT',
    'JINA_DISABLE_HTTP2_SERVER',
    'JINA_DISABLE_LOCAL_LANE',
    'JINA_DISABLE_UVLOOP',
    'JINA_EARLY_STOP',
    'JINA_FULL_CLI',
    'JINA_GATEWAY_IMAGE',
    'JINA_GRPC_RECV_BYTES',
    'JINA_GRPC_SEND_BYTES',
    'JINA_HUB_NO_IMAGE_REBUILD',
    'JINA_LOG_CONFIG',
    'JINA_LOG_LEVEL',
    'JINA_LOG_NO_COLOR',
    'JINA_MP_START_METHOD',
    'JINA_OPTOUT_TELEMETRY',
    'JINA_RANDOM_PORT_MAX',
    'JINA_RANDOM_PORT_MIN',
    'JINA_RESTARTS',
    'JINA_LOCKS_ROOT',
    'JINA_K8S_ACCESS_MODES',
    'JINA_K8S_STORAGE_CLASS_NAME',
    'JINA_K8S_STORAGE_CAPACITY',
    STREAMER_ARGS,
)
"""Variables that ``jina -vf`` and ``/status`` report, in this order."""

START_METHODS = ('fork', 'spawn', 'forkserver')

_CI_VENDORS = {
    'APPVEYOR': 'AppVeyor',
    'BITBUCKET_COMMIT': 'Bitbucket Pipelines',
    'BUILDKITE': 'Buildkite',
    'CIRCLECI': 'CircleCI',
    'CODEBUILD_BUILD_ARN': 'AWS CodeBuild',
    'DRONE': 'Drone',
    'GITHUB_ACTIONS': 'GitHub Actions',
    'GITLAB_CI': 'GitLab CI',
    'JENKINS_URL': 'Jenkins',
    'TEAMCITY_VERSION': 'TeamCity',
    'TF_BUILD': 'Azure Pipelines',
    'TRAVIS': 'Travis CI',
}

_STARTED_AT_S = time.time()


def default_host() -> str:
    """Returns the address that servers listen on by default (``JINA_DEFAULT_HOST``)."""
    return os.environ.get('JINA_DEFAULT_HOST') or DEFAULT_HOST


DEFAULT_TIMEOUT_CTRL = 60
"""Default of the option ``timeout_ctrl`` where nothing else is said."""


def default_timeout_ctrl() -> int:
    """Returns the default time limit of control requests in milliseconds (``JINA_DEFAULT_TIMEOUT_CTRL``, 60)."""
    return _integer('JINA_DEFAULT_TIMEOUT_CTRL', DEFAULT_TIMEOUT_CTRL)


def deployment_name() -> str | None:
    """Returns the full name of this process's pod (``JINA_DEPLOYMENT_NAME``), None outside pods."""
    return os.environ.get('JINA_DEPLOYMENT_NAME') or None


def gateway_image() -> str | None:
    """Returns the image that exports use for gateways instead of the default (``JINA_GATEWAY_IMAGE``)."""
    return os.environ.get('JINA_GATEWAY_IMAGE') or None


def log_config() -> str | None:
    """Returns the logging configuration that overrides every ``log_config`` option (``JINA_LOG_CONFIG``)."""
    return os.environ.get('JINA_LOG_CONFIG') or None


def log_level() -> str | None:
    """Returns the level that overrides the one of the logging configuration (``JINA_LOG_LEVEL``), in capitals."""
    return os.environ.get('JINA_LOG_LEVEL', '').upper() or None


def start_method() -> str | None:
    """Returns how pods are to be started (``JINA_MP_START_METHOD``), None if it is left to the framework.

    Raises:
        ConfigError: The value is none of fork, spawn and forkserver.
    """
    value = os.environ.get('JINA_MP_START_METHOD', '').lower()
    if value and value not in START_METHODS:
        raise ConfigError(
            f'environment variable JINA_MP_START_METHOD is {value!r}', hint=f'use one of {", ".join(START_METHODS)}'
        )
    return value or None


def random_port_range() -> tuple[int, int] | None:
    """Returns the bounds for ports that aren't given (``JINA_RANDOM_PORT_MIN`` and ``JINA_RANDOM_PORT_MAX``).

    Returns:
        The lowest and the highest port, or None if neither is set: the operating system chooses then.

    Raises:
        ConfigError: A bound isn't a port number, or they are in the wrong order.
    """
    if 'JINA_RANDOM_PORT_MIN' not in os.environ and 'JINA_RANDOM_PORT_MAX' not in os.environ:
        return None
    low, high = _integer('JINA_RANDOM_PORT_MIN', 49153), _integer('JINA_RANDOM_PORT_MAX', 65535)
    if not 0 < low <= high <= 65535:
        raise ConfigError(
            f'environment variables JINA_RANDOM_PORT_MIN={low} and JINA_RANDOM_PORT_MAX={high} are no port range',
            hint='use 1 <= min <= max <= 65535',
        )
    return low, high


def early_stop() -> bool:
    """Whether a Flow's process ends as soon as one deployment fails (presence of ``JINA_EARLY_STOP``)."""
    return 'JINA_EARLY_STOP' in os.environ


def full_cli() -> bool:
    """Whether help texts show all options (presence of ``JINA_FULL_CLI``)."""
    return 'JINA_FULL_CLI' in os.environ


def log_without_color() -> bool:
    """Whether console logs are plain text (presence of ``JINA_LOG_NO_COLOR``)."""
    return 'JINA_LOG_NO_COLOR' in os.environ


def uvloop_disabled() -> bool:
    """Whether servers keep away from uvloop (presence of ``JINA_DISABLE_UVLOOP``)."""
    return 'JINA_DISABLE_UVLOOP' in os.environ


def fast_lane_disabled() -> bool:
    """Whether processes talk to each other by plain gRPC calls only (presence of ``JINA_DISABLE_FAST_LANE``)."""
    return 'JINA_DISABLE_FAST_LANE' in os.environ


def local_lane_disabled() -> bool:
    """Whether processes on one machine talk over TCP only, as others do (presence of ``JINA_DISABLE_LOCAL_LANE``)."""
    return 'JINA_DISABLE_LOCAL_LANE' in os.environ


def http2_client_disabled() -> bool:
    """Whether gateways call Executors by the channels of gRPC's C library in any case (presence of ``JINA_DISABLE_HTTP2_CLIENT``)."""
    return 'JINA_DISABLE_HTTP2_CLIENT' in os.environ


def http2_server_disabled() -> bool:
    """Whether gRPC is served by the server of its C library in any case (presence of ``JINA_DISABLE_HTTP2_SERVER``)."""
    return 'JINA_DISABLE_HTTP2_SERVER' in os.environ


def restarts() -> int:
    """How often this process was started again after it ended by itself (``JINA_RESTARTS``)."""
    return _integer('JINA_RESTARTS', 0)


def environment_facts() -> dict[str, str]:
    """Returns the reported variables and their values, in the documented order; absent ones as ``(unset)``.

    Addresses and metadata of the Executors, which a gateway tells the processes that it starts, are for nobody else.
    """
    facts = {name: os.environ.get(name, UNSET) for name in REPORTED}
    if facts[STREAMER_ARGS] != UNSET:
        facts[STREAMER_ARGS] = '(set)'
    return facts


@functools.lru_cache
def _session_id() -> str:
    import uuid  # noqa: PLC0415

    return str(uuid.uuid1())


def system_facts() -> dict[str, str]:
    """Returns versions and platform facts, in the documented order; absent packages as ``(unset)``."""
    import platform  # noqa: PLC0415 (only reports need these; every process imports this module)
    import uuid  # noqa: PLC0415
    from datetime import datetime  # noqa: PLC0415

    system = platform.uname()
    return {
        'jina': __version__,
        'docarray': _package_version('docarray'),
        'jcloud': _package_version('jcloud'),
        'jina-hubble-sdk': _package_version('jina-hubble-sdk'),
        'jina-proto': PROTO_VERSION,
        'protobuf': _package_version('protobuf'),
        'proto-backend': _protobuf_backend(),
        'grpcio': _package_version('grpcio'),
        'pyyaml': _package_version('pyyaml'),
        'python': platform.python_version(),
        'platform': system.system,
        'platform-release': system.release,
        'platform-version': system.version,
        'architecture': system.machine,
        'processor': system.processor,
        'uid': str(uuid.getnode()),
        'session-id': _session_id(),
        'uptime': datetime.fromtimestamp(_STARTED_AT_S).isoformat(),
        'ci-vendor': next((vendor for name, vendor in _CI_VENDORS.items() if os.environ.get(name)), UNSET),
        'internal': 'False',
    }


def _integer(name: str, default: int) -> int:
    value = os.environ.get(name)
    if not value:
        return default
    try:
        return int(value)
    except ValueError:
        raise ConfigError(f'environment variable {name} is {value!r}, not a whole number') from None


def _package_version(name: str) -> str:
    import importlib.metadata  # noqa: PLC0415 (slow to import, only reports need it)

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return UNSET


def _protobuf_backend() -> str:
    from google.protobuf.internal import api_implementation  # noqa: PLC0415 (only reports need protobuf here)

    return str(api_implementation.Type())
