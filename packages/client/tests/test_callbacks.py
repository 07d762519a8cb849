from __future__ import annotations

import pytest
from jina.client.callbacks import Callbacks
from jina.client.loop import run_async
from jina.core.errors import CallbackError, ClientError
from jina.core.request import Response


def failed() -> Response:
    response = Response()
    response.add_exception(ValueError('boom'))
    return response


def test_which_callback_runs() -> None:
    seen: list[str] = []
    callbacks = Callbacks(
        lambda _: seen.append('done'), lambda _: seen.append('error'), lambda _: seen.append('always')
    )
    callbacks.run(Response())
    callbacks.run(failed())
    assert seen == ['done', 'always', 'error', 'always']


def test_builtins_are_callbacks(capsys: pytest.CaptureFixture[str]) -> None:
    Callbacks(on_done=print).run(Response())
    assert 'Response' in capsys.readouterr().out


def test_async_functions_are_awaited() -> None:
    seen: list[Response] = []

    async def keep(response: Response) -> None:
        seen.append(response)

    callbacks = Callbacks(on_always=keep)
    run_async(callbacks.finish, callbacks.run(Response()))
    assert len(seen) == 1


def test_only_done_and_always_take_the_results() -> None:
    assert Callbacks(on_done=print).consume
    assert Callbacks(on_always=print).consume
    assert not Callbacks(on_error=print).consume
    assert not Callbacks()


def test_an_exception_names_the_callback() -> None:
    def explode(response: Response) -> None:
        raise KeyError('oh')

    async def explode_later(response: Response) -> None:
        raise KeyError('later')

    with pytest.raises(CallbackError, match=r"callback .*explode\(\): KeyError\('oh'\)"):
        Callbacks(on_done=explode).run(Response())
    callbacks = Callbacks(on_error=explode_later)
    with pytest.raises(CallbackError, match=r"explode_later\(\): KeyError\('later'\)"):
        run_async(callbacks.finish, callbacks.run(failed()))


def test_a_callback_must_be_callable() -> None:
    with pytest.raises(ClientError, match='on_done is a str'):
        Callbacks(on_done='print')  # type: ignore[arg-type]
