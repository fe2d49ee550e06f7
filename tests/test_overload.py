"""Overload: clients that ask for more than there is, that do not read, that come and go."""

import gc
import os
import threading
import time
import tracemalloc

import msgpack
import pytest
import zmq
from backends import PATIENCE, scenario

from pseud import Limits, OverloadedError, RemotePeer
from pseud._core.peer import Peer
from pseud._core.wire import CALL, CANCEL, ERROR, HELLO, PING, PONG, RESULT
from pseud.transit import WINDOW
from pseud.turns import TURN

MIB = 1 << 20


def compute():
    """Keep the loop for longer than a turn."""
    until = time.monotonic() + 2 * TURN
    while time.monotonic() < until:
        pass


class Raw:
    """A client that does as it likes; by inproc, what it sends is there at once."""

    def __init__(self, net, address, **options):
        self.socket = net.raw(zmq.DEALER, sndtimeo=PATIENCE * 1000, **options)
        self.socket.connect(address)
        self.number = -1
        self.messages = []

    def call(self, name, *args, timeout=None):
        """A call, to be sent."""
        self.number += 2
        body = msgpack.packb([args, {}])
        return (CALL, self.number, 0, body, name, timeout)

    def send(self, *messages):
        """In one ØMQ message."""
        self.socket.send_multipart([b'', msgpack.packb(messages)])

    def receive(self):
        """Blocks until a message arrives."""
        self.messages += msgpack.unpackb(self.socket.recv_multipart()[1])

    def answers(self):
        """How many there are."""
        return sum(message[0] in (RESULT, ERROR) for message in self.messages)

    def until(self, condition):
        """Blocks; receive until ``condition()`` holds."""
        while not condition():
            self.receive()


def others_first(order, who):
    """How many began before the first one of this."""
    return order.index(who)


# ---------------------------------------------------------------- turns


@scenario(needs=('loop',))
def test_peers_take_turns(net):
    """Of some hundred calls of one peer a few come first, not all."""
    order = []
    server, address = net.serve(transport='inproc')

    @server.register_rpc
    def work(who):
        order.append(who)
        compute()

    greedy, polite = Raw(net, address), Raw(net, address)
    for _ in range(3):
        greedy.send(*[greedy.call('work', 'greedy') for _ in range(64)])
    polite.send(polite.call('work', 'polite'))
    yield from net.until(lambda: len(order) == 193)
    assert others_first(order, 'polite') < 10


@scenario(needs=('loop',))
def test_peers_take_turns_in_batches(net):
    """Each of three gets a third, in the order that it called."""
    order = []
    server, address = net.serve(transport='inproc')

    @server.register_rpc
    def work(who, number):
        order.append((who, number))
        compute()

    for who in 'abc':
        raw = Raw(net, address)
        raw.send(*[raw.call('work', who, number) for number in range(30)])
    yield from net.until(lambda: len(order) == 90)
    for who in 'abc':
        assert [n for peer, n in order if peer == who] == list(range(30))
    # from when on all of them are read
    begun = max(order.index((who, 0)) for who in 'abc')
    for at in range(begun, 60, 3):
        assert {who for who, _ in order[at : at + 3]} == set('abc')


@scenario(needs=('loop',))
def test_the_loop_gets_on_meanwhile(net):
    """What else the program does waits for one function, not for all."""
    order = []
    server, address = net.serve(transport='inproc')

    @server.register_rpc
    def work():
        order.append('work')
        compute()

    def program():
        while order.count('work') < 100:
            order.append('program')
            yield net.sleep(0)

    raw = Raw(net, address)
    raw.send(*[raw.call('work') for _ in range(100)])
    yield net.spawn(program())
    yield from net.until(lambda: order.count('work') == 100)
    # one that sleeps is not always awake for the next turn
    assert order.count('program') > 10


@scenario(needs=('loop',))
def test_answers_leave_meanwhile(net):
    """They do not wait until all has been computed."""
    done = []
    server, address = net.serve(transport='inproc')

    @server.register_rpc
    def work():
        compute()
        done.append(True)

    raw = Raw(net, address, rcvtimeo=0)
    raw.send(*[raw.call('work') for _ in range(100)])
    yield from net.until(lambda: raw.socket.poll(0))
    assert len(done) < 50


@scenario(needs=('loop',))
def test_functions_at_the_same_time_are_bounded(net):
    """Those that wait for something; the others take turns, the late ones never run."""
    server, address = net.serve(transport='inproc', limits=Limits(max_handlers=2))
    go, order, running, most = net.event(), [], set(), []

    def work(who, number):
        order.append(who)
        running.add((who, number))
        most.append(len(running))
        yield go.wait()
        running.discard((who, number))

    server.register_rpc(net.handler(work), name='work')
    greedy, polite, late = (Raw(net, address) for _ in range(3))
    greedy.send(*[greedy.call('work', 'greedy', number) for number in range(50)])
    yield from net.until(lambda: server._engine.core.running == 50)
    polite.send(polite.call('work', 'polite', 0), polite.call('work', 'polite', 1))
    late.send(late.call('work', 'late', 0, timeout=1), late.call('work', 'given up', 0))
    late.send((CANCEL, late.number))
    yield from net.until(lambda: server._engine.core.running == 52)
    assert order == ['greedy'] * 2
    go.set()
    yield from net.until(lambda: len(order) == 52)
    assert order[:6] == ['greedy'] * 3 + ['polite', 'greedy', 'polite']
    assert max(most) == 2
    yield from net.until(lambda: not server._engine.core.running)
    assert set(order) == {'greedy', 'polite'}


@scenario(needs=('loop',))
def test_what_is_late_before_its_turn_never_runs(net):
    """Also where the loop had no time yet to notice."""
    order = []
    server, address = net.serve(transport='inproc')

    @server.register_rpc
    def work(who):
        order.append(who)
        time.sleep(0.02)

    raw = Raw(net, address)
    raw.send(
        raw.call('work', 'first'),
        raw.call('work', 'late', timeout=10),
        raw.call('work', 'last'),
    )
    yield from net.until(lambda: 'last' in order)
    assert order == ['first', 'last']
    yield from net.until(lambda: not server._engine.core.running)


@scenario(needs=('loop',))
def test_a_caller_that_leaves_takes_along_what_waits(net):
    order, go = [], net.event()
    server, address = net.serve(limits=Limits(max_handlers=1))

    def work(who):
        order.append(who)
        yield go.wait()

    server.register_rpc(net.handler(work), name='work')
    server.start()
    blocking = net.client(address).work('blocking')
    yield from net.until(lambda: order)
    leaving = net.client(address)
    calls = [leaving.work('leaving') for _ in range(10)]
    yield from net.until(lambda: server._engine.core.running == 11)
    yield leaving.stop(grace=0)
    for call in calls:
        yield from net.outcome(call)
    yield from net.until(lambda: server._engine.core.running == 1)
    assert not server._engine.backend._handlers.waiting
    go.set()
    yield blocking
    yield net.client(address).work('staying')
    assert order == ['blocking', 'staying']


@scenario(needs=('loop',))
def test_hooks_and_logins_wait_for_no_function(net):
    """Nobody is kept out because functions are busy."""
    server, address = net.serve(
        security_plugin='plain',
        passwords=lambda user, password: True,
        limits=Limits(max_handlers=1),
    )
    go, joined = net.event(), []
    server.on_join(lambda peer: joined.append(peer.user_id))

    def wait():
        yield go.wait()

    server.register_rpc(net.handler(wait), name='wait')
    calls = []
    for user in ('alice', 'bob', 'carol'):
        calls.append(net.user(address, user, timeout=None).wait())
        yield from net.until(lambda: len(joined) == len(calls))
    yield from net.until(lambda: server._engine.core.running == 3)
    go.set()
    yield from net.all(calls)
    assert joined == ['alice', 'bob', 'carol']


@scenario(needs=('loop',))
def test_stopping_lets_what_waits_for_its_turn_run(net):
    ran = []
    server, address = net.serve(transport='inproc')

    @server.register_rpc
    def work():
        ran.append(True)
        compute()

    raw = Raw(net, address)
    raw.send(*[raw.call('work') for _ in range(50)])
    yield from net.until(lambda: ran)
    yield server.stop(grace=PATIENCE)
    assert len(ran) == 50


@scenario(needs=('loop',))
def test_stopping_at_once_drops_what_waits_for_its_turn(net):
    ran = []
    server, address = net.serve(transport='inproc')

    @server.register_rpc
    def work():
        ran.append(True)
        compute()

    raw = Raw(net, address)
    raw.send(*[raw.call('work') for _ in range(50)])
    yield from net.until(lambda: ran)
    yield server.stop(grace=0)
    before = len(ran)
    assert before < 50
    raw.until(lambda: raw.answers() == 50)
    yield net.sleep(0)
    assert len(ran) == before
    refused = [m for m in raw.messages if m[0] == ERROR]
    assert len(refused) == 50 - before
    assert b'it may have run' in refused[0][3]


# ---------------------------------------------------------------- errors


@scenario(needs=('results',))
def test_errors_name_the_limit(net):
    """That of the client, before anything is sent, and that of the server."""
    server, address = net.serve(limits=Limits(max_calls_per_peer=2))
    go = net.event()

    def wait():
        yield go.wait()

    server.register_rpc(net.handler(wait), name='wait')
    server.start()
    client, raw = net.client(address, timeout=None), Raw(net, address)
    calls = [client.wait() for _ in range(3)]
    error = yield from net.raises(OverloadedError, calls[2], 'max_calls_per_peer')
    assert 'wait() was not sent' in str(error)
    raw.send(*[raw.call('wait') for _ in range(3)])
    yield net.thread(raw.until, raw.answers)
    (message,) = raw.messages
    assert b'wait() did not run: 2 calls of this caller' in message[3]
    assert b'max_calls_per_peer' in message[3]
    go.set()
    yield from net.all(calls[:2])
    yield net.thread(raw.until, lambda: raw.answers() == 3)


# ---------------------------------------------------------------- who does not read


@scenario(needs=('loop',))
def test_one_that_does_not_read_costs_the_others_nothing(net):
    """Neither time nor memory: what it asked for is bounded, and then dropped."""
    limits = Limits(max_queue=4 * MIB)
    # without heartbeats: libzmq would give up whom it can not send any
    server, address = net.serve(limits=limits, heartbeat_interval=0)
    asked = []

    @server.register_rpc
    def big():
        asked.append(True)
        return bytes(MIB)

    server.register_rpc(len)
    polite = net.client(address)
    assert (yield polite.len('here')) == 4
    frozen = Raw(net, address, rcvhwm=1, rcvbuf=MIB, sndhwm=0)
    tracemalloc.start()
    try:
        for _ in range(150):
            frozen.send(frozen.call('big'))
        yield from net.until(lambda: len(asked) == 150)
        for size in range(20):
            assert (yield polite.len('x' * size)) == size
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < limits.max_queue + WINDOW + 16 * MIB
    (stuck,) = server._engine.sender.blocked
    assert stuck.queued <= limits.max_queue + 150 * 1000  # and an error for each
    yield net.thread(frozen.until, lambda: frozen.answers() == 150)
    dropped = [message[3] for message in frozen.messages if message[0] == ERROR]
    assert b'its result was dropped' in dropped[0]
    assert b'max_queue' in dropped[0]
    assert (yield polite.len('still')) == 5
    yield from net.until(lambda: not server._engine.sender.blocked)


@scenario(needs=('results',))
def test_one_that_reads_gets_all(net):
    """Also what is too much to wait, but does not have to."""
    server, client = net.pair(limits=Limits(max_queue=4 * MIB))
    go = net.event()

    def big():
        yield go.wait()
        return bytes(MIB)

    server.register_rpc(net.handler(big), name='big')
    calls = [client.big() for _ in range(20)]
    yield from net.until(lambda: server._engine.core.running == 20)
    go.set()
    assert (yield from net.all(calls)) == [bytes(MIB)] * 20


@scenario(needs=('loop',))
def test_nobody_is_lost_while_a_function_computes(net):
    """What arrives meanwhile is taken in, or ØMQ would hear no heartbeats behind it."""
    server, address = net.serve()
    sent = threading.Event()

    @server.register_rpc
    def compute_():
        assert sent.wait(PATIENCE)

    server.register_rpc(len)
    server.start()
    raw = Raw(net, address)

    def attack():
        raw.send(raw.call('compute_'))
        for _ in range(1000):  # much more than fits into buffers of the system
            raw.send(raw.call('len', 'x' * 16000))
        sent.set()
        raw.until(lambda: raw.answers() == 1001)

    yield net.thread(attack)
    assert {message[0] for message in raw.messages} == {RESULT}


# ---------------------------------------------------------------- who comes and goes


def descriptors():
    return len(os.listdir('/dev/fd'))


def kept():
    """Objects that stand for a connection."""
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, Peer | RemotePeer)]


def calls_and_leaves(net, address):
    raw = Raw(net, address)
    raw.send((HELLO, 0, 0, {'versions': [2]}), raw.call('len', 'abc'))
    raw.until(raw.answers)
    return raw.socket


def leaves_in_the_middle(net, address):
    raw = Raw(net, address)
    raw.send(raw.call('wait'), (PING, 1))
    raw.until(lambda: (PONG, 1) in [tuple(message) for message in raw.messages])
    return raw.socket


def has_a_wrong_password(net, address):
    raw = net.raw(zmq.DEALER, plain_username=b'x', plain_password=b'wrong')
    monitor = raw.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
    monitor.rcvtimeo = PATIENCE * 1000
    raw.connect(address)
    monitor.recv_multipart()
    raw.disable_monitor()
    monitor.close()
    return raw


COMERS = {
    calls_and_leaves: {},
    leaves_in_the_middle: {},
    has_a_wrong_password: {'security_plugin': 'plain', 'passwords': {'x': 'right'}},
}


@pytest.mark.skipif(
    not os.path.isdir('/dev/fd'), reason='descriptors can not be counted'
)
@pytest.mark.parametrize('comer', COMERS, ids=lambda comer: comer.__name__)
@scenario(needs=('loop',))
def test_nothing_is_left_of_those_who_come_and_go(net, comer):
    server, address = net.serve(**COMERS[comer])
    left = []
    server.on_leave(lambda peer, reason: left.append(reason))
    server.register_rpc(len)

    def wait():
        yield net.event().wait()

    server.register_rpc(net.handler(wait), name='wait')
    server.start()
    engine = server._engine

    def come_and_go(times):
        for _ in range(times):
            comer(net, address).close()
        net.sockets.clear()

    yield net.thread(come_and_go, 5)  # what is made once is made now
    yield from net.until(lambda: not engine.core.peers)
    before, kept_before = descriptors(), len(kept())
    yield net.thread(come_and_go, 200)
    yield from net.until(lambda: not engine.core.peers)
    yield from net.until(lambda: descriptors() <= before)
    assert engine.core.running == 0
    assert engine.links[''].by_fd == {}
    assert engine.links[''].leaving == []
    assert engine.roster._users == {}
    if comer is not has_a_wrong_password:
        yield from net.until(lambda: len(left) == 205)
    yield from net.until(lambda: len(kept()) <= kept_before)


@scenario(needs=('loop',))
def test_nothing_is_left_of_clients_that_come_and_go(net):
    server, address = net.serve()
    server.register_rpc(len)
    for count in range(30):
        client = net.client(address)
        assert (yield client.len('abc')) == 3
        yield client.stop()
        net.made.remove(client)
        del client
        if count == 5:
            yield from net.until(lambda: not server._engine.core.peers)
            before, kept_before = descriptors(), len(kept())
    yield from net.until(lambda: not server._engine.core.peers)
    yield from net.until(lambda: descriptors() <= before)
    yield from net.until(lambda: len(kept()) <= kept_before)
