"""Programs on gevent: monkey-patched or not, signals, and what reaches the log."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from service import Service

import pseud
from pseud import SyncClient

pytest.importorskip('gevent')

PATCHED = 'from gevent import monkey\nmonkey.patch_all()\n'
LATE = """
import pseud, pseud.rpc, pseud.engine, zmq
from pseud._gevent import Client, Server
from gevent import monkey
monkey.patch_all()
"""
ALSO_THREADED = """
import threading
threading.Thread(target=len, args=('',)).start()  # before all of it
"""
BEGINNINGS = pytest.mark.parametrize(
    'beginning',
    [PATCHED, LATE, ALSO_THREADED + PATCHED, ''],
    ids=['patched', 'late', 'threads first', 'not'],
)
GEVENT = {'NO_TORNADO': '1'}

# ---------------------------------------------------------------- patched

EVERYTHING = """
import sys, threading, time
import gevent
import pseud
from pseud import Client, Server

def make(kind, *args, **settings):
    return kind('service', timeout=20, **settings)

server = make(Server, security_plugin=PLUGIN, passwords={'alice': 'secret'})
address = server.bind('tcp://127.0.0.1:*')
server.register_rpc(len)
@server.register_rpc
def same(*values):
    time.sleep(0)
    return values
@server.register_rpc(with_identity=True)
def back(user_id, value):
    return server.send_to(user_id).twice(value).get()

client = make(Client, security_plugin='plain', user_id='alice', password='secret')
client.register_rpc(lambda value: 2 * value, name='twice')
client.connect(address)
assert client.len('abc').get() == 3
assert client.back('ab').get() == 'abab'
for size in (60_000, 300_000, 5_000_000):
    values = tuple(bytes([n]) * size for n in range(4))
    assert client.same(*values).get() == values
    assert client.back(values[1]).get() == 2 * values[1]
server.register_rpc(lambda: gevent.sleep(3600), name='sleep')
try:
    client.with_options(timeout=0.02).sleep().get()
except pseud.TimeoutError:
    say('in time')
stranger = make(Client, security_plugin='plain', user_id='alice', password='guessed')
stranger.connect(address)
try:
    say(stranger.len('').get())
except pseud.UnauthorizedError:
    say('refused')
results = []
def use():
    results.append(client.len('x').get())
if 'gevent.monkey' in sys.modules and threading.Thread(target=use).start() is None:
    while not results:
        time.sleep(0.001)  # gevent's: threads are greenlets
for each in (stranger, client, server):
    each.stop()
say('end')
"""


@BEGINNINGS
@pytest.mark.parametrize(
    ('plugin', 'strangers'), [('plain', 'refused'), ('trusted_peer', '0')]
)
def test_everything_in_one_program(program, beginning, plugin, strangers):
    own = program(beginning + EVERYTHING.replace('PLUGIN', repr(plugin)), env=GEVENT)
    assert own.rest() == ['in time', strangers, 'end']
    assert own.wait() == 0, own.stderr


ZAP = """
import zmq
from zmq.utils.monitor import parse_monitor_message
from pseud import Server

server = Server('service', security_plugin='plain', passwords={'alice': 'secret'})
address = server.bind('tcp://127.0.0.1:*')
socket = zmq.Context().socket(zmq.DEALER)
socket.plain_username, socket.plain_password = b'alice', b'secret'
monitor = socket.get_monitor_socket(
    zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
socket.connect(address)
# blocks the hub, and every greenlet
event = parse_monitor_message(monitor.recv_multipart()) if monitor.poll(20000) else {}
say(event.get('event') == zmq.EVENT_HANDSHAKE_SUCCEEDED)
socket.disable_monitor()
monitor.close()
socket.close(0)
server.stop()
"""


@BEGINNINGS
def test_connections_are_judged_while_the_hub_is_busy(program, beginning):
    """A real thread does it, also where threads are greenlets."""
    own = program(beginning + ZAP, env=GEVENT)
    assert own.rest() == ['True']
    assert own.wait() == 0, own.stderr


@pytest.mark.parametrize('patched', ['', '1'])
def test_large_values_from_one_process_to_another(patched):
    server = Service('gevent', env={'PATCHED': patched})
    try:
        with SyncClient('service', timeout=30) as client:
            client.connect(server.address)
            for size in (60_000, 300_000, 20_000_000):
                value = [bytes([n]) * size for n in range(3)]
                assert client.same(value) == value
    finally:
        server.close()


# ---------------------------------------------------------------- signals

DRAINING = """
import gevent
from pseud import Server

server = Server('service')

@server.register_rpc
def slow():
    say('started')
    while not server._engine.core.draining:
        gevent.sleep(0.005)
    return 'finished'

say(server.bind('tcp://127.0.0.1:*'))
server.serve_forever()
say('end')
"""


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize('beginning', [PATCHED, ''], ids=['patched', 'not'])
def test_serve_forever_drains(program, beginning, number):
    server = program(beginning + DRAINING, env=GEVENT)
    client = program(
        """
        import sys
        from pseud import SyncClient
        with SyncClient(timeout=30) as client:
            client.connect(input())
            say(client.slow())
        """
    )
    client.tell(server.line())
    assert server.line() == 'started'
    server.signal(number)
    assert client.rest() == ['finished']
    assert server.rest() == ['end']
    assert server.wait() == 0, server.stderr


def test_a_second_signal_is_obeyed_at_once(program):
    source = DRAINING.replace('serve_forever()', 'serve_forever(grace=3600)')
    # nothing but the second signal ends it in time
    source = source.replace('gevent.sleep(0.005)', 'gevent.sleep(3600)')
    server = program(source, env=GEVENT)
    with SyncClient(timeout=30) as client, ThreadPoolExecutor() as threads:
        client.connect(server.line())
        call = threads.submit(client.slow)
        assert server.line() == 'started'
        server.signal(signal.SIGTERM)
        why = ''
        while 'it is stopping' not in why:
            with pytest.raises(pseud.PseudError) as caught:
                client.with_options(timeout=0.1).nothing()
            why = str(caught.value)
        server.signal(signal.SIGTERM)
        with pytest.raises(pseud.PeerLostError):
            call.result(30)
    assert server.rest() == ['end']
    assert server.wait() == 0, server.stderr


STOPPED = """
from pseud import Server
server = Server('service')

@server.register_rpc
def shutdown():
    server.stop()
    return 'bye'

say(server.bind('tcp://127.0.0.1:*'))
server.start()
say('started')
server.serve_forever()
say('end')
"""


@pytest.mark.parametrize('beginning', [PATCHED, ''], ids=['patched', 'not'])
def test_start_returns_and_serve_forever_ends_with_stop(program, beginning):
    server = program(beginning + STOPPED, env=GEVENT)
    address = server.line()
    assert server.line() == 'started'
    with SyncClient(timeout=30) as client:
        client.connect(address)
        assert client.shutdown() == 'bye'
    assert server.rest() == ['end']
    assert server.wait() == 0, server.stderr


# ---------------------------------------------------------------- the log

FAILING = """
import logging
logging.basicConfig(format='LOG %(name)s %(message)s')
from pseud import Client, Server

from pseud.heartbeat import HeartbeatBackend
from pseud.interfaces import IHeartbeatBackend
from zope.interface import implementer

@implementer(IHeartbeatBackend)
class Heart(HeartbeatBackend):
    name = 'heart'
    def handle_heartbeat(self, user_id, peer): raise RuntimeError('no heart')

server = Server('service', heartbeat_plugin=Heart(None))
server.register_rpc(len)
address = server.bind('tcp://127.0.0.1:*')
client = Client('service')
client.connect(address)
say(client.len('abc').get())

def bug():
    raise ZeroDivisionError('in the hub')

server._engine.backend.call_soon(bug)
server._engine.backend.call_at(0, bug)
for peer in client._engine.core.peers.values():
    client._engine.core.ping(peer)
client._engine.sender.flush()
say(client.len('abcd').get())
client.stop()
server.stop()
"""


def test_what_fails_in_the_hub_is_seen(program):
    own = program(FAILING, env=GEVENT)
    assert own.rest() == ['3', '4']
    assert own.wait() == 0, own.stderr
    assert own.stderr.count('ZeroDivisionError: in the hub') == 2
    assert 'LOG pseud.hooks Server' in own.stderr
    assert 'RuntimeError: no heart' in own.stderr


FAILING_HANDLER = """
import logging
logging.basicConfig(format='LOG %(name)s %(message)s')
from pseud import Server
server = Server('service')

@server.register_rpc
def fail(kind):
    raise {'error': RuntimeError, 'exit': SystemExit}[kind]('oh')

server.register_rpc(len)
say(server.bind('tcp://127.0.0.1:*'))
server.serve_forever()
say('end')
"""


def test_what_fails_in_a_function_reaches_its_caller(program):
    server = program(FAILING_HANDLER, env=GEVENT)
    with SyncClient(timeout=30) as client:
        client.connect(server.line())
        with pytest.raises(RuntimeError, match='oh'):
            client.fail('error')
        assert client.len('goes on') == 7
    server.signal(signal.SIGTERM)
    assert server.rest() == ['end']
    assert server.wait() == 0, server.stderr
    assert server.stderr == ''


def test_sys_exit_in_a_function_ends_the_program(program):
    server = program(FAILING_HANDLER, env=GEVENT)
    with SyncClient(timeout=30) as client:
        client.connect(server.line())
        with pytest.raises(pseud.PseudError):
            client.fail('exit')
    assert server.rest() == []
    assert server.wait() != 0
