"""What travels between client and server."""

from docarray import BaseDoc
from pydantic import BaseModel, Field


class Prompt(BaseDoc):
    """The beginning of a text."""

    text: str = Field(description='What the model continues')


class Token(BaseDoc):
    """A piece of the generated text; all of them joined are the text."""

    text: str
    number: int


class Sampling(BaseModel):
    """How tokens are chosen: the parameters of a request."""

    max_tokens: int = Field(default=60, ge=1, le=10_000, description='number of tokens to generate')
    temperature: float = Field(default=0.7, ge=0, description='0 takes the likeliest token, more is more surprising')
    seed: int = Field(default=0, description='the same seed gives the same text')
    order: int = Field(default=2, ge=1, le=4, description='number of tokens that the next one depends on')
