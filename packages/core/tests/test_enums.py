"""Members, numbers and look-up of the enums."""

import pytest
from jina.core import enums
from jina.core.enums import NamedEnum, PollingType, ProtocolType

MEMBERS = {
    'PollingType': {'ANY': 1, 'ALL': 2, 'ALL_ASYNC': 3},
    'FlowBuildLevel': {'EMPTY': 0, 'GRAPH': 1, 'RUNNING': 2},
    'DockerNetworkMode': {'AUTO': 0, 'HOST': 1, 'BRIDGE': 2, 'NONE': 3},
    'ProtocolType': {'GRPC': 0, 'HTTP': 1, 'WEBSOCKET': 2},
    'PodRoleType': {'HEAD': 0, 'WORKER': 1, 'GATEWAY': 2},
    'DeploymentRoleType': {
        'DEPLOYMENT': 0,
        'JOIN': 1,
        'INSPECT': 2,
        'GATEWAY': 3,
        'INSPECT_AUX_PASS': 4,
        'JOIN_INSPECT': 5,
    },
    'FlowInspectType': {'HANG': 0, 'REMOVE': 1, 'COLLECT': 2},
    'DataInputType': {'AUTO': 0, 'DOCUMENT': 1, 'CONTENT': 2, 'DICT': 3},
    'ProviderType': {'NONE': 0, 'SAGEMAKER': 1, 'AZURE': 2},
    'StandaloneExecutorType': {'EXTERNAL': 0, 'SHARED': 1},
}


def test_every_enum_is_in_the_table() -> None:
    assert set(enums.__all__) == {*MEMBERS, 'NamedEnum'}


@pytest.mark.parametrize('name', MEMBERS)
def test_members_and_numbers(name: str) -> None:
    kind: type[NamedEnum] = getattr(enums, name)
    assert {member.name: member.value for member in kind} == MEMBERS[name]


@pytest.mark.parametrize('text', ['http', 'HTTP', 'Http', ' http '])
def test_names_are_found_in_any_case(text: str) -> None:
    assert ProtocolType(text) is ProtocolType.HTTP
    assert ProtocolType.from_string(text) is ProtocolType.HTTP


def test_numbers_are_found() -> None:
    assert PollingType(2) is PollingType.ALL


@pytest.mark.parametrize('value', ['ftp', '', 7, None])
def test_wrong_values_are_value_errors(value: object) -> None:
    with pytest.raises(ValueError, match='is not a valid ProtocolType'):
        ProtocolType(value)


def test_from_string_lists_the_members() -> None:
    with pytest.raises(ValueError) as caught:
        ProtocolType.from_string('ftp')
    assert str(caught.value) == "'ftp' is not one of GRPC, HTTP, WEBSOCKET"


def test_members_print_as_their_names() -> None:
    assert str(ProtocolType.GRPC) == 'GRPC'
    assert f'{ProtocolType.GRPC:>6}' == '  GRPC'
