"""gRPC server reflection, v1 and v1alpha, so that grpcurl and the original's gateways find the services.

Everything lives in a descriptor pool of its own: docarray registers its ``docarray.proto`` in the default pool, and the
public contract may not collide with it. Nothing is loaded until a client asks for the first time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from jina.core.calls import StatusCode
from jina.runtime.methods import Context, Method, MethodTable

SERVICE_NAMES: Final = ('grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection')

_TYPES: Final = {
    'string': FieldDescriptorProto.TYPE_STRING,
    'bytes': FieldDescriptorProto.TYPE_BYTES,
    'int32': FieldDescriptorProto.TYPE_INT32,
}
_REQUEST: Final = (
    'host:1 string',
    'file_by_filename:3 string message_request',
    'file_containing_symbol:4 string message_request',
    'file_containing_extension:5 .ExtensionRequest message_request',
    'all_extension_numbers_of_type:6 string message_request',
    'list_services:7 string message_request',
)
_RESPONSE: Final = (
    'valid_host:1 string',
    'original_request:2 .ServerReflectionRequest',
    'file_descriptor_response:4 .FileDescriptorResponse message_response',
    'all_extension_numbers_response:5 .ExtensionNumberResponse message_response',
    'list_services_response:6 .ListServiceResponse message_response',
    'error_response:7 .ErrorResponse message_response',
)


def methods(services: Sequence[str]) -> MethodTable:
    """Returns the methods that a gRPC server adds.

    Args:
        services: Names that ``list_services`` answers with, besides those of reflection itself.
    """
    reflection = Reflection((*services, *SERVICE_NAMES))
    method = Method(reflection.info, request_streaming=True, response_streaming=True)
    return MethodTable({f'/{name}/ServerReflectionInfo': method for name in SERVICE_NAMES})


class Reflection:
    """Answers reflection requests.

    Args:
        services: Names of all services.
    """

    def __init__(self, services: Sequence[str]) -> None:
        self._services = sorted(services)

    async def info(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        """Serves ``ServerReflectionInfo``; v1 and v1alpha have the same bytes."""
        async for raw in requests:
            yield self.answer(raw)

    def answer(self, raw: bytes) -> bytes:
        """Returns the serialised response to a serialised request."""
        contract = load_contract()
        request = contract.message('ServerReflectionRequest').FromString(raw)
        response = contract.message('ServerReflectionResponse')(valid_host=request.host, original_request=request)
        kind = request.WhichOneof('message_request')
        try:
            if kind == 'list_services':
                for name in self._services:
                    response.list_services_response.service.add(name=name)
            elif kind == 'file_by_filename':
                self._add_files(response, contract.pool.FindFileByName(request.file_by_filename))
            elif kind == 'file_containing_symbol':
                self._add_files(response, contract.file_of(request.file_containing_symbol))
            elif kind == 'all_extension_numbers_of_type':
                name = request.all_extension_numbers_of_type
                contract.pool.FindMessageTypeByName(name)
                response.all_extension_numbers_response.base_type_name = name  # the contract is proto3: no extensions
            elif kind == 'file_containing_extension':
                raise KeyError(kind)
            else:
                _set_error(response, StatusCode.INVALID_ARGUMENT, 'the request asks for nothing')
        except KeyError:
            _set_error(response, StatusCode.NOT_FOUND, f'{kind} {getattr(request, kind)!r}'.strip())
        return response.SerializeToString()  # type: ignore[no-any-return]

    def _add_files(self, response: Any, file: FileDescriptor) -> None:
        """Adds a file and everything that it imports, so that one question is enough."""
        seen: set[str] = set()
        waiting = [file]
        while waiting:
            current = waiting.pop()
            if current.name in seen:
                continue
            seen.add(current.name)
            response.file_descriptor_response.file_descriptor_proto.append(current.serialized_pb)
            waiting.extend(current.dependencies)


def _set_error(response: Any, code: StatusCode, message: str) -> None:
    response.error_response.error_code = code
    response.error_response.error_message = message


class Contract:
    """The public contract in a descriptor pool of its own."""

    def __init__(self) -> None:
        self.pool = descriptor_pool.DescriptorPool()
        raw = files('jina.core').joinpath('_proto').joinpath('public.binpb').read_bytes()
        for file in FileDescriptorSet.FromString(raw).file:
            self.pool.Add(file)
        self.pool.Add(_health_file())
        for package in ('grpc.reflection.v1', 'grpc.reflection.v1alpha'):
            self.pool.Add(_reflection_file(package))

    def file_of(self, symbol: str) -> FileDescriptor:
        """Returns the file that defines a symbol.

        Raises:
            KeyError: No file does.
        """
        try:
            return self.pool.FindFileContainingSymbol(symbol)
        except KeyError:
            # The pool doesn't know methods as symbols.
            service, _, method = symbol.rpartition('.')
            return self.pool.FindServiceByName(service).methods_by_name[method].containing_service.file

    def message(self, name: str) -> Any:
        """Returns the class of a reflection message."""
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f'grpc.reflection.v1.{name}'))


@lru_cache(maxsize=1)
def load_contract() -> Contract:
    """Returns the contract; loaded once per process."""
    return Contract()


def _message(package: str, name: str, fields: Sequence[str]) -> DescriptorProto:
    """Builds a message from lines of ``name:number type [oneof]``; a leading ``*`` is repeated, a ``.`` a message."""
    message = DescriptorProto(name=name)
    for line in fields:
        label, kind, *oneof = line.split()
        field_name, number = label.lstrip('*').split(':')
        field = message.field.add(name=field_name, number=int(number))
        field.label = FieldDescriptorProto.LABEL_REPEATED if label[0] == '*' else FieldDescriptorProto.LABEL_OPTIONAL
        if kind.startswith('.'):
            field.type = FieldDescriptorProto.TYPE_MESSAGE
            field.type_name = f'.{package}{kind}'
        else:
            field.type = _TYPES[kind]
        if oneof:
            if not message.oneof_decl:
                message.oneof_decl.add(name=oneof[0])
            field.oneof_index = 0
    return message


def _reflection_file(package: str) -> FileDescriptorProto:
    file = FileDescriptorProto(name=f'{package.replace(".", "/")}/reflection.proto', package=package, syntax='proto3')
    for name, fields in (
        ('ServerReflectionRequest', _REQUEST),
        ('ExtensionRequest', ('containing_type:1 string', 'extension_number:2 int32')),
        ('ServerReflectionResponse', _RESPONSE),
        ('FileDescriptorResponse', ('*file_descriptor_proto:1 bytes',)),
        ('ExtensionNumberResponse', ('base_type_name:1 string', '*extension_number:2 int32')),
        ('ListServiceResponse', ('*service:1 .ServiceResponse',)),
        ('ServiceResponse', ('name:1 string',)),
        ('ErrorResponse', ('error_code:1 int32', 'error_message:2 string')),
    ):
        file.message_type.append(_message(package, name, fields))
    method = file.service.add(name='ServerReflection').method.add(name='ServerReflectionInfo')
    method.input_type = f'.{package}.ServerReflectionRequest'
    method.output_type = f'.{package}.ServerReflectionResponse'
    method.client_streaming = method.server_streaming = True
    return file


def _health_file() -> FileDescriptorProto:
    package = 'grpc.health.v1'
    file = FileDescriptorProto(name='grpc/health/v1/health.proto', package=package, syntax='proto3')
    file.message_type.append(_message(package, 'HealthCheckRequest', ('service:1 string',)))
    response = file.message_type.add(name='HealthCheckResponse')
    statuses = response.enum_type.add(name='ServingStatus')
    for number, name in enumerate(('UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN')):
        statuses.value.add(name=name, number=number)
    response.field.add(
        name='status',
        number=1,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
        type=FieldDescriptorProto.TYPE_ENUM,
        type_name=f'.{package}.HealthCheckResponse.ServingStatus',
    )
    file.message_type.add(name='HealthListRequest')
    listing = _message(package, 'HealthListResponse', ('*statuses:1 .HealthListResponse.StatusesEntry',))
    listing.nested_type.append(_message(package, 'StatusesEntry', ('key:1 string', 'value:2 .HealthCheckResponse')))
    listing.nested_type[0].options.map_entry = True
    file.message_type.append(listing)
    service = file.service.add(name='Health')
    for name, request, answer in (
        ('Check', 'HealthCheckRequest', 'HealthCheckResponse'),
        ('List', 'HealthListRequest', 'HealthListResponse'),
        ('Watch', 'HealthCheckRequest', 'HealthCheckResponse'),
    ):
        service.method.add(
            name=name,
            input_type=f'.{package}.{request}',
            output_type=f'.{package}.{answer}',
            server_streaming=name == 'Watch',
        )
    return file
