"""The commands ``jina deployment`` and ``jina flow``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jina.core.cli.command import Command
from jina.core.config import DeploymentOptions, FlowOptions, changed
from jina.core.errors import ConfigError
from jina.core.yaml import LoadOverrides, load_yaml
from jina.orchestrate import launcher

if TYPE_CHECKING:
    from jina.core.cli.command import Check
    from jina.orchestrate.lifecycle import Orchestrator


def prepare_deployment(values: dict[str, Any], check: Check) -> Orchestrator:
    """The Deployment of options, or of the YAML file that ``uses`` names with the other options on top of it."""
    source: Any = values.get('uses')
    if not _is_document_of(source, 'Deployment'):
        options = check(values)
        launcher.prepare()
        from jina.orchestrate.deployment import Deployment  # noqa: PLC0415 - `jina --help` needs no client

        return Deployment(**{name: getattr(options, name) for name in changed(options)})
    from jina.orchestrate import deployment_yaml  # noqa: PLC0415 - as above
    from jina.orchestrate.deployment import Deployment  # noqa: PLC0415

    given = {name: value for name, value in values.items() if name != 'uses'}
    loaded = load_yaml(source)
    document = deployment_yaml.read(loaded, LoadOverrides(arguments=given), checked=False)
    locate = deployment_yaml.places(loaded)
    # Together: the file may give the protocols and the command line their ports.
    check(document, lambda name: None if name in given else locate(name))
    return Deployment.load_config(source, **given)


def run_deployment(deployment: Orchestrator) -> int:
    """Start a Deployment and block."""
    return _serve(deployment)


def run_flow(options: FlowOptions) -> int:
    """Start the Flow of a YAML file and block."""
    launcher.prepare()
    from jina.orchestrate.flow import Flow  # noqa: PLC0415 - `jina --help` needs no client

    if not options.uses:
        raise ConfigError('jina flow needs the YAML file of a Flow', hint='run: jina flow --uses flow.yml')
    values = {name: getattr(options, name) for name in changed(options)}
    source = values.pop('uses')
    return _serve(Flow.load_config(source, **values))


def _serve(orchestrator: Orchestrator) -> int:
    try:
        orchestrator.run()
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
    prepare=prepare_deployment,
)
FLOW = Command(name='flow', help='Start a Flow from its YAML file.', options=FlowOptions, run=run_flow)
