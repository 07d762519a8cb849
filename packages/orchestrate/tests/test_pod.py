from __future__ import annotations

import functools
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from jina.core.config import PodAddress
from jina.core.enums import ProtocolType
from jina.core.errors import (
    ConfigError,
    ConfigSourceError,
    DeadlineError,
    JinaError,
    LifecycleError,
    PortInUseError,
    RemoteError,
    StartupError,
)
from jina.orchestrate import launcher
from jina.orchestrate.pod import Pod, PodState, close_pods, wait_ready

ADDRESS = PodAddress(ProtocolType.GRPC, '0.0.0.0', 1)


def serve(report: Callable[[Sequence[Any]], None], farewell: str = '') -> int:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    report([ADDRESS])
    ended.wait()
    if farewell:
        print(farewell)
    return 0


def fail(report: Callable[[Sequence[Any]], None]) -> int:
    raise ValueError('no model')


def fail_with_error(
    report: Callable[[Sequence[Any]], None], kind: type[JinaError], *arguments: Any, **options: Any
) -> int:
    raise kind(*arguments, **options)


def write_facts(report: Callable[[Sequence[Any]], None], path: str) -> int:
    facts = [
        os.getcwd(),
        os.environ.get('FLAVOUR', ''),
        os.environ['JINA_DEPLOYMENT_NAME'],
        ','.join(sys.argv),
        str(os.getsid(0) == os.getpid()),
    ]
    Path(path).write_text('\n'.join(facts))
    return serve(report)


def die(report: Callable[[Sequence[Any]], None], path: str) -> int:
    report([ADDRESS])
    print('the last words')
    while not Path(path).exists():
        time.sleep(0.01)
    os._exit(3)


def ignore_sigterm(report: Callable[[Sequence[Any]], None]) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    report([ADDRESS])
    time.sleep(600)
    return 0


def start_helper(report: Callable[[Sequence[Any]], None], path: str) -> int:
    helper = subprocess.Popen(['sleep', '600'])
    Path(path).write_text(str(helper.pid))
    return serve(report)


def segfault(report: Callable[[Sequence[Any]], None]) -> int:
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(600)
    return 0


@pytest.fixture
def pod() -> Iterator[Callable[..., Pod]]:
    made: list[Pod] = []

    def make(target: Callable[..., int], *arguments: Any, **options: Any) -> Pod:
        made.append(Pod('enc/rep-0', target, arguments, owner="Deployment 'enc'", **options))
        made[-1].start()
        return made[-1]

    yield make
    close_pods(made, 5)


@pytest.fixture(params=['fork', 'spawn'])
def start_method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv('JINA_MP_START_METHOD', request.param)
    return str(request.param)


def test_life_of_a_pod(pod: Callable[..., Pod], start_method: str, capfd: pytest.CaptureFixture[str]) -> None:
    process = pod(serve, 'good bye')
    wait_ready([process], 20)
    assert process.ready.result() == [ADDRESS]
    assert process.state is PodState.READY
    assert process.pid not in (None, os.getpid())
    close_pods([process], 5)
    assert process.state is PodState.CLOSED
    assert process.exit_status == 0
    assert 'good bye' in capfd.readouterr().out


def test_surroundings_of_the_parent(
    pod: Callable[..., Pod], start_method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['a', 'b'])
    process = pod(write_facts, str(tmp_path / 'facts'), env={'FLAVOUR': 'mint'})
    wait_ready([process], 20)
    assert (tmp_path / 'facts').read_text().splitlines() == [str(tmp_path), 'mint', 'enc/rep-0', 'a,b', 'True']


def test_failed_start_carries_the_traceback(pod: Callable[..., Pod], start_method: str) -> None:
    process = pod(fail)
    with pytest.raises(StartupError) as caught:
        wait_ready([process], 20)
    text = str(caught.value)
    assert text.startswith("Deployment 'enc' failed to start: ValueError: no model\n")
    assert "raise ValueError('no model')" in text
    assert process.wait(5)
    assert process.state is PodState.FAILED


@pytest.mark.parametrize('kind', [ConfigError, ConfigSourceError, DeadlineError, RemoteError])
def test_our_own_errors_arrive_as_they_are(pod: Callable[..., Pod], kind: type[JinaError]) -> None:
    target = fail_with_error if kind is RemoteError else functools.partial(fail_with_error, hint='give another')
    with pytest.raises(StartupError) as caught:
        wait_ready([pod(target, kind, 'bad value')], 20)
    assert type(caught.value.__cause__) is kind
    assert 'bad value' in str(caught.value.__cause__)
    assert ('Traceback' in str(caught.value)) is not issubclass(kind, ConfigError)
    if kind is not RemoteError:
        assert caught.value.__cause__.hint == 'give another'


def test_taken_port_is_named(pod: Callable[..., Pod]) -> None:
    with pytest.raises(PortInUseError) as caught:
        wait_ready([pod(fail_with_error, PortInUseError, 8080, "Deployment 'enc'")], 20)
    assert str(caught.value).startswith("port 8080 is taken by another process (Deployment 'enc', process enc/rep-0)")
    assert caught.value.port == 8080


def test_death_before_ready_names_the_signal(pod: Callable[..., Pod]) -> None:
    with pytest.raises(StartupError) as caught:
        wait_ready([pod(segfault)], 20)
    assert "process 'enc/rep-0' was killed by SIGSEGV" in str(caught.value)


def test_death_is_noticed_at_once_with_the_last_lines(
    pod: Callable[..., Pod], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger('test.pod')
    process = pod(die, str(tmp_path / 'now'), logger=logger)
    wait_ready([process], 20)
    (tmp_path / 'now').touch()
    assert process.wait(10)
    assert process.state is PodState.FAILED
    assert process.last_lines == ['the last words']
    (record,) = caplog.records
    assert f"process enc/rep-0 ({process.pid}) of Deployment 'enc' ended with exit status 3" in record.getMessage()
    assert 'the last words' in record.getMessage()


def test_a_deaf_pod_is_killed(pod: Callable[..., Pod]) -> None:
    process = pod(ignore_sigterm)
    wait_ready([process], 20)
    begin = time.monotonic()
    close_pods([process], 0.5)
    assert 0.4 < time.monotonic() - begin < 20
    assert process.exit_status == -signal.SIGKILL


def test_what_an_executor_started_ends_with_it(
    pod: Callable[..., Pod], tmp_path: Path, wait_gone: Callable[[list[int], float], float]
) -> None:
    process = pod(start_helper, str(tmp_path / 'pid'))
    wait_ready([process], 20)
    helper = int((tmp_path / 'pid').read_text())
    close_pods([process], 5)
    wait_gone([helper], 2)


def test_ready_timeout_names_the_late_pod(pod: Callable[..., Pod]) -> None:
    process = pod(lambda report: time.sleep(600))
    with pytest.raises(StartupError, match=r'enc/rep-0: not ready after 0.3 seconds'):
        wait_ready([process], 0.3)
    close_pods([process], 5)
    assert process.state is PodState.CLOSED


def test_a_pod_starts_once(pod: Callable[..., Pod]) -> None:
    process = pod(serve)
    with pytest.raises(LifecycleError, match='started before'):
        process.start()


def test_what_can_not_be_sent_is_refused() -> None:
    lock = threading.Lock()
    process = Pod('enc/rep-0', lambda report: lock.locked(), ())
    with pytest.raises(ConfigError, match='can not be sent to its process'):
        process.start()
    assert process.wait(0)


def test_end_of_the_zygote_is_reported(pod: Callable[..., Pod]) -> None:
    process = pod(serve)
    wait_ready([process], 20)
    os.kill(launcher.current().pid, signal.SIGKILL)
    assert process.wait(6)
    again = pod(serve)
    wait_ready([again], 20)
    assert again.is_ready


def test_unknown_start_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_MP_START_METHOD', 'teleport')
    process = Pod('enc/rep-0', serve, ())
    with pytest.raises(ConfigError, match='JINA_MP_START_METHOD'):
        process.start()


def test_no_descriptor_is_lost(pod: Callable[..., Pod]) -> None:
    def cycle() -> None:
        processes = [pod(serve) for _ in range(3)]
        wait_ready(processes, 20)
        close_pods(processes, 5)

    cycle()
    before = len(os.listdir('/proc/self/fd'))
    for _ in range(5):
        cycle()
    assert len(os.listdir('/proc/self/fd')) <= before
