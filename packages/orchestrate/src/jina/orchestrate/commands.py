"""The commands ``jina deployment`` and ``jina flow``."""

from __future__ import annotations

from jina.core.cli.command import Command
from jina.core.config import DeploymentOptions, FlowOptions, changed
from jina.core.errors import ConfigError
from jina.core.yaml import load_yaml
from jina.orchestrate import launcher


def run_deployment(options: DeploymentOptions) -> int:
    """Start a Deployment from options, or from a YAML file that ``uses`` names, and block."""
    launcher.prepare()
    from jina.orchestrate.deployment import Deployment  # noqa: PLC0415 - `jina --help` needs no client

    values = {name: getattr(options, name) for name in changed(options)}
    if _is_document_of(options.uses, 'Deployment'):
        source = values.pop('uses')
        return _serve(Deployment.load_config(source, **values))
    return _serve(Deployment(**values))


def run_flow(options: FlowOptions) -> int:
    """Start the Flow of a YAML file and block."""
    launcher.prepare()
    from jina.orchestrate.flow import Flow  # noqa: PLC0415 - `jina --help` needs no client

    if not options.uses:
        raise ConfigError('jina flow needs the YAML file of a Flow', hint='run: jina flow --uses flow.yml')
    values = {name: getattr(options, name) for name in changed(options)}
    source = values.pop('uses')
    return _serve(Flow.load_config(source, **values))


def _serve(orchestrator: object) -> int:
    from jina.orchestrate.lifecycle import Orchestrator  # noqa: PLC0415

    assert isinstance(orchestrator, Orchestrator)
    try:
        with orchestrator:
            orchestrator.block()
    except SystemExit:  # SIGTERM is how a service is stopped: everything was closed in order
        return 0
    except KeyboardInterrupt:
        return 130
    return 0


def _is_document_of(uses: object, kind: str) -> bool:
    return isinstance(uses, (str, dict)) and load_yaml(uses, substitute=False).data.get('jtype') == kind


DEPLOYMENT = Command(
    name='deployment',
    help='Start a Deployment: an Executor with all its replicas.',
    options=DeploymentOptions,
    run=run_deployment,
)
FLOW = Command(name='flow', help='Start a Flow from its YAML file.', options=FlowOptions, run=run_flow)
