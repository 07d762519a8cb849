"""Every command and flag of the original's command line is there, and hidden ones are hidden."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from jina.core.cli import Command, CommandGroup, discovery
from jina.core.config import ClientOptions, option_info
from jina.core.config.arguments import flag

JINA = Path(sys.executable).with_name('jina')

ESSENTIAL = '--name --workspace --log-config --quiet --quiet-error --workspace-id'
BASE = (
    '--extra-search-paths --timeout-ctrl --k8s-namespace --entrypoint --docker-kwargs --runtime-cls --timeout-ready --env '
    '--env-from-secret --image-pull-secrets --shard-id --pod-role --noblock-on-start --floating --replica-id --reload '
    '--port --ports --protocol --protocols --provider --provider-endpoint --monitoring --port-monitoring --retries '
    '--tracing --traces-exporter-host --traces-exporter-port --metrics --metrics-exporter-host --metrics-exporter-port '
    '--stateful --peer-ports --grpc-server-options --grpc-channel-options --compression --timeout-send'
)
EXECUTOR = (
    f'{ESSENTIAL} {BASE} --polling --shards --replicas --native --uses --uses-with --uses-metas --uses-requests '
    '--uses-dynamic-batching --py-modules --output-array-type --exit-on-exceptions --no-reduce --disable-reduce '
    '--allow-concurrent --raft-configuration --volumes --gpus --disable-auto-volume --force-network-mode --host '
    '--host-in --install-requirements --force-update --force --prefer-platform --uses-before-address '
    '--uses-after-address --connection-list'
)
SERVER = '--title --description --cors --uvicorn-kwargs --ssl-certfile --ssl-keyfile'
EXPECTED = {
    'executor': EXECUTOR,
    'deployment': f'{EXECUTOR} {SERVER} --uses-before --uses-after --when --external --grpc-metadata --deployment-role --tls',
    'gateway': (
        f'{ESSENTIAL} {BASE} {SERVER} --host --prefetch --no-debug-endpoints --no-crud-endpoints --expose-endpoints '
        '--expose-graphql-endpoint --proxy --uses --uses-with --py-modules --replicas --graph-description '
        '--graph-conditions --deployments-addresses --deployments-metadata --deployments-no-reduce '
        '--deployments-disable-reduce --port-expose --port-in'
    ),
    'flow': f'{ESSENTIAL} --suppress-root-logging --uses --reload --env --inspect',
    'client': (
        '--proxy --host --port --tls --asyncio --tracing --traces-exporter-host --traces-exporter-port --metrics '
        '--metrics-exporter-host --metrics-exporter-port --log-config --reuse-session --protocol --grpc-channel-options '
        '--prefetch --suppress-root-logging'
    ),
    'ping': '--timeout --attempts --min-successful-attempts',
    'new': '--type',
    'hub new': '--name --path --advance-configuration --description --keywords --url --dockerfile',
    'export flowchart': '--vertical-layout',
    'export kubernetes': '--k8s-namespace',
    'export docker-compose': '--network-name',
    'export schema': '--yaml-path --json-path --schema-path',
}
POSITIONAL = {
    'ping': ['target', 'host'],
    'new': ['name'],
    'export flowchart': ['config_path', 'outpath'],
    'export kubernetes': ['config_path', 'outpath'],
    'export docker-compose': ['config_path', 'outpath'],
    'help': ['query'],
}
_HIDDEN = (
    '--workspace-id --extra-search-paths --k8s-namespace --env-from-secret --image-pull-secrets --shard-id --pod-role '
    '--noblock-on-start --replica-id --force-network-mode --deployment-role'
)
HIDDEN = set(_HIDDEN.split())
HIDDEN_COMMANDS = {'gateway', 'pod', 'deployment', 'client'}


def command(path: str) -> Command:
    name, _, child = path.partition(' ')
    loaded = discovery.load(discovery.installed()[name])
    if isinstance(loaded, CommandGroup):
        found = loaded.find(child)
        assert found is not None
        return found
    return loaded


def spellings(path: str) -> dict[str, bool]:
    """Every flag of a command, and whether it is hidden."""
    found: dict[str, bool] = {}
    model = ClientOptions if path == 'client' else command(path).options
    for name, field in model.model_fields.items():
        info = option_info(field)
        if info.cli and not info.positional:
            found.update(dict.fromkeys(map(flag, (name, *info.aliases)), info.hidden))
    return found


@pytest.mark.parametrize('path', EXPECTED)
def test_flags(path: str) -> None:
    flags = spellings(path)
    assert set(EXPECTED[path].split()) <= set(flags)
    hidden = (
        set() if path.startswith('export') else HIDDEN
    )  # a namespace is hidden but where Kubernetes YAML is written
    assert {name for name in EXPECTED[path].split() if flags[name]} == hidden & set(EXPECTED[path].split())


@pytest.mark.parametrize('path', POSITIONAL)
def test_positional_arguments(path: str) -> None:
    fields = command(path).options.model_fields
    assert [name for name, field in fields.items() if option_info(field).positional] == POSITIONAL[path]


def test_commands() -> None:
    visible = {name for name in {path.partition(' ')[0] for path in EXPECTED} | {'help'} if name not in HIDDEN_COMMANDS}
    shown = jina('--help').stdout
    rows = shown.partition('commands:\n')[2].partition('\n\n')[0].splitlines()
    assert {row.split()[0] for row in rows} == visible | {'check', 'completion', 'dashboard'}
    for name in HIDDEN_COMMANDS - {'client'}:
        assert jina(name, '--help').returncode == 0
    for name, words in {'hub': ['push', '.'], 'auth': ['login'], 'cloud': ['flow', 'list']}.items():
        done = jina(name, *words)
        assert done.returncode == 1
        assert 'which this framework does not use' in done.stderr


def test_help_of_an_export() -> None:
    assert 'flowchart' in jina('export', '--help').stdout
    assert jina('export').returncode == 2
    assert (
        jina('export', 'flowchrt').stderr == "error: jina export has no command 'flowchrt'; did you mean 'flowchart'?\n"
    )
    assert jina('export', 'docker-compose', '--help').stdout.startswith(
        'usage: jina export docker-compose [OPTIONS] CONFIG_PATH OUTPATH'
    )


def test_look_up_of_an_option() -> None:
    done = jina('help', 'timeout_ready')
    assert done.stdout.startswith('--timeout-ready INT  (jina executor, deployment, gateway)\n    Milliseconds')
    assert '--replicas INT' in jina('help', 'replics').stdout


def test_help_is_quick() -> None:
    fastest = min(timed('--help') for _ in range(5))
    assert fastest < 0.3 * slowness()


def jina(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([JINA, *arguments], capture_output=True, text=True, timeout=60)


def timed(*arguments: str) -> float:
    begin = time.perf_counter()
    jina(*arguments)
    return time.perf_counter() - begin


def slowness() -> float:
    """How much slower this machine starts Python just now than an idle one (0.02 s); never below 1."""
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        subprocess.run([sys.executable, '-c', 'pass'], check=True)
        times.append(time.perf_counter() - begin)
    return max(1.0, min(times) / 0.02)
