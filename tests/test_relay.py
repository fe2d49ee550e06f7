"""What `pseud.testing.Relay` does to the bytes and ends of connections, without pseud."""

import contextlib
import os
import random
import socket
import struct
import threading
import time

import pytest
from backends import PATIENCE

import pseud
from pseud.testing import Relay
from pseud.testing.loop import Loop
from pseud.testing.wire import HELD, PIECE

# Seconds for what must not happen.
MOMENT = 0.05


class Ends:
    """A listening socket, a relay in front of it, and connections through that."""

    def __init__(self, family=socket.AF_INET, where=('127.0.0.1', 0)):
        self.listening = socket.socket(family)
        self.listening.settimeout(PATIENCE)
        self.listening.bind(where)
        self.listening.listen()
        target = f'ipc://{where}'
        if family == socket.AF_INET:
            target = f'tcp://127.0.0.1:{self.listening.getsockname()[1]}'
        self.relay = Relay(target)
        self.sockets = [self.listening]

    def connect(self):
        host, port = self.relay.endpoint.removeprefix('tcp://').split(':')
        client = socket.create_connection((host, int(port)), PATIENCE)
        self.sockets.append(client)
        return client

    def accept(self):
        server, _ = self.listening.accept()
        server.settimeout(PATIENCE)
        self.sockets.append(server)
        return server

    def pair(self):
        """Both sides of a new connection."""
        return self.connect(), self.accept()

    def until(self, condition):
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < give_up
            time.sleep(0.001)

    def close(self):
        self.relay.close()
        for each in self.sockets:
            each.close()


@pytest.fixture
def ends():
    ends = Ends()
    yield ends
    ends.close()


def read(end, count):
    data = bytearray()
    while len(data) < count:
        piece = end.recv(count - len(data))
        assert piece, f'the end, after {len(data)} bytes'
        data += piece
    return data


def silent(*ends):
    """Nothing arrives there, not even the end."""
    for end in ends:
        end.settimeout(MOMENT)
        with pytest.raises(TimeoutError):
            end.recv(1)
        end.settimeout(PATIENCE)


def reset(end):
    """That the connection is reset, perhaps after some bytes."""

    def until_the_end():
        while end.recv(PIECE):
            pass

    with pytest.raises(ConnectionResetError):
        until_the_end()


def ended(end):
    return end.recv(1) == b''


def slam(end):
    """Close by a reset."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    end.close()


def pump(end, data):
    """Send in a thread; a blocked one ends with the socket."""

    def send():
        try:
            end.sendall(data)
        except OSError:
            pass

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


# ---------------------------------------------------------------- plain relaying


def test_bytes_and_ends_pass_both_ways(ends):
    client, server = ends.pair()
    for here, there in ((client, server), (server, client)):
        here.sendall(b'hello')
        assert read(there, 5) == b'hello'
        assert ends.relay.connections == 1
        here.shutdown(socket.SHUT_WR)
        assert ended(there)
    assert ends.relay.bytes_passed == 10
    ends.until(lambda: not ends.relay.connections)


def test_one_end_may_go_on(ends):
    client, server = ends.pair()
    client.shutdown(socket.SHUT_WR)
    assert ended(server)
    server.sendall(b'answer')
    assert read(client, 6) == b'answer'


def test_an_end_that_is_closed_ends_the_other(ends):
    client, server = ends.pair()
    server.sendall(b'last words')
    server.close()
    assert read(client, 10) == b'last words'
    assert ended(client)
    for _ in range(2):
        client.close()
    ends.until(lambda: not ends.relay.connections)


def test_what_is_sent_to_an_end_that_is_closed(ends):
    """It goes nowhere, and the connection ends."""
    client, server = ends.pair()
    server.sendall(b'last words')
    server.close()
    assert read(client, 10) == b'last words'
    pump(client, bytes(PIECE))
    ends.until(lambda: not ends.relay.connections)


def test_a_reset_is_passed_on(ends):
    for at in (0, 1):
        pair = ends.pair()
        pair[at].sendall(b'bye')
        assert read(pair[1 - at], 3) == b'bye'
        slam(pair[at])
        reset(pair[1 - at])
    ends.until(lambda: not ends.relay.connections)


def test_many_bytes_at_once_both_ways(ends):
    client, server = ends.pair()
    there, back = (random.Random(seed).randbytes(3 << 20) for seed in (1, 2))
    threads = [pump(client, there), pump(server, back)]
    assert read(server, len(there)) == there
    assert read(client, len(back)) == back
    for thread in threads:
        thread.join(PATIENCE)


def test_many_connections(ends):
    pairs = []
    for number in range(50):
        pairs.append(ends.pair())
        pairs[-1][0].sendall(b'%02d' % number)
    for number, (client, server) in enumerate(pairs):
        assert read(server, 2) == b'%02d' % number
        server.sendall(b'ok')
        assert read(client, 2) == b'ok'
    assert ends.relay.connections == 50


def test_a_server_at_a_unix_socket(tmp_path_factory):
    ends = Ends(socket.AF_UNIX, str(tmp_path_factory.mktemp('ipc') / 'socket'))
    try:
        client, server = ends.pair()
        server.sendall(b'hello')
        assert read(client, 5) == b'hello'
        ends.relay.cut()
        reset(client)
        assert ended(server)
    finally:
        ends.close()


def test_no_server():
    """Who connects is thrown out; once there is one, all is well."""
    with socket.socket() as listening:
        listening.bind(('127.0.0.1', 0))
        with Relay(f'tcp://127.0.0.1:{listening.getsockname()[1]}') as relay:
            where = ('127.0.0.1', int(relay.endpoint.rpartition(':')[2]))
            with (
                pytest.raises(ConnectionResetError),
                socket.create_connection(where, PATIENCE) as client,
            ):
                client.recv(1)
            listening.listen()
            with socket.create_connection(where, PATIENCE) as client:
                client.sendall(b'hello')
                with listening.accept()[0] as server:
                    assert read(server, 5) == b'hello'
            assert relay.connections <= 1


def test_who_does_not_read_stops_who_sends(ends):
    """Memory is bounded, and nothing gets lost."""
    client, server = ends.pair()
    data = random.Random(3).randbytes(64 << 20)
    sending = pump(client, data)
    ends.until(lambda: ends.relay.connections)
    (wire,) = ends.relay._wires
    flow = wire.flows['server']
    ends.until(lambda: flow.size >= HELD and flow.blocked)
    assert flow.size < HELD + PIECE
    assert sending.is_alive()
    server.sendall(b'and back')
    assert read(client, 8) == b'and back'
    assert read(server, len(data)) == data
    sending.join(PATIENCE)


# ---------------------------------------------------------------- what is done to it


def test_cut(ends):
    pairs = [ends.pair() for _ in range(3)]
    last = ends.connect()
    ends.relay.cut()
    assert ends.relay.connections == 0
    for pair in pairs:
        for end in pair:
            reset(end)
    reset(last)
    ends.connect().sendall(b'x')
    server = ends.accept()
    with contextlib.suppress(ConnectionResetError):
        if not server.recv(1):
            raise ConnectionResetError
        return
    # that was the last one, which came as far as here
    assert read(ends.accept(), 1) == b'x'


def test_cut_in_the_middle(ends):
    client, server = ends.pair()
    sending = pump(client, bytes(8 << 20))
    read(server, PIECE)
    ends.relay.cut()
    reset(server)
    sending.join(PATIENCE)
    assert not sending.is_alive()


def test_refuse_and_accept(ends):
    client, server = ends.pair()
    for _ in range(2):  # twice is the same as once
        ends.relay.refuse()
    with pytest.raises(ConnectionRefusedError):
        ends.connect()
    server.sendall(b'stays')
    assert read(client, 5) == b'stays'
    port = int(ends.relay.endpoint.rpartition(':')[2])
    with pytest.raises(OSError):  # nobody else gets it
        socket.create_server(('127.0.0.1', port))
    for _ in range(2):
        ends.relay.accept()
    client, server = ends.pair()
    server.sendall(b'again')
    assert read(client, 5) == b'again'


def test_freeze_and_thaw(ends):
    client, server = ends.pair()
    client.sendall(b'before')
    assert read(server, 6) == b'before'
    ends.relay.freeze()
    client.sendall(b'later')
    server.sendall(b'too')
    passed = ends.relay.bytes_passed
    silent(client, server)
    assert ends.relay.bytes_passed == passed
    ends.relay.thaw()
    assert read(server, 5) == b'later'
    assert read(client, 3) == b'too'


@pytest.mark.parametrize('end', [socket.socket.close, slam])
def test_ends_are_frozen_too(ends, end):
    client, server = ends.pair()
    ends.relay.freeze()
    client.sendall(b'last words')
    end(client)
    silent(server)
    ends.relay.thaw()
    assert read(server, 10) == b'last words'
    if end is slam:
        reset(server)
    else:
        assert ended(server)
    server.close()
    ends.until(lambda: not ends.relay.connections)


def test_connections_are_frozen_too(ends):
    ends.relay.freeze()
    client = ends.connect()
    client.sendall(b'hello')
    ends.listening.settimeout(MOMENT)
    with pytest.raises(TimeoutError):
        ends.accept()
    ends.listening.settimeout(PATIENCE)
    ends.relay.thaw()
    assert read(ends.accept(), 5) == b'hello'


def test_what_is_frozen_can_be_cut(ends):
    client, server = ends.pair()
    ends.relay.freeze()
    client.sendall(b'lost')
    late = ends.connect()
    ends.relay.cut()
    for end in (client, server, late):
        reset(end)
    ends.relay.thaw()
    client, server = ends.pair()
    server.sendall(b'hello')
    assert read(client, 5) == b'hello'


@pytest.mark.parametrize('lost', ['server', 'client'])
def test_half_open(ends, lost):
    client, server = ends.pair()
    gone, left = (server, client) if lost == 'server' else (client, server)
    ends.relay.half_open(lost)
    reset(gone)
    silent(left)
    left.sendall(bytes(PIECE))  # goes nowhere
    assert ends.relay.connections == 1
    silent(left)
    client, server = ends.pair()  # is a whole one
    server.sendall(b'hello')
    assert read(client, 5) == b'hello'
    left.close()
    ends.until(lambda: ends.relay.connections == 1)


def test_half_open_is_half_of_what_it_was_already(ends):
    client, _ = ends.pair()
    for lost in ('server', 'client', 'server'):
        ends.relay.half_open(lost)
    silent(client)
    ends.relay.heal()
    reset(client)
    assert ends.relay.connections == 0


def test_half_open_does_not_fill_up(ends):
    client, _ = ends.pair()
    ends.relay.half_open()
    client.sendall(bytes(8 * HELD))
    client.shutdown(socket.SHUT_WR)
    ends.until(lambda: not ends.relay.connections)


def test_delay(ends):
    client, server = ends.pair()
    ends.relay.delay(0.1)
    began = time.monotonic()
    for number in range(5):
        client.sendall(b'%d' % number)
    client.shutdown(socket.SHUT_WR)
    assert read(server, 5) == b'01234'
    assert time.monotonic() - began >= 0.1
    assert ended(server)
    server.sendall(b'back')
    assert read(client, 4) == b'back'
    assert time.monotonic() - began >= 0.2


def test_what_is_delayed_arrives_when_that_ends(ends):
    client, server = ends.pair()
    ends.relay.delay(1000)
    client.sendall(b'one')
    silent(server)
    client.sendall(b'two')
    ends.relay.delay(0)
    assert read(server, 6) == b'onetwo'


def test_throttle(ends):
    client, server = ends.pair()
    ends.relay.throttle(100_000)
    began = time.monotonic()
    client.sendall(bytes(15_000))
    server.sendall(bytes(15_000))
    read(server, 15_000)
    read(client, 15_000)
    # the first 2000 bytes pass at once
    assert time.monotonic() - began >= 0.13
    ends.relay.throttle(1)
    data = random.Random(4).randbytes(2 << 20)
    pump(client, data)
    read(server, 1)
    ends.relay.throttle(None)
    assert read(server, len(data) - 1) == data[1:]


def test_delay_and_throttle_together(ends):
    client, server = ends.pair()
    ends.relay.delay(0.05)
    ends.relay.throttle(1_000_000)
    data = random.Random(5).randbytes(100_000)
    began = time.monotonic()
    pump(client, data)
    assert read(server, len(data)) == data
    assert time.monotonic() - began >= 0.05 + 0.08


def test_corrupt(ends):
    client, server = ends.pair()
    relay = ends.relay
    relay.corrupt()
    server.sendall(b'abc')
    assert read(client, 3) == b'a\x9dc'
    server.sendall(b'abc')
    assert read(client, 3) == b'abc'
    relay.corrupt(towards='server', at=0)
    server.sendall(b'abc')
    assert read(client, 3) == b'abc'
    client.sendall(b'abc')
    assert read(server, 3) == b'\x9ebc'
    relay.corrupt(count=2, at=1000)
    for expected in (b'ab\x9c', b'ab\x9c', b'abc'):
        client.sendall(b'abc')
        assert read(server, 3) == expected


def test_corrupt_what_waits_to_be_sent(ends):
    """One byte, however often sending is tried."""
    client, server = ends.pair()
    data = random.Random(6).randbytes(8 << 20)
    thread = pump(client, data)
    ends.until(lambda: ends.relay.bytes_passed > 0)
    ends.relay.corrupt(count=3)
    arrived = read(server, len(data))
    thread.join(PATIENCE)
    assert sum(a != b for a, b in zip(arrived, data, strict=True)) == 3


def test_heal(ends):
    client, server = ends.pair()
    relay = ends.relay
    relay.delay(1000)
    relay.throttle(1)
    relay.corrupt(towards='client', count=1000)
    client.sendall(b'hello')
    relay.freeze()
    relay.refuse()
    relay.heal()
    assert read(server, 5) == b'hello'
    server.sendall(b'hello')
    assert read(client, 5) == b'hello'
    client, server = ends.pair()
    server.sendall(b'hello')
    assert read(client, 5) == b'hello'


# ---------------------------------------------------------------- life


def test_close(ends):
    client, server = ends.pair()
    for _ in range(2):
        ends.relay.close()
    reset(client)
    reset(server)
    with pytest.raises(ConnectionRefusedError):
        ends.connect()
    for use in (ends.relay.cut, ends.relay.heal, lambda: ends.relay.delay(1)):
        with pytest.raises(pseud.UsageError, match='was closed: make a new one'):
            use()
    assert ends.relay.connections == 0
    assert ends.relay.endpoint in repr(ends.relay)


def test_nothing_stays_open():
    before = len(os.listdir('/dev/fd'))
    for _ in range(3):
        ends = Ends()
        ends.pair()
        ends.relay.half_open()
        ends.pair()
        ends.relay.refuse()
        with ends.relay as relay:
            relay.freeze()
        ends.close()
    assert len(os.listdir('/dev/fd')) <= before


@pytest.mark.parametrize(
    'target',
    [
        '',
        'tcp://127.0.0.1',
        'tcp://127.0.0.1:*',
        'tcp://127.0.0.1:0',
        'tcp://127.0.0.1:65536',
        'tcp://*:5555',
        'inproc://name',
        'ipc://',
        'ipc://*',
        '127.0.0.1:5555',
    ],
)
def test_targets_that_are_none(target):
    with pytest.raises(ValueError, match=r'bind\(\) returns its address'):
        Relay(target)


def test_targets_have_names():
    with Relay('tcp://localhost:5555') as relay:
        assert relay._address == ('127.0.0.1', 5555)
    with Relay('tcp://[::1]:5555') as relay:
        assert relay._address[:2] == ('::1', 5555)
    with pytest.raises(OSError):
        Relay('tcp://no.such.host.invalid:5555')


@pytest.mark.parametrize(
    ('order', 'says'),
    [
        (lambda relay: relay.delay(-1), 'seconds, 0 or more, not -1'),
        (lambda relay: relay.delay('1'), "not '1'"),
        (lambda relay: relay.throttle(0), 'freeze'),
        (lambda relay: relay.throttle(True), 'positive number of bytes'),
        (lambda relay: relay.corrupt(count=0), 'count must be 1 or more'),
        (lambda relay: relay.corrupt(at=-1), 'at must be 0 or more'),
        (lambda relay: relay.corrupt(towards='me'), "'server' or 'client', not 'me'"),
        (lambda relay: relay.half_open('both'), "'server' or 'client', not 'both'"),
    ],
)
def test_orders_that_are_none(ends, order, says):
    with pytest.raises(ValueError, match=says):
        order(ends.relay)


def test_threads_may_share_it(ends):
    """Each order is carried out, whoever gives it."""

    def work():
        for _ in range(20):
            for order in (relay.freeze, relay.cut, relay.refuse, relay.heal):
                order()

    relay = ends.relay
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    client, server = ends.pair()
    server.sendall(b'hello')
    assert read(client, 5) == b'hello'


def test_a_bug_ends_the_thread_and_is_told():
    """Nobody waits for a thread that is no longer there."""
    finished = []

    def step(now):
        raise ZeroDivisionError

    loop = Loop('this', step, lambda: finished.append(True))
    for use in (lambda: loop.do(list), lambda: loop.do(list), loop.close):
        with pytest.raises(RuntimeError, match='this has failed: ZeroDivisionError'):
            use()
    assert finished


FORKED = """
import os
import pseud
from pseud.testing import Relay

relay = Relay('tcp://127.0.0.1:5555')
child = os.fork()
if not child:
    try:
        try:
            relay.cut()
        except pseud.ForkedError as error:
            say(error)
        relay.close()
        Relay('tcp://127.0.0.1:5555').close()
    finally:
        os._exit(0)
os.waitpid(child, 0)
relay.cut()
relay.close()
say('end')
"""


def test_in_a_forked_child(program):
    forked = program(FORKED)
    says, end = forked.rest()
    assert 'runs in the process that made it: make a new one here' in says
    assert end == 'end'
    assert forked.wait() == 0, forked.stderr


# Whether it was imported before or after; greenlets go on while it does what it is told.
PATCHED = """
IMPORT_BEFORE
from gevent import monkey
monkey.patch_all()
import gevent, socket, threading
from pseud import Client, PeerLostError, Server
from pseud.testing import Relay

server = Server('service')
server.register_rpc(lambda value: value, name='same')
server.register_rpc(lambda: (say('waiting'), gevent.event.Event().wait()), name='wait')
with Relay(server.bind('tcp://127.0.0.1:*')) as relay, Client('service') as client:
    client.connect(relay.endpoint)
    assert client.same(1).get() == 1
    call = client.wait()
    assert client.same(2).get() == 2
    relay.cut()
    try:
        call.get()
    except PeerLostError:
        say('lost')
    assert client.same(b'x' * (3 << 20)).get() == b'x' * (3 << 20)
    relay.freeze()
    call = client.same(3)
    gevent.sleep(0.02)
    assert not call.ready()
    threads = [threading.Thread(target=relay.heal) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert call.get() == 3
server.stop()
say('end')
"""


@pytest.mark.parametrize('before', ['', 'import pseud.testing'])
def test_where_gevent_has_patched_all(program, before):
    pytest.importorskip('gevent')
    patched = program(PATCHED.replace('IMPORT_BEFORE', before), env={'NO_TORNADO': '1'})
    assert patched.rest() == ['waiting', 'lost', 'end'], patched.stderr
    assert patched.wait() == 0, patched.stderr
