"""What OpenAPI says about pages and errors, which are the same in every server."""

from __future__ import annotations

from typing import Any, Final, Optional, Union

from jina.runtime.http.bodies import Header
from jina.runtime.http.routes import EXECUTOR_ERROR, UNSUPPORTED_MEDIA_TYPE
from pydantic import BaseModel, Field


class ExceptionModel(BaseModel):
    """What an Executor raised."""

    name: str = ''
    args: list[str] = []
    stacks: list[str] = []
    executor: str = ''


class StatusModel(BaseModel):
    """Whether requests can be answered: code 0 if so, else 1."""

    code: int = 0
    description: str = ''
    exception: ExceptionModel | None = None


class InfoModel(BaseModel):
    """Versions and platform, and the environment variables of the framework."""

    jina: dict[str, str]
    envs: dict[str, str]


class HealthModel(BaseModel):
    """Nothing: an answer is enough."""


class ErrorModel(BaseModel):
    """What went wrong."""

    detail: str


class NetworkHeaderModel(BaseModel):
    """Which request failed, and how."""

    requestId: str
    status: StatusModel


class NetworkErrorModel(BaseModel):
    """An Executor could not be reached, or took too long."""

    detail: str
    header: NetworkHeaderModel


class RouteModel(BaseModel):
    """A server that the request was at, and when."""

    executor: str
    startTime: Optional[str] = None  # noqa: UP045 - the schema of 3.10 needs Optional
    endTime: Optional[str] = None  # noqa: UP045


class PostHeader(Header):
    """Which request was answered."""

    execEndpoint: Optional[str] = Field(None, description='The endpoint')  # noqa: UP045


class PostRequest(BaseModel):
    """Documents for any endpoint."""

    execEndpoint: str = Field('/', description='The endpoint')
    data: Optional[Union[list[dict[str, Any]], dict[str, Any]]] = Field(  # noqa: UP007, UP045
        None, description='Documents, or one document'
    )
    parameters: Optional[dict[str, Any]] = None  # noqa: UP045
    targetExecutor: Optional[str] = Field(None, description='Name of the Executor that works on the request')  # noqa: UP045
    header: Optional[Header] = None  # noqa: UP045


class PostResponse(BaseModel):
    """Documents, and where the request was."""

    header: PostHeader
    parameters: dict[str, Any]
    routes: list[RouteModel]
    data: list[dict[str, Any]]


FAILURES: Final[dict[int | str, dict[str, Any]]] = {
    UNSUPPORTED_MEDIA_TYPE: {'model': ErrorModel, 'description': 'The body is not declared as JSON'},
    EXECUTOR_ERROR: {'model': ErrorModel, 'description': 'An Executor raised an exception'},
    503: {'model': NetworkErrorModel, 'description': 'An Executor can not be reached'},
    504: {'model': NetworkErrorModel, 'description': 'An Executor took too long'},
}
"""Answers that every endpoint may give, beside success and a body that doesn't fit."""
