"""What a process tells the gateway that it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from jina.core.config import GatewayOptions, build
from jina.core.enums import ProtocolType
from jina.core.errors import NotStartedError
from jina.core.logging.logger import JinaLogger
from jina.runtime.streamer import GatewayStreamer

MakeServer: TypeAlias = 'Callable[[ProtocolType, str, int, Any], Any]'
"""Makes a server for a protocol, an address and a port; for HTTP, of an ASGI application if there is one."""


@dataclass
class GatewayContext:
    """The surroundings of one gateway.

    Attributes:
        options: Options of the gateway; ``port`` has the real ports if a process runs it.
        logger: Logger of the process.
        streamer: The way to the Executors.
        make_server: Makes a server of the framework; None in a gateway that no process runs.
        grace_s: Seconds that requests in flight may take at the end; until something else is said, what the options say.
    """

    options: GatewayOptions
    logger: JinaLogger
    streamer: GatewayStreamer
    make_server: MakeServer | None = None
    grace_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.grace_s = self.options.graceful_shutdown_s

    @classmethod
    def by_hand(cls, runtime_args: Mapping[str, Any] | argparse.Namespace | None) -> GatewayContext:
        """Makes the surroundings of a gateway that no process runs, for example in a test.

        Args:
            runtime_args: Options of the gateway; others are left out.

        Raises:
            ConfigError: An option has a wrong value.
        """
        given = vars(runtime_args) if isinstance(runtime_args, argparse.Namespace) else dict(runtime_args or {})
        known = {*GatewayOptions.model_fields, *GatewayOptions.aliases()}
        values = {name: value for name, value in given.items() if name in known}
        options = build(GatewayOptions, values, where='runtime_args')
        return cls(options, logger_of(options), GatewayStreamer(options))

    def server(self, protocol: ProtocolType, port: int, app: Any = None) -> Any:
        """Returns a server of the framework, with the protection that the options ask for.

        Args:
            protocol: What it speaks.
            port: Port to listen on.
            app: ASGI application of an HTTP server; by default it serves the endpoints of the Executors.

        Raises:
            NotStartedError: No process runs the gateway.
            MissingExtraError: The protocol needs packages that aren't installed.
        """
        if self.make_server is None:
            raise NotStartedError(
                'a gateway that was made by hand has no server of the framework',
                hint='start it by Flow().config_gateway(uses=...) or by `jina gateway --uses ...`',
            )
        return self.make_server(protocol, self.options.host, port, app)

    def runtime_args(self) -> argparse.Namespace:
        """Returns all options as the original gives them to gateways."""
        options = self.options
        values = {name: getattr(options, name) for name in type(options).model_fields}
        return argparse.Namespace(**{**values, 'runtime_name': options.runtime_name})


def logger_of(options: GatewayOptions) -> JinaLogger:
    """Returns the logger that the options describe."""
    return JinaLogger(
        options.runtime_name,
        log_config=options.log_config,
        quiet=options.quiet,
        quiet_error=options.quiet_error,
    )
