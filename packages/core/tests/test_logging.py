"""The logger, its configurations and what they write."""

from __future__ import annotations

import json
import logging
import os
import pickle
import pty
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from jina.core.errors import ConfigError, ConfigSourceError
from jina.core.logging import SUCCESS, JinaLogger, suppress_root_handlers
from jina.core.logging.built_in import BUILT_IN
from jina.core.logging.configuration import read_log_config

PID = os.getpid()


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('JINA_LOG_CONFIG', 'JINA_LOG_LEVEL', 'JINA_LOG_NO_COLOR', 'JINA_DEPLOYMENT_NAME'):
        monkeypatch.delenv(name, raising=False)


def log_everything(logger: JinaLogger) -> None:
    logger.debug('d')
    logger.info('info %s', 3)
    logger.success('ok')
    logger.warning('w')
    logger.error('e')
    logger.critical('c')


# --- output ----------------------------------------------------------------------------------------------------------


def test_default_on_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    log_everything(JinaLogger('myname'))
    out, err = capsys.readouterr()
    lines = [re.fullmatch(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (.*)', line) for line in out.splitlines()]
    assert [line[1] for line in lines if line] == [
        f'INFO     myname@{PID} info 3',
        f'SUCCESS  myname@{PID} ok',
        f'WARNING  myname@{PID} w',
        f'ERROR    myname@{PID} e',
        f'CRITICAL myname@{PID} c',
    ]
    assert (len(lines), err) == (5, '')


def test_long_records_on_a_pipe_are_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    JinaLogger('myname').info('x' * 500)
    assert capsys.readouterr().out.count('\n') == 1


def test_plain(capsys: pytest.CaptureFixture[str]) -> None:
    logger = JinaLogger('myname', log_config='plain')
    log_everything(logger)
    logger.info('\x1b[32mgreen\x1b[0m')
    assert capsys.readouterr().out == ''.join(
        f'         myname@{PID}[{line}\n' for line in ('I]:info 3', 'S]:ok', 'W]:w', 'E]:e', 'C]:c', 'I]:green')
    )


def test_docker(capsys: pytest.CaptureFixture[str]) -> None:
    log_everything(JinaLogger('myname', log_config='docker'))
    assert capsys.readouterr().out == '🐳 info 3\n🐳 ok\n🐳 w\n🐳 e\n🐳 c\n'


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    logger = JinaLogger('myname', log_config='json')
    logger.success('all %d', 3)
    try:
        raise ValueError('boom')
    except ValueError:
        logger.exception('failed')
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(first) == sorted(first)
    assert {key: first[key] for key in ('levelname', 'msg', 'name', 'process', 'filename', 'funcName')} == {
        'levelname': 'SUCCESS',
        'msg': 'all 3',
        'name': 'myname',
        'process': PID,
        'filename': 'test_logging.py',
        'funcName': 'test_json',
    }
    assert {*first} == {
        'created', 'filename', 'funcName', 'levelname', 'lineno', 'module', 'msg', 'name', 'pathname', 'process',
        'processName', 'thread', 'threadName',
    }  # fmt: skip
    assert second['exc_info'].endswith('ValueError: boom')


def test_profile(capsys: pytest.CaptureFixture[str]) -> None:
    logger = JinaLogger('myname', log_config='profile')
    logger.info('a text')
    logger.info({'seconds': 1.5, 'path': Path('x')})
    (line,) = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert (record['seconds'], record['path'], record['name'], record['process']) == (1.5, 'x', 'myname', PID)
    assert {*record} == {'created', 'module', 'name', 'path', 'process', 'seconds', 'thread'}


@pytest.mark.parametrize('options', [{'quiet': True}, {'log_config': 'quiet'}, {'log_config': 'QUIET'}])
def test_quiet(capsys: pytest.CaptureFixture[str], options: dict[str, Any]) -> None:
    logger = JinaLogger('myname', **options)
    log_everything(logger)
    assert capsys.readouterr() == ('', '')
    assert not logger.isEnabledFor(logging.CRITICAL)


def test_quiet_error_leaves_out_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    for quiet_error in (False, True):
        logger = JinaLogger('myname', log_config='plain', quiet_error=quiet_error)
        try:
            raise ValueError('boom')
        except ValueError:
            logger.exception('failed')
        out = capsys.readouterr().out
        assert out.startswith(f'         myname@{PID}[E]:failed\n')
        assert ('Traceback' in out) is not quiet_error


def run_on_terminal(code: str, **variables: str) -> str:
    """Runs Python with a real terminal as its output."""
    parent, child = pty.openpty()
    env = {**os.environ, 'TERM': 'xterm-256color', 'COLUMNS': '100', **variables}
    env.pop('NO_COLOR', None)
    try:
        process = subprocess.Popen([sys.executable, '-c', code], stdout=child, stderr=child, env=env)
        os.close(child)
        chunks = []
        while True:
            try:
                chunk = os.read(parent, 65536)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            chunks.append(chunk)
        assert process.wait(timeout=60) == 0, b''.join(chunks)
    finally:
        os.close(parent)
    return b''.join(chunks).decode()


TERMINAL_CODE = """
from jina.core.logging import JinaLogger
logger = JinaLogger('myname')
logger.success('[/not] markup [bold]')
logger.warning('x' * 150)
"""


def test_columns_and_colors_on_a_terminal() -> None:
    out = run_on_terminal(TERMINAL_CODE)
    assert '\x1b[1;32mSUCCESS' in out
    assert re.search(r'\x1b\[1mmyname@\d+\x1b\[0m \[/not\] markup \[bold\] ', out)
    text = re.sub(r'\x1b\[[0-9;]*m', '', out).splitlines()
    assert re.fullmatch(
        r'SUCCESS {2,3}myname@\d+ \[/not\] markup \[bold\] +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d', text[0].rstrip()
    )
    assert text[1].startswith('WARNING  ')
    assert ''.join(re.findall('x+', ''.join(text[1:]))) == 'x' * 150
    assert all(len(line) <= 100 for line in text)


def test_terminal_without_color() -> None:
    out = run_on_terminal(TERMINAL_CODE, JINA_LOG_NO_COLOR='')
    assert '\x1b' not in out
    assert re.match(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d SUCCESS  myname@\d+ \[/not\] markup \[bold\]\r\n', out)


# --- cost and isolation ----------------------------------------------------------------------------------------------


def test_logging_to_a_pipe_needs_neither_rich_nor_grpc_nor_docarray() -> None:
    code = (
        'import sys\nfrom jina.core.logging import JinaLogger\nJinaLogger("a").info("x")\n'
        'print(*{"rich", "grpc", "docarray", "numpy", "pydantic"} & set(sys.modules))'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.splitlines()[1] == ''


def test_root_logger_is_neither_changed_nor_fed(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, sorted(logging.Logger.manager.loggerDict))
    seen: list[logging.LogRecord] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    collector = Collector()
    root.addHandler(collector)
    try:
        JinaLogger('some.name').error('mine')
    finally:
        root.removeHandler(collector)
    assert seen == []
    assert (list(root.handlers), root.level, sorted(logging.Logger.manager.loggerDict)) == before


def test_two_loggers_of_one_name_do_not_double_records(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = JinaLogger('same', log_config='plain'), JinaLogger('same', log_config='docker')
    first.info('one')
    second.info('two')
    assert capsys.readouterr().out == f'           same@{PID}[I]:one\n🐳 two\n'


def test_output_follows_a_replaced_standard_stream(tmp_path: Path) -> None:
    loggers = [JinaLogger('a', log_config='plain'), JinaLogger('a')]
    with open(tmp_path / 'out', 'w+') as stream:
        original, sys.stdout = sys.stdout, stream
        try:
            for logger in loggers:
                logger.info('there')
        finally:
            sys.stdout = original
        stream.seek(0)
        assert len(stream.readlines()) == 2


def test_process_without_standard_output() -> None:
    code = 'import sys; sys.stdout = None\nfrom jina.core.logging import JinaLogger\n' + '\n'.join(
        f'JinaLogger("a", log_config="{name}").error("x")' for name in ('default', 'plain', 'json')
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60, check=True)
    assert (result.stdout, result.stderr) == ('', '')


def test_logger_survives_pickling_and_copying() -> None:
    import copy

    for again in (
        pickle.loads(pickle.dumps(JinaLogger('a', log_config='plain', quiet_error=True))),
        copy.deepcopy(JinaLogger('a', log_config='plain', quiet_error=True)),
    ):
        assert (again.name, len(again.handlers), len(again.filters)) == ('a', 1, 1)


def test_level_changes_and_global_disabling_take_effect_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    logger = JinaLogger('a', log_config='plain')
    logger.debug('1')
    assert not logger.debug_enabled
    logger.setLevel('DEBUG')
    logger.debug('2')
    assert logger.debug_enabled
    logging.disable(logging.ERROR)
    try:
        logger.error('3')
    finally:
        logging.disable(logging.NOTSET)
    logger.log(SUCCESS, '4')
    assert [line[-1] for line in capsys.readouterr().out.splitlines()] == ['2', '4']


def test_close_closes_the_handlers(tmp_path: Path) -> None:
    path = tmp_path / 'x.log'
    with JinaLogger(
        'a', log_config={'handlers': ['FileHandler'], 'configs': {'FileHandler': {'output': str(path)}}}
    ) as a:
        a.info('x')
        (handler,) = a.handlers
    assert a.handlers == []
    assert isinstance(handler, logging.FileHandler)
    assert handler.stream is None


# --- environment -----------------------------------------------------------------------------------------------------


def test_name_in_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_DEPLOYMENT_NAME', 'encoder/rep-0')
    assert JinaLogger('MyExecutor').name == 'encoder/rep-0'
    assert JinaLogger('MyExecutor', 'mine').name == 'mine'
    monkeypatch.delenv('JINA_DEPLOYMENT_NAME')
    assert JinaLogger('MyExecutor').name == 'MyExecutor'


def test_configuration_and_level_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv('JINA_LOG_CONFIG', 'docker')
    monkeypatch.setenv('JINA_LOG_LEVEL', 'debug')
    JinaLogger('a', log_config='json').debug('seen')
    assert capsys.readouterr().out == '🐳 seen\n'
    monkeypatch.setenv('JINA_LOG_LEVEL', 'SUCCESS')
    logger = JinaLogger('a')
    logger.info('no')
    logger.success('yes')
    assert capsys.readouterr().out == '🐳 yes\n'
    monkeypatch.setenv('JINA_LOG_CONFIG', 'QUIET')
    log_everything(JinaLogger('a'))
    assert capsys.readouterr().out == ''


def test_wrong_level_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_LOG_LEVEL', 'DBUG')
    with pytest.raises(ConfigError) as caught:
        JinaLogger('a')
    assert str(caught.value) == (
        "environment variable JINA_LOG_LEVEL: no such level: 'DBUG' (did you mean 'DEBUG'?); "
        'use DEBUG, INFO, SUCCESS, WARNING, ERROR, CRITICAL'
    )


# --- configuration files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', BUILT_IN)
def test_built_in_configurations_are_valid(name: str) -> None:
    logger = JinaLogger('x', log_config=name)
    assert len(logger.handlers) == len(read_log_config(name).handlers)
    assert all(handler.formatter is not None for handler in logger.handlers)
    logger.close()


def test_configuration_file_of_the_documentation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / 'logging.json.yml'
    path.write_text(
        'handlers:\n  - StreamHandler\nlevel: INFO\nconfigs:\n  StreamHandler:\n'
        "    format: '%(asctime)s:{name:>15}@%(process)2d[%(levelname).1s]:%(message)s'\n    formatter: JsonFormatter\n"
    )
    JinaLogger('a', log_config=str(path)).info('x')
    assert json.loads(capsys.readouterr().out)['msg'] == 'x'
    path.write_text(path.read_text().replace('JsonFormatter', 'PlainFormatter'))
    JinaLogger('a', log_config=path).info('{name} %d', 5)
    assert re.fullmatch(rf'[0-9-]+ [0-9:,]+:              a@{PID}\[I\]:{{name}} 5\n', capsys.readouterr().out)


def test_several_handlers_with_levels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {
        'handlers': ['StreamHandler', 'FileHandler', 'RotatingFileHandler', 'TimedRotatingFileHandler'],
        'level': 'debug',
        'configs': {
            'StreamHandler': {'level': 'ERROR', 'stream': 'stderr', 'format': '%(message)s'},
            'FileHandler': {'output': f'{tmp_path}/{{name}}.log', 'format': '{name} 100%% %(message)s'},
            'RotatingFileHandler': {'filename': f'{tmp_path}/r.log', 'maxBytes': 20, 'backupCount': 2},
            'TimedRotatingFileHandler': {
                'output': f'{tmp_path}/t.log',
                'when': 'midnight',
                'formatter': 'JsonFormatter',
            },
        },
    }
    with JinaLogger('50%', log_config=config) as logger:
        assert os.listdir(tmp_path) == []
        for number in range(4):
            logger.debug('record %d', number)
        logger.error('bad')
    assert capsys.readouterr() == ('', 'bad\n')
    assert (tmp_path / '50%.log').read_text() == ''.join(
        f'50% 100% {text}\n' for text in ('record 0', 'record 1', 'record 2', 'record 3', 'bad')
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ['50%.log', 'r.log', 'r.log.1', 'r.log.2', 't.log']
    assert (tmp_path / 'r.log').read_text().endswith(f'50%@{PID}[E]: bad\n')
    assert [json.loads(line)['msg'] for line in (tmp_path / 't.log').read_text().splitlines()][-1] == 'bad'


def test_syslog_over_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(('127.0.0.1', 0))
        server.settimeout(10)
        options = {'host': '127.0.0.1', 'port': server.getsockname()[1], 'ident': 'jina', 'facility': 'local0'}
        config = {'handlers': 'SysLogHandler', 'configs': {'SysLogHandler': options}}
        with JinaLogger('a', log_config=config) as logger:
            logger.success('sent')
            assert server.recv(1000).rstrip(b'\x00') == f'<{16 * 8 + 5}>jina: a@{PID}[S]: sent'.encode()
            logger.error('bad')
            assert server.recv(1000).startswith(f'<{16 * 8 + 3}>jina: '.encode())


def test_syslog_over_a_unix_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / 'log'))
        server.settimeout(10)
        config = {'handlers': ['SysLogHandler'], 'configs': {'SysLogHandler': {'address': str(tmp_path / 'log')}}}
        with JinaLogger('a', log_config=config) as logger:
            logger.info('sent')
        assert server.recv(1000).rstrip(b'\x00') == f'<14>a@{PID}[I]: sent'.encode()


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (
            {'handler': []},
            "log_config: no such key: 'handler' (did you mean 'handlers'?); use handlers, level, configs",
        ),
        (
            {'handlers': ['StremHandler']},
            "log_config: handlers: no such handler: 'StremHandler' (did you mean 'StreamHandler'?); use FileHandler, "
            'RichHandler, RotatingFileHandler, StreamHandler, SysLogHandler, TimedRotatingFileHandler',
        ),
        (
            {'handlers': ['StreamHandler'], 'configs': {'StreamHandler': {'fromat': 'x'}}},
            "log_config: configs.StreamHandler: no such option: 'fromat' (did you mean 'format'?); "
            'use format, formatter, datefmt, level, stream',
        ),
        (
            {'configs': {'StreamHandler': {'formatter': 'JSONFormatter'}}},
            "log_config: configs.StreamHandler: no such formatter: 'JSONFormatter' (did you mean 'JsonFormatter'?); "
            'use JsonFormatter, PlainFormatter, ProfileFormatter',
        ),
        ({'configs': []}, None),
        ({'configs': 'x'}, "log_config: configs is 'x'; map the names of handlers to their options"),
        ({'configs': {'FileHandler': 3}}, 'log_config: configs.FileHandler is 3; map names of options to values'),
        ({'level': 'LOUD'}, "log_config: no such level: 'LOUD'; use DEBUG, INFO, SUCCESS, WARNING, ERROR, CRITICAL"),
        (
            {'handlers': ['FileHandler']},
            "log_config: FileHandler can not be set up: the path of the file is missing (option 'output')",
        ),
        (
            {'handlers': ['StreamHandler'], 'configs': {'StreamHandler': {'stream': 'x'}}},
            "log_config: StreamHandler can not be set up: stream is 'x', not stdout or stderr",
        ),
    ],
)
def test_wrong_configurations(config: dict[str, Any], message: str | None) -> None:
    if message is None:
        JinaLogger('a', log_config=config)
        return
    with pytest.raises(ConfigError) as caught:
        JinaLogger('a', log_config=config)
    assert str(caught.value) == message


def test_missing_configuration() -> None:
    with pytest.raises(ConfigSourceError) as caught:
        JinaLogger('a', log_config='defualt')
    assert str(caught.value) == (
        "log_config 'defualt' is neither a file nor a built-in configuration (did you mean 'default'?); "
        'built-in ones are default, docker, json, plain, profile, quiet, remote'
    )


def test_wrong_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / 'l.yml'
    path.write_text('level: INFO\nhandlers: [\n')
    with pytest.raises(ConfigError, match=re.escape(f'{path}:3: invalid YAML')):
        JinaLogger('a', log_config=path)


def test_threads_write_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logger = JinaLogger('a', log_config='plain')
    threads = [threading.Thread(target=lambda: [logger.info('line') for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capsys.readouterr().out.splitlines() == [f'              a@{PID}[I]:line'] * 200


def test_root_handlers_are_suppressed_on_request() -> None:
    root = logging.getLogger()
    before = list(root.handlers)
    handler = logging.NullHandler()
    root.addHandler(handler)
    try:
        suppress_root_handlers()
        assert root.handlers == []
    finally:
        root.handlers[:] = before
