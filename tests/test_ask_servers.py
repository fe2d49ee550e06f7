"""``python -m pseud ping`` and ``call``, as processes of their own, to real servers."""

import contextlib
import importlib.util
import json
import pathlib
import re
import shlex
import signal
import threading

import pytest
import zmq.auth
from backends import PATIENCE
from service import BACKENDS
from test_command import ROOT, WITHOUT_LOOPS, bad, good, here, run, terminal
from test_failure import nobody

import pseud
from pseud import SyncClient

__all__ = ['here', 'terminal']  # fixtures

SERVER = """
    import json, os
    from pseud import Server, register_type

    settings = json.loads(os.environ.get('SETTINGS', '{}'))
    if 'secret_key' in settings:
        import pathlib
        settings['secret_key'] = pathlib.Path(settings['secret_key'])
    server = Server(os.environ.get('SERVICE', 'service'), **settings)

    @server.register_rpc
    def same(*args, **kwargs):
        return [list(args), kwargs]

    @server.register_rpc
    def order(article):
        return f'one {article}'

    @server.register_rpc
    def fail(text):
        raise LookupError(text)

    @server.register_rpc
    def fail_oddly():
        class Odd(Exception):
            pass
        raise Odd('in two\\nlines')

    @server.register_rpc
    def refuse():
        raise PermissionError(1, 'no')

    @server.register_rpc(name='draw.me')
    def odd_values():
        import datetime
        return {'at': datetime.date(2024, 2, 29), 'bytes': b'x'}

    @server.register_rpc
    def keys():
        return {(1, 2): 3}

    @server.register_rpc
    def hang():
        say('hangs')
        input()

    if 'gevent' in Server.__module__:
        import gevent

        @server.register_rpc
        def wait():
            say('waits')
            gevent.sleep(3600)
    else:
        import asyncio

        @server.register_rpc
        async def wait():
            say('waits')
            await asyncio.sleep(3600)

    say(server.bind('tcp://127.0.0.1:*'))
    server.serve_forever(grace=3600)
"""


@pytest.fixture
def serve(request, program):
    """Starts a server: ``serve(**settings)``, on any backend unless one is asked for."""
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    backend = getattr(request, 'param', [*installed, 'tornado'][0])
    pytest.importorskip(backend)

    def serve(service='service', **settings):
        settings = json.dumps(settings)
        env = {**BACKENDS[backend], 'SETTINGS': settings, 'SERVICE': service}
        server = program(SERVER, env=env)
        server.address = server.line()
        return server

    return serve


each_backend = pytest.mark.parametrize('serve', BACKENDS, indirect=True)


@contextlib.contextmanager
def calling(address, function):
    """Make a call meanwhile; what becomes of it does not matter."""

    def call():
        with contextlib.suppress(pseud.PseudError):
            getattr(client, function)()

    with SyncClient(timeout=None) as client:
        client.connect(address)
        thread = threading.Thread(target=call)
        thread.start()
        yield
        thread.join(PATIENCE)


def until_connected(*arguments):
    """The error line of a ping that came as far as to a connection."""
    line, timeout = 'not connected', 0
    while 'not connected' in line:
        timeout += 1
        line = bad('ping', *arguments, '--timeout', str(timeout))
    return line


# ---------------------------------------------------------------- ping


@each_backend
def test_ping(serve):
    address = serve().address
    line = good('ping', address, '--name', 'service')
    agent = f'pseud/{pseud.__version__}'
    assert re.fullmatch(
        rf"{address}: service 'service', {re.escape(agent)}, \d+\.\d ms\n", line
    )
    other = bad('ping', address, '--name', 'other')
    assert "this server is 'service', the client looks for 'other'" in other


def test_ping_of_a_server_without_name(serve):
    address = serve(service='').address
    assert f'{address}: a service without name, pseud/' in good('ping', address)


def test_ping_needs_no_event_loop(serve, program):
    server = serve()
    arguments = repr(['ping', server.address])
    pinging = program(WITHOUT_LOOPS.replace('ARGUMENTS', arguments))
    assert pinging.line().startswith(server.address)
    assert pinging.rest() == ['0']


def test_ping_of_nobody():
    with nobody() as address:
        line = bad('ping', address, '--timeout', '0.2')
    assert f'not connected to {address} within 0.2 s' in line
    assert 'tcp://192.0.2.1' in bad('ping', 'nonsense')


def test_ping_waits_for_a_server(program):
    pytest.importorskip('tornado')
    with nobody() as address:
        pinging = program(['-m', 'pseud', 'ping', address, '--timeout', str(PATIENCE)])
    program(f"""
        from pseud import Server
        server = Server('service')
        server.bind({address!r})
        server.serve_forever()
    """)
    assert address in pinging.line()
    assert pinging.wait() == 0


@each_backend
def test_ping_of_a_server_that_hangs(serve):
    """It is connected, which is no proof."""
    server = serve()
    with calling(server.address, 'hang'):
        assert server.line() == 'hangs'
        line = until_connected(server.address)
        assert f'{server.address} is there, but did not answer within' in line
        server.tell('go on')
    assert 'ms' in good('ping', server.address)


@each_backend
def test_ping_of_a_server_that_stops(serve):
    """So that it is no longer ready while it drains."""
    server = serve()
    with calling(server.address, 'wait'):
        assert server.line() == 'waits'
        server.signal(signal.SIGTERM)
        while not (ping := run('ping', server.address)).returncode:
            pass
        assert 'takes no new calls: it is stopping' in ping.stderr
        server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.stderr


def test_ping_is_nobody_to_call(program):
    """Not even with the user id of one who is connected."""
    pytest.importorskip('tornado')
    server = program(
        """
        from pseud import Server

        server = Server('service', security_plugin='trusted_peer')

        @server.on_join
        async def greet(peer):
            try:
                await server.send_to('alice').hello()
            except Exception as error:
                say(type(error).__name__)

        say(server.bind('tcp://127.0.0.1:*'))
        server.serve_forever()
        """
    )
    good('ping', server.line(), '--user-id', 'alice')
    assert server.line() == 'NotSentError'


# ---------------------------------------------------------------- call


def test_call(serve):
    address = serve().address
    assert good('call', address, 'same') == '[[], {}]\n'
    # arguments that are JSON, and those that are not
    text = ['3', '-4.5', 'null', '[1, "a"]', '"5"', '1.2.3', 'NaN', 'a b', "'x'", '']
    values = [3, -4.5, None, [1, 'a'], '5', '1.2.3', 'NaN', 'a b', "'x'", '']
    done = json.loads(good('call', '--json', address, 'same', *text))
    assert done == [values, {}]
    keywords = ['--kwarg', 'a={"b": 1}', '--kwarg', 'text=x=y', '--kwarg', 'none=']
    done = json.loads(good('call', address, 'same', '1', *keywords, '--json'))
    assert done == [[1], {'a': {'b': 1}, 'text': 'x=y', 'none': ''}]
    assert good('call', address, 'same', '--', '--json') == "[['--json'], {}]\n"


def test_results_are_printed(serve):
    address = serve().address
    shown = good('call', address, 'draw.me')
    assert shown == "{'at': datetime.date(2024, 2, 29), 'bytes': b'x'}\n"
    assert json.loads(good('call', address, 'draw.me', '--json'))['at'] == '2024-02-29'
    assert good('call', address, 'keys') == '{(1, 2): 3}\n'
    assert 'keys() ran, but its result' in bad('call', address, 'keys', '--json')


@each_backend
def test_exceptions_come_with_their_tracebacks(serve):
    address = serve().address
    for arguments, function, told in [
        (['fail', 'none such'], 'fail', 'fail() raised LookupError: none such'),
        (['fail_oddly'], 'fail_oddly', '.Odd: in two lines'),
        (['refuse'], 'refuse', 'refuse() raised PermissionError: [Errno 1] no'),
    ]:
        done = run('call', address, *arguments, traceback=True)
        assert (done.returncode, done.stdout) == (1, '')
        *trace, line = done.stderr.splitlines()
        assert trace[0] == 'Traceback (most recent call last):'
        assert trace[1].endswith(f'in {function}')
        assert line.startswith('python -m pseud: ')
        assert line.endswith(told)
        assert 'commands.py' not in done.stderr


def test_calls_that_can_not_be_made(serve):
    address = serve(show_tracebacks=False).address
    assert "no function 'nothing'" in bad('call', address, 'nothing')
    assert 'fail() raised LookupError: x' in bad('call', address, 'fail', 'x')
    with nobody() as empty:
        line = bad('call', empty, 'f', '--timeout', '0.2')
    assert 'f() was not sent within 0.2 s' in line
    line = bad('call', address, 'wait', '--timeout', '2', '--name', 'other')
    assert "the client looks for 'other'" in line


def test_interrupted(serve, program):
    server = serve()
    arguments = ['-m', 'pseud', 'call', server.address, 'wait', '--timeout', '3600']
    call = program(arguments)
    assert server.line() == 'waits'
    call.signal(signal.SIGINT)
    assert call.wait() == 1
    assert call.stderr == ('python -m pseud: interrupted: the function may have run\n')


# ---------------------------------------------------------------- logins


def test_with_a_password(serve):
    pathlib.Path('right').write_text('wonderland\n')
    pathlib.Path('wrong').write_text('looking-glass\n')
    pathlib.Path('empty').write_text('\n')
    address = serve(security_plugin='plain', passwords={'alice': 'wonderland'}).address
    alice = [address, '--user-id', 'alice', '--password-file']
    assert 'ms' in good('ping', *alice, 'right')
    assert 'ms' in good('ping', *alice, '-', stdin='wonderland\n')
    assert good('call', *alice, 'right', 'same', '1') == '[[1], {}]\n'
    assert 'refused user' in bad('ping', *alice, 'wrong')
    assert 'refused user' in bad('call', *alice, 'wrong', 'same')
    assert 'refused user' in bad('ping', address, '--user-id', 'alice')
    assert 'no password' in bad('ping', *alice, 'empty')
    assert 'no password' in bad('ping', *alice, '-')
    assert 'nowhere: ' in bad('ping', *alice, 'nowhere')
    assert 'handshake' in bad('ping', address)


def test_a_password_is_asked_for_at_a_terminal(serve, terminal):
    address = serve(security_plugin='plain', passwords={'alice': 'wonderland'}).address
    ping = terminal('ping', address, '--user-id', 'alice', '--password-file', '-')
    ping.answer('Password: ', b'wonderland\n')
    assert ping.wait() == 0
    assert 'wonderland' not in ping.seen
    assert address in ping.seen


def test_with_a_key(serve):
    for name in ('service', 'alice', 'eve'):
        good('keygen', name)
    key, _ = zmq.auth.load_certificate('alice.key')
    address = serve(
        security_plugin='trusted_curve',
        secret_key='service.key_secret',
        authorized_keys={'alice': key.decode()},
    ).address
    public, _ = zmq.auth.load_certificate('service.key')
    for server_key in ('service.key', public.decode()):
        known = [address, '--server-key', server_key, '--key']
        assert 'ms' in good('ping', *known, 'alice.key_secret')
    assert good('call', *known, 'alice.key_secret', 'same') == '[[], {}]\n'
    assert 'refused' in bad('ping', *known, 'eve.key_secret')
    assert '--key: ' in bad('ping', *known, 'alice.key')
    wrong = [address, '--key', 'alice.key_secret', '--server-key']
    assert '--server-key: can not read nothing' in bad('ping', *wrong, 'nothing')
    assert 'not the key of that server' in bad('ping', *wrong, 'eve.key')


@each_backend
def test_with_a_password_that_is_encrypted(serve):
    good('keygen', 'service')
    good('keygen', 'alice')
    address = serve(
        security_plugin='untrusted_curve',
        secret_key='service.key_secret',
        passwords={'alice': 'wonderland'},
    ).address
    alice = [address, '--server-key', 'service.key', '--user-id', 'alice']
    alice += ['--password-file', '-']
    assert 'ms' in good('ping', *alice, stdin='wonderland')
    assert 'ms' in good('ping', *alice, '--key', 'alice.key_secret', stdin='wonderland')
    assert 'wrong user id or password' in bad('ping', *alice, stdin='jabberwock')
    assert good('call', *alice, 'same', stdin='wonderland') == '[[], {}]\n'


def test_clear_text_is_warned_of():
    """Where others can read it; on one line, as errors are."""
    pathlib.Path('secret').write_text('wonderland')
    arguments = ['--user-id', 'alice', '--password-file', 'secret', '--timeout', '0.1']
    done = run('ping', 'tcp://192.0.2.1:5', *arguments, warnings='default')
    assert done.returncode == 1
    warning, error = done.stderr.splitlines()
    assert warning.startswith('python -m pseud: a client connects to tcp://192.0.2.1:5')
    assert 'clear text' in warning
    assert 'not connected' in error


def test_the_documented_commands(serve):
    """howto/production: what is typed there, and what it prints"""
    page = (ROOT / 'docs' / 'howto' / 'production.rst').read_text()
    shown = re.findall(r'^   \$ python -m pseud (.*)\n   (.*)$', page, re.MULTILINE)
    assert len(shown) == 3
    address = serve('orders').address
    for command, printed in shown:
        line = good(*shlex.split(command.replace('tcp://127.0.0.1:5555', address)))
        if command.startswith('ping'):
            printed = printed.replace('tcp://127.0.0.1:5555', address)
            line, printed = (text.partition(', pseud/')[0] for text in (line, printed))
        assert line.rstrip() == printed
