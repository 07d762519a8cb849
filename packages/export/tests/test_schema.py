"""The JSON Schema, with a validator as editors have one, against documents that the framework accepts and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from jina.core.config import DeploymentOptions, FlowOptions, GatewayOptions
from jina.core.errors import ConfigError
from jina.core.version import __version__
from jina.export import export_schema
from jina.export.schema import json_schema

RIGHT = {
    'empty flow': 'jtype: Flow',
    'page': """
jtype: Flow
version: '1'
with:
  port: 12345
  protocol: [grpc, http]
  env: {A: b}
  cors: true
  timeout_send: 500
  uses_dynamic_batching: {/default: {preferred_batch_size: 10, timeout: 200}}
executors:
- name: firstexec
  uses:
    jtype: MyExec
    py_modules: [executor.py]
- {name: secondexec, uses: indexer.yml, workspace: /home/my/workspace, needs: gateway, when: {tags__key: {$eq: 5}}}
- {name: thirdexec, uses: CustomExec, py_modules: executor.py, replicas: 2, needs: [firstexec, secondexec], no_reduce: true}
- deployment.yml
- jtype: Deployment
  with: {uses: Other, polling: {/custom: ALL, '*': ANY}}
- {name: last, method: needs_all, jcloud: {expose: true}}
gateway: {protocol: http, port: 8080, jcloud: {timeout: 800}}
jcloud: {version: 3.27.20}
""",
    'variables': 'jtype: Flow\nwith: {port: "${{ ENV.PORT }}"}\nexecutors: [{replicas: "${{ CONTEXT.n }}", tls: $TLS}]',
    'deployment': 'jtype: Deployment\nname: a\nuses: B\nuses_with: {c: d}\nwith: {port: [1, 2], protocol: [GRPC, HTTP], reload: true}',
    'hosts': 'jtype: Deployment\nwith: {external: true, host: "a:1,b:2", ports: "1,2"}',
    'executor': """
jtype: MyExec
with: {match_args: {}}
py_modules: [executor.py]
metas: {name: Indexer, description: Indexes, url: https://github.com, keywords: [a, b], custom: 3}
requests: {/index: index}
dynamic_batching: {/index: {preferred_batch_size: 4, timeout: 1.5}}
""",
    'gateway': 'jtype: MyGateway\npy_modules: gateway.py\nwith: {a: 1}\nport: 3',
}
WRONG = {
    'key': ('jtype: Flow\nexecutrs: []', 'executrs'),
    'option of an executor': ('jtype: Flow\nexecutors: [{replicsa: 3}]', 'replicsa'),
    'option of a flow': ('jtype: Flow\nwith: {prot: 3}', 'prot'),
    'name of one part for all': ('jtype: Flow\nwith: {needs: [a]}', 'needs'),
    'kind of a value': ('jtype: Deployment\nwith: {replicas: many}', 'many'),
    'size of a value': ('jtype: Deployment\nreplicas: 0', '0'),
    'port': ('jtype: Deployment\nwith: {port: 70000}', '70000'),
    'choice': ('jtype: Flow\ngateway: {protocol: htp}', 'htp'),
    'batching': ('jtype: A\ndynamic_batching: {/a: {prefered_batch_size: 1}}', 'prefered_batch_size'),
    'endpoints': ('jtype: A\nrequests: {/a: [b]}', 'b'),
    'key of an executor': ('jtype: A\nwiht: {a: 1}', 'wiht'),
    'no class': ('with: {}', 'jtype'),
}


@pytest.fixture(scope='module')
def schema() -> dict[str, Any]:
    return json_schema()


def errors_of(schema: dict[str, Any], text: str) -> str:
    validator = jsonschema.Draft7Validator(schema)
    return '\n'.join(str(error) for error in validator.iter_errors(yaml.safe_load(text)))


def test_it_is_a_schema(schema: dict[str, Any]) -> None:
    jsonschema.Draft7Validator.check_schema(schema)
    assert {'Jina::Gateway', 'Jina::Executors::All', 'Jina::Flow', 'Jina::Metas', 'Jina::Deployment'} <= set(
        schema['definitions']
    )


@pytest.mark.parametrize('name', RIGHT)
def test_right_documents(schema: dict[str, Any], name: str) -> None:
    assert not errors_of(schema, RIGHT[name])


@pytest.mark.parametrize('name', WRONG)
def test_wrong_documents(schema: dict[str, Any], name: str) -> None:
    text, word = WRONG[name]
    assert word in errors_of(schema, text)


def test_every_option_has_its_description(schema: dict[str, Any]) -> None:
    for definition, model in (('Deployment', DeploymentOptions), ('Gateway', GatewayOptions)):
        properties = schema['definitions'][f'Jina::{definition}']['properties']
        for name in (*model.model_fields, *model.aliases()):
            assert properties[name]['description']
    arguments = schema['definitions']['Jina::Flow']['properties']['with']['properties']
    assert set(FlowOptions.model_fields) <= set(arguments)
    assert arguments['prefetch']['default'] == 1000
    assert arguments['timeout_ready']['anyOf'][0] == {'type': 'integer', 'minimum': -1}


def test_files(schema: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written = export_schema(yaml_path=['a.yml'], json_path=['b-%s.json', 'c.json'], schema_path=['d.json'])
    assert written == ['a.yml', f'b-{__version__}.json', 'c.json', 'd.json']
    assert yaml.safe_load((tmp_path / 'a.yml').read_text()) == schema
    for name in written[1:]:
        assert json.loads((tmp_path / name).read_text()) == schema
    with pytest.raises(ConfigError, match="can not be written to 'no/such/folder'"):
        export_schema(json_path=['no/such/folder'])


def test_command(schema: dict[str, Any], tmp_path: Path) -> None:
    command = [
        sys.executable,
        '-c',
        'import sys; from jina.core.cli.main import main; sys.exit(main())',
        'export',
        'schema',
    ]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert json.loads(printed.stdout) == schema
    done = subprocess.run(
        [*command, '--schema-path', 'x.json'], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, 'wrote x.json\n', '')
    assert json.loads((tmp_path / 'x.json').read_text()) == schema
