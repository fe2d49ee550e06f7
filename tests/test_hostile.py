"""What a hostile peer can send or do: it costs what it costs, and the others go on."""

import gc
import socket
import struct
import subprocess
import threading
import tracemalloc
import urllib.parse

import msgpack
import pytest
import zmq
from backends import PATIENCE, scenario
from peers import CALL, CANCEL, ERROR, HELLO, RESULT

import pseud
from pseud._core.limits import Limits
from pseud._core.receive import MAX_NAME
from pseud._core.wire import MAX_HEAD, MAX_MESSAGES
from pseud.pump import BURST, BURSTS, MAX_FRAMES
from pseud.server_link import MAX_ENVELOPE, MAX_ROUTING_ID

PING, PONG = 8, 9
ARGS = msgpack.packb([[], {}])
GREETING = b'\xff' + bytes(8) + b'\x7f\x03\0NULL'.ljust(55, b'\0')

only_gevent = pytest.mark.parametrize('backend', ['gevent'], indirect=True)
only_tornado = pytest.mark.parametrize('backend', ['tornado'], indirect=True)


def link_of(server):
    return server._engine.links['']


class Stranger:
    """A DEALER without pseud; its methods block, so they run in a thread."""

    def __init__(self, net, address, **options):
        self.socket = net.raw(zmq.DEALER, **options)
        self.socket.connect(address)

    def send(self, *messages, envelope=(), frames=()):
        head = msgpack.packb(messages)
        self.socket.send_multipart([*envelope, b'', head, *frames])

    def until(self, kind, number):
        """What arrives until there is this kind of answer to this number."""
        got = []
        while (kind, number) not in [tuple(message[:2]) for message in got]:
            *_, head = self.socket.recv_multipart()[:2]
            got += msgpack.unpackb(head)
        return got

    def still_served(self, number=99):
        """What arrives until a sign of life: all that was answered before it."""
        self.send([PING, number])
        return self.until(PONG, number)[:-1]


# ---------------------------------------------------------------- the connections


def come_and_go(address, times):
    """Connect and leave; each time until the server has noticed."""
    where = urllib.parse.urlsplit(address)
    for _ in range(times):
        with socket.create_connection((where.hostname, where.port), 10) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(4096):
                pass


@scenario(needs=('loop',))
def test_masses_of_connections_while_the_loop_is_busy(net):
    """More than ØMQ's high-water marks: a full monitor would hold up libzmq itself."""
    server, address = net.serve()
    server.register_rpc(len)
    server.start()
    yield None
    come_and_go(address, 2100)  # here: the loop is busy with it
    again = server.bind(net.address())
    assert (yield net.client(again).len('abc')) == 3
    yield server.stop()


@scenario(needs=('loop',))
def test_input_that_does_not_end_keeps_nothing_from_being_done(net, logs):
    """Two pipes full of messages: settling reads a part of them, and returns."""
    count = 2000
    assert count > BURST * BURSTS
    server, address = net.serve(transport='inproc')
    server.start()
    for _ in range(2):
        raw = net.raw(zmq.DEALER, sndtimeo=PATIENCE * 1000)
        raw.connect(address)
        for _ in range(count // 2):
            raw.send_multipart([b'', b'junk'])
    engine, link = server._engine, link_of(server)
    before = engine._violations.count
    link.settle()
    assert 0 < engine._violations.count - before <= BURST * BURSTS
    yield from net.until(lambda: engine._violations.count == count)


@scenario(needs=('loop',))
def test_a_server_that_throws_out_is_not_stormed(net):
    """Hundreds of calls are made elsewhere, while a few connections are tried there."""
    listening = socket.create_server(('127.0.0.1', 0))
    accepted = []
    ready = b'\x05READY\x0bSocket-Type\0\0\0\x06ROUTER'
    both = GREETING + b'\x04' + bytes([len(ready)]) + ready

    def throw_out():
        while True:
            raw = listening.accept()[0]
            with raw:
                if net.context.closed or accepted == ['end']:
                    return
                accepted.append(True)
                raw.settimeout(PATIENCE)
                raw.sendall(both)
                got = 0
                while got < len(both) and (data := raw.recv(4096)):
                    got += len(data)

    thread = threading.Thread(target=throw_out, daemon=True)
    thread.start()
    host, port = listening.getsockname()
    client = net.client(f'tcp://{host}:{port}')
    server, address = net.serve()
    server.register_rpc(len)
    calm = net.client(address)
    yield from net.until(lambda: len(accepted) >= 2)
    for _ in range(1000):
        assert (yield calm.len('abc')) == 3
    assert len(accepted) <= 10
    yield client.stop()
    accepted[:] = ['end']
    socket.create_connection((host, port)).close()
    thread.join(PATIENCE)
    listening.close()


# ---------------------------------------------------------------- messages


@scenario(needs=('loop',))
def test_names_that_nobody_knows_leave_nothing_behind(net):
    """A look-up that finds nothing must not be remembered."""
    server, address = net.serve()
    server.start()
    stranger = Stranger(net, address)

    def ask(first, batches):
        for batch in range(first, first + batches):
            ids = range(200 * batch + 1, 200 * batch + 201, 2)
            # not in one frame with what is kept of an answer
            names = [f'{call_id}'.rjust(1000, 'x') for call_id in ids]
            calls = [
                [CALL, i, 0, ARGS, name] for i, name in zip(ids, names, strict=True)
            ]
            stranger.send(*calls)
            stranger.until(ERROR, ids[-1])
        stranger.still_served()

    tracemalloc.start()
    try:
        yield net.thread(ask, 0, 2)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        yield net.thread(ask, 2, 20)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept < 500_000 < 20 * 100 * 1000


@scenario(needs=('loop',))
def test_messages_of_too_many_parts(net):
    """They are dropped unanswered, and the next is served."""
    server, address = net.serve()
    server.register_rpc(lambda: 'done', name='f')
    server.start()
    stranger = Stranger(net, address)

    def attack():
        many = MAX_FRAMES - 1
        stranger.send([CALL, 1, many, ARGS, 'f', None], frames=[b''] * many)
        answers = stranger.until(RESULT, 1)
        many = MAX_FRAMES + 1
        stranger.send([CALL, 3, many, ARGS, 'f', None], frames=[b''] * many)
        stranger.send(*[[PING, 1]] * (MAX_MESSAGES + 1))
        stranger.send([PING, 1], [PING, 1, 0, bytes(MAX_HEAD)])
        stranger.send(*[[99]] * MAX_MESSAGES)  # not too many; a newer protocol's
        return answers[1:] + stranger.still_served()

    assert (yield net.thread(attack)) == []
    assert server._engine._violations.count == 3


@scenario(needs=('loop',))
def test_envelopes_that_no_device_makes(net):
    server, address = net.serve()
    server.start()
    stranger = Stranger(net, address)
    longest = b'x' * MAX_ROUTING_ID
    deepest = [b'x'] * (MAX_ENVELOPE - 1)  # the ROUTER has added one

    def attack():
        stranger.send([PING, 1], envelope=[longest + b'x'])
        stranger.send([PING, 1], envelope=[*deepest, b'x'])
        envelopes = []
        for envelope in [longest], deepest:
            stranger.send([PING, 2], envelope=envelope)
            *found, delimiter, _ = stranger.socket.recv_multipart()
            assert delimiter == b''
            envelopes.append(found)
        return envelopes

    assert (yield net.thread(attack)) == [[longest], deepest]


@scenario(needs=('loop',))
def test_envelopes_do_not_lock_out_who_is_connected_himself(net):
    """One connection that speaks for many: the first of them are forgotten."""
    server, address = net.serve(limits=Limits(max_peers=4))
    server.register_rpc(len)
    old = net.client(address)
    assert (yield old.len('abc')) == 3
    stranger = Stranger(net, address)

    def attack():
        for number in range(100):
            stranger.send([HELLO, 0, 0, {}], envelope=[b'%d' % number])
            stranger.socket.recv_multipart()

    yield net.thread(attack)
    assert len(server._engine.core.peers) == 4
    for newcomer in [net.client(address) for _ in range(3)]:
        assert (yield newcomer.len('abc')) == 3
    # now there is nobody left to be forgotten
    error = yield from net.raises(pseud.NotSentError, net.client(address).len(''))
    assert 'limit' in str(error)
    assert (yield old.len('abc')) == 3


@scenario(needs=('loop',))
def test_names_that_are_too_long(net):
    server, address = net.serve()
    name = 'x' * MAX_NAME
    server.register_rpc(lambda: 'done', name=name)
    client = net.client(address)
    assert (yield client.call(name)) == 'done'
    for caller in client, server.send_to('anybody'):
        with pytest.raises(TypeError, match=f'1 to {MAX_NAME} characters') as caught:
            caller.call(name + 'x')
        assert len(str(caught.value)) < 200
    stranger, older = Stranger(net, address), Stranger(net, address)

    def attack():
        stranger.send([CALL, 1, 0, ARGS, name + 'x'])
        answers = stranger.still_served()
        call = msgpack.packb([name + 'x', [], {}])
        older.socket.send_multipart([b'', b'v1', bytes(16), b'\x03', call])
        call = msgpack.packb([name, [], {}])
        older.socket.send_multipart([b'', b'v1', b'1' * 16, b'\x03', call])
        return answers, older.socket.recv_multipart()

    answers, reply = yield net.thread(attack)
    assert answers == []
    assert reply == [b'', b'v1', b'1' * 16, b'\x01', msgpack.packb('done')]


@scenario(needs=('loop',))
def test_calls_that_are_cancelled_at_once_do_not_queue_up(net):
    """While as many functions run as may, what was cancelled does not wait."""
    go, ran = net.event(), []

    def wait(number):
        ran.append(number)
        yield go.wait()

    server, address = net.serve(limits=Limits(max_handlers=1))
    server.register_rpc(net.handler(wait), name='wait')
    server.start()
    stranger = Stranger(net, address)

    def call(call_id):
        return [CALL, call_id, 0, msgpack.packb([[call_id], {}]), 'wait', None]

    def attack():
        stranger.send(call(1))
        for first in range(3, 2003, 20):
            ids = range(first, first + 20, 2)
            stranger.send(*[m for i in ids for m in (call(i), [CANCEL, i])])
        stranger.send(call(2003))
        stranger.still_served()

    yield net.thread(attack)
    engine = server._engine
    assert len(engine.backend._handlers.waiting) == 1
    assert engine.core.running == 2
    go.set()
    yield net.thread(stranger.until, RESULT, 2003)
    assert ran == [1, 2003]


@only_tornado
@scenario
def test_a_call_that_is_cancelled_before_it_begins(net, recwarn):
    server, address = net.serve()
    ran = []

    async def note(number):
        ran.append(number)

    server.register_rpc(note)
    server.start()
    stranger = Stranger(net, address)
    one = [CALL, 1, 0, msgpack.packb([[1], {}]), 'note', None]
    two = [CALL, 3, 0, msgpack.packb([[2], {}]), 'note', None]

    def attack():
        stranger.send(one, [CANCEL, 1], two)
        return stranger.until(RESULT, 3)

    assert len((yield net.thread(attack))) == 1
    gc.collect()
    assert ran == [2]
    assert not recwarn.list  # of a coroutine that was never awaited


# A server that computes, as long as it is told to.
COMPUTING = """
from pseud import Server

server = Server('service', heartbeat_interval=0.05)

@server.register_rpc
def compute():
    say('computing')
    return input()

say(server.bind('tcp://127.0.0.1:*'))
server.serve_forever()
"""


@scenario(needs=('callable',))
def test_who_fills_the_pipe_and_leaves(net, program):
    """libzmq 4.3.5 ends a process that wants to send a heartbeat then."""
    server = program(COMPUTING)
    address = server.line()
    client = net.client(address, timeout=None)
    call = client.compute()
    yield net.thread(server.line)
    flood = net.raw(zmq.DEALER, sndhwm=0, immediate=True)
    flood.connect(address)

    def fill():
        for _ in range(1 << 16):  # more than libzmq takes by itself, or took before
            flood.send(bytes(500))
        flood.close()

    yield net.thread(fill)
    with pytest.raises(subprocess.TimeoutExpired):
        yield net.thread(server.process.wait, 1)
    server.tell('done')
    assert (yield call) == 'done'
