from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from importlib.resources import files

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from jina.core import wire

FIELD = descriptor_pb2.FieldDescriptorProto


@pytest.fixture(scope='module')
def public() -> descriptor_pb2.FileDescriptorSet:
    return descriptor_pb2.FileDescriptorSet.FromString(files('jina.core._proto').joinpath('public.binpb').read_bytes())


@pytest.fixture(scope='module')
def public_pool(public: descriptor_pb2.FileDescriptorSet) -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in public.file:
        pool.Add(file)
    return pool


def envelope() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto()
    wire.DataRequestProto.DESCRIPTOR.file.CopyToProto(file)
    return file


def incompatible_fields(
    ours: descriptor_pb2.DescriptorProto, theirs: descriptor_pb2.DescriptorProto, prefix: str = ''
) -> list[str]:
    """Fields of ``ours`` that a reader of ``theirs`` would not understand in the same way, or the reverse."""
    by_number = {field.number: field for field in theirs.field}
    wrong = []
    for field in ours.field:
        public_field = by_number.pop(field.number, None)
        place = f'{prefix}{ours.name}.{field.name}'
        if public_field is None or (field.name, field.label) != (public_field.name, public_field.label):
            wrong.append(place)
        elif field.type == FIELD.TYPE_BYTES and public_field.type == FIELD.TYPE_MESSAGE:
            continue  # a message is length-delimited bytes
        elif (field.type, field.proto3_optional, field.type_name.replace('.jina.core.', '.jina.')) != (
            public_field.type,
            public_field.proto3_optional,
            public_field.type_name,
        ):
            wrong.append(place)
    wrong += [f'{prefix}{ours.name}: {field.name} is missing' for field in by_number.values()]
    nested = {message.name: message for message in theirs.nested_type}
    for message in ours.nested_type:
        wrong += incompatible_fields(message, nested[message.name], f'{ours.name}.')
    enums = {enum.name: enum for enum in theirs.enum_type}
    wrong += [enum.name for enum in ours.enum_type if enum.value != enums[enum.name].value]
    return wrong


def test_envelope_is_wire_compatible_with_the_public_contract(public: descriptor_pb2.FileDescriptorSet) -> None:
    theirs = {
        message.name: message for file in public.file if file.name == 'jina.proto' for message in file.message_type
    }
    ours = envelope().message_type
    assert len(ours) == 8
    assert [place for message in ours for place in incompatible_fields(message, theirs[message.name])] == []


def test_compatibility_check_notices_a_changed_number(public: descriptor_pb2.FileDescriptorSet) -> None:
    theirs = next(
        message
        for file in public.file
        for message in file.message_type
        if file.name == 'jina.proto' and message.name == 'HeaderProto'
    )
    ours = next(message for message in envelope().message_type if message.name == 'HeaderProto')
    ours.field[0].number = 9
    assert incompatible_fields(ours, theirs) == ['HeaderProto.request_id', 'HeaderProto: request_id is missing']


def test_public_message_reads_what_the_envelope_writes(public_pool: descriptor_pool.DescriptorPool) -> None:
    public_request = message_factory.GetMessageClass(public_pool.FindMessageTypeByName('jina.DataRequestProto'))
    ours = wire.DataRequestProto(data=b'\x0a\x02\x0a\x00')
    ours.header.exec_endpoint = '/index'
    ours.parameters.update({'top_k': 3})
    ours.routes.add(executor='gateway').start_time.GetCurrentTime()
    theirs = public_request.FromString(ours.SerializeToString())
    assert theirs.header.exec_endpoint == '/index'
    assert theirs.parameters.fields['top_k'].number_value == 3
    assert theirs.routes[0].executor == 'gateway'
    assert theirs.routes[0].start_time.seconds == ours.routes[0].start_time.seconds
    assert len(theirs.data.docs.docs) == 1
    assert wire.DataRequestProto.FromString(theirs.SerializeToString()) == ours


def test_docarray_messages_equal_those_of_docarray(public: descriptor_pb2.FileDescriptorSet) -> None:
    from docarray.proto import DocProto

    theirs = descriptor_pb2.FileDescriptorProto()
    DocProto.DESCRIPTOR.file.CopyToProto(theirs)
    ours = next(file for file in public.file if file.name == 'docarray.proto')
    assert ours.package == theirs.package
    assert [without_json_names(message) for message in ours.message_type] == [
        without_json_names(message) for message in theirs.message_type
    ]


def without_json_names(message: descriptor_pb2.DescriptorProto) -> descriptor_pb2.DescriptorProto:
    """Descriptors from protoc carry the JSON names that others leave to be derived."""
    plain = descriptor_pb2.DescriptorProto.FromString(message.SerializeToString())
    for part in (plain, *plain.nested_type):
        for field in part.field:
            field.ClearField('json_name')
    return plain


@pytest.mark.parametrize(
    ('path', 'request_type', 'response_type', 'streams'),
    [
        (wire.PROCESS_DATA, 'jina.DataRequestListProto', 'jina.DataRequestProto', (False, False)),
        (wire.PROCESS_SINGLE_DATA, 'jina.DataRequestProto', 'jina.DataRequestProto', (False, False)),
        (wire.STREAM_DOC, 'jina.SingleDocumentRequestProto', 'jina.SingleDocumentRequestProto', (False, True)),
        (wire.CALL, 'jina.DataRequestProto', 'jina.DataRequestProto', (True, True)),
        (wire.ENDPOINT_DISCOVERY, 'google.protobuf.Empty', 'jina.EndpointsProto', (False, False)),
        (wire.DRY_RUN, 'google.protobuf.Empty', 'jina.StatusProto', (False, False)),
        (wire.STATUS, 'google.protobuf.Empty', 'jina.JinaInfoProto', (False, False)),
        (wire.SNAPSHOT, 'google.protobuf.Empty', 'jina.SnapshotStatusProto', (False, False)),
        (wire.SNAPSHOT_STATUS, 'jina.SnapshotId', 'jina.SnapshotStatusProto', (False, False)),
        (wire.RESTORE, 'jina.RestoreSnapshotCommand', 'jina.RestoreSnapshotStatusProto', (False, False)),
        (wire.RESTORE_STATUS, 'jina.RestoreId', 'jina.RestoreSnapshotStatusProto', (False, False)),
    ],
)
def test_method_paths_exist_in_the_public_contract(
    public_pool: descriptor_pool.DescriptorPool,
    path: str,
    request_type: str,
    response_type: str,
    streams: tuple[bool, bool],
) -> None:
    _, service, name = path.split('/')
    described = descriptor_pb2.ServiceDescriptorProto()
    public_pool.FindServiceByName(service).CopyToProto(described)
    method = next(method for method in described.method if method.name == name)
    assert (method.input_type, method.output_type) == (f'.{request_type}', f'.{response_type}')
    assert (method.client_streaming, method.server_streaming) == streams


def test_listed_services_exist_in_the_public_contract(public_pool: descriptor_pool.DescriptorPool) -> None:
    assert len(wire.SERVICE_NAMES) == 7
    assert [public_pool.FindServiceByName(name).full_name for name in wire.SERVICE_NAMES] == list(wire.SERVICE_NAMES)


def test_generated_code_is_for_the_declared_floor_of_protobuf() -> None:
    requirements = importlib.metadata.requires('jina-core') or []
    floor = next(found[1] for line in requirements if (found := re.match(r'protobuf>=([\d.]+)', line)))
    source = files('jina.core._proto').joinpath('envelope_pb2.py').read_text(encoding='utf-8')
    version = re.search(r'^# Protobuf Python Version: (\S+)$', source, re.MULTILINE)
    assert version is not None
    assert version[1].removesuffix('.0') == floor.removesuffix('.0')


def test_user_options_win_over_defaults() -> None:
    merged = dict(
        wire.merge_grpc_options(
            {'grpc.keepalive_time_ms': 1, 'grpc.so_reuseport': 0, 'grpc.http1.max_pings_without_data': None}
        )
    )
    assert merged['grpc.keepalive_time_ms'] == 1
    assert merged['grpc.so_reuseport'] == 0
    assert merged['grpc.max_receive_message_length'] == -1
    assert 'grpc.http1.max_pings_without_data' not in merged
    assert wire.merge_grpc_options(None) == list(wire.DEFAULT_GRPC_OPTIONS)


@pytest.mark.parametrize(
    ('module', 'unwanted'),
    [
        ('jina.core.request', {'docarray', 'numpy', 'grpc', 'rich'}),
        ('jina.core.codec', {'docarray', 'numpy', 'grpc', 'rich'}),
        ('jina.core.topology', {'docarray', 'numpy', 'grpc', 'rich', 'google.protobuf', 'pydantic', 'yaml'}),
    ],
)
def test_heavy_packages_are_not_imported(module: str, unwanted: set[str]) -> None:
    script = f'import sys, {module}; print(*sys.modules)'
    output = subprocess.run([sys.executable, '-c', script], check=True, capture_output=True, text=True).stdout
    assert module in output.split()
    assert unwanted & set(output.split()) == set()


def test_limits_on_messages() -> None:
    assert wire.message_limits(wire.merge_grpc_options(None)) == wire.NO_LIMITS == (2**31 - 1, 2**31 - 1)
    assert wire.message_limits([]) == (2**31 - 1, 4 << 20)
    user = {'grpc.max_send_message_length': 10, 'grpc.max_receive_message_length': 1 << 40}
    assert wire.message_limits(wire.merge_grpc_options(user)) == (10, 2**31 - 1)
