from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from jina.core import wire
from jina.runtime.reflection import SERVICE_NAMES, Reflection, load_contract


def ask(**question: str) -> Any:
    contract = load_contract()
    raw = Reflection(wire.SERVICE_NAMES).answer(
        contract.message('ServerReflectionRequest')(**question).SerializeToString()
    )
    return contract.message('ServerReflectionResponse').FromString(raw)


@pytest.mark.parametrize('version', SERVICE_NAMES)
async def test_lists_the_documented_services_over_the_wire(cluster: Any, version: str) -> None:
    worker = await cluster.worker('BaseExecutor')
    contract = load_contract()

    async def questions() -> AsyncIterator[bytes]:
        yield contract.message('ServerReflectionRequest')(list_services='').SerializeToString()

    call = cluster.channel(worker.address).stream_stream(f'/{version}/ServerReflectionInfo')(questions(), timeout=5)
    (raw,) = [answer async for answer in call]
    answer = contract.message('ServerReflectionResponse').FromString(raw)
    names = {service.name for service in answer.list_services_response.service}
    assert names == {*wire.SERVICE_NAMES, *SERVICE_NAMES}


@pytest.mark.parametrize(
    'symbol',
    [
        *wire.SERVICE_NAMES,
        'jina.JinaRPC.Call',
        'jina.DataRequestProto',
        'docarray.DocListProto',
        'grpc.health.v1.Health',
        *SERVICE_NAMES,
    ],
)
def test_one_answer_describes_a_symbol_completely(symbol: str) -> None:
    answer = ask(file_containing_symbol=symbol)
    pool = descriptor_pool.DescriptorPool()
    pending = [FileDescriptorProto.FromString(raw) for raw in answer.file_descriptor_response.file_descriptor_proto]
    while pending:
        known = [file for file in pending if all(name not in {p.name for p in pending} for name in file.dependency)]
        assert known, 'a file is missing'
        for file in known:
            pool.Add(file)
            pending.remove(file)
    assert pool.FindFileContainingSymbol(symbol.removesuffix('.Call'))


def test_unknown_names_are_not_found_and_empty_questions_invalid() -> None:
    assert ask(file_containing_symbol='jina.Nope').error_response.error_code == 5
    assert ask(file_by_filename='nope.proto').error_response.error_code == 5
    assert ask().error_response.error_code == 3
    assert ask(file_by_filename='jina.proto').file_descriptor_response.file_descriptor_proto


def test_the_contract_stays_out_of_the_default_pool() -> None:
    load_contract()
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindFileByName('jina.proto')
