"""Who is connected: their list, their coming and going, all of them at once, and out."""

import socket

import msgpack
import pytest
import zmq
from backends import PATIENCE, scenario
from peers import CALL, ERROR, HELLO, WELCOME
from zmq.utils.monitor import parse_monitor_message

import pseud
import pseud.utils
from pseud import expel, hooks, monitor
from pseud.interfaces import IServer

both_ways = scenario(needs=('callable',))
REJECT = 12


def users(net, *names, **settings):
    """``yield from`` this: a server, and connected clients that say who they are."""
    server, address = net.serve(security_plugin='trusted_peer', **settings)
    clients = []
    for name in names:
        clients.append(net.user(address, name))
        clients[-1].register_rpc(lambda name=name: name, name='whoami')
        yield clients[-1].start()
        yield from net.until(lambda: len(server.peers) == len(clients))
    return server, *clients


class Diary:
    """Notes of who came and who went."""

    def __init__(self, rpc):
        self.rpc = rpc
        self.notes = []
        rpc.on_join(self.joined)
        rpc.on_leave(self.left)

    def joined(self, peer):
        self.notes.append(('join', peer))

    def left(self, peer, reason):
        assert not peer.connected
        assert reason
        self.notes.append(('leave', peer))

    def told(self, *kinds):
        return [kind for kind, _ in self.notes] == list(kinds)


# ---------------------------------------------------------------- who is there


@scenario(needs=('callable',))
def test_who_is_connected(net):
    server, alice, _ = yield from users(net, 'alice', 'bob')
    first, second = server.peers
    assert (first.user_id, second.user_id) == ('alice', 'bob')
    assert all(a is b for a, b in zip(server.peers, (first, second), strict=True))
    assert {first: 1, second: 2}[first] == 1
    assert first.address == '127.0.0.1'
    assert first.agent == f'pseud/{pseud.__version__}'
    assert first.connected
    assert 0 <= second.connected_for <= first.connected_for < PATIENCE
    assert repr(first) == '<peer alice at 127.0.0.1>'
    for name in ('user_id', 'address', 'connected', 'in_flight', 'anything'):
        with pytest.raises(AttributeError):
            setattr(first, name, 1)
    server.peers.clear()  # a list of its own
    yield alice.stop()
    yield from net.until(lambda: server.peers == [second])
    assert not first.connected
    assert first.connected_for == first.connected_for
    assert repr(first) == '<peer alice at 127.0.0.1, gone>'


@both_ways
def test_calls_in_flight(net):
    server, alice = yield from users(net, 'alice')
    go = net.event()
    alice.register_rpc(net.handler(lambda: (yield go.wait())), name='wait')
    (peer,) = server.peers
    assert peer.in_flight == 0
    calls = [server.send_to(peer).wait() for _ in range(3)]
    assert peer.in_flight == 3
    go.set()
    yield from net.all(calls)
    assert peer.in_flight == 0


@both_ways
def test_before_and_after_there_is_nobody(net):
    server = net.server()
    assert server.peers == []
    assert server.expel('alice') == 0
    yield server.start()
    yield server.stop()
    assert server.peers == []
    assert server.expel('alice') == 0


@scenario
def test_what_a_peer_says_of_itself_counts_for_little(net):
    server, address = net.serve()
    for agent in (None, 7, ['x'], 'x' * 1000, ''):
        raw = net.raw(zmq.DEALER)
        raw.connect(address)
        raw.send_multipart([b'', msgpack.packb([[HELLO, 0, 0, {'agent': agent}]])])
        yield net.thread(raw.recv_multipart)
        peer = server.peers[-1]
        assert peer.agent == ('x' * 200 if agent == 'x' * 1000 else '')
        assert 'client at' in repr(peer)
    raw.send_multipart([b'', msgpack.packb([[HELLO, 0, 0, {'name': 'other'}]])])
    assert msgpack.unpackb((yield net.thread(raw.recv_multipart))[1])[0][0] == REJECT


# ---------------------------------------------------------------- calling one of them


@both_ways
def test_one_connection_of_several_is_called(net):
    server, address = net.serve(security_plugin='trusted_peer')
    clients = []
    for number in range(3):
        clients.append(net.user(address, 'alice'))
        clients[-1].register_rpc(lambda number=number: number, name='number')
        yield clients[-1].start()
        yield from net.until(lambda: len(server.peers) == len(clients))
    peers = [peer for peer in server.peers if peer.user_id == 'alice']
    for number, peer in enumerate(peers):
        assert (yield server.send_to(peer).number()) == number
    assert (yield server.send_to('alice').number()) == 2
    yield clients[1].stop()
    yield from net.until(lambda: not peers[1].connected)
    # not another's in its place
    gone = server.send_to(peers[1]).with_options(timeout=None)
    yield from net.raises(pseud.NotSentError, gone.number(), match='no longer')
    assert 'alice' in repr(gone)
    for number in (0, 2):
        assert (yield server.send_to(peers[number]).number()) == number


@both_ways
def test_peers_without_a_user_id(net, transport):
    server, client = net.pair(transport=transport)
    client.register_rpc(len)
    yield client.start()
    yield from net.until(lambda: server.peers)
    (peer,) = server.peers
    assert peer.user_id is None
    assert peer.address
    assert (yield server.send_to(peer).len('abc')) == 3


@both_ways
def test_a_peer_of_version_1(net):
    server, address = net.serve()
    server.register_rpc(abs)
    joined = []
    client = net.client(address, protocol=1)
    client.on_join(joined.append)
    client.register_rpc(len)
    assert (yield client.abs(-1)) == 1
    (peer,) = server.peers
    assert peer.agent == ''
    assert peer.protocol == 1
    assert (yield server.send_to(peer).len('abc')) == 3
    assert [peer.address for peer in joined] == [address]


@both_ways
def test_a_peer_of_version_1_that_makes_no_call(net):
    """Is known as soon as it is connected, also when it comes back."""
    server, address = net.serve()
    wire = net.relay(address)
    client = net.client(wire.endpoint, protocol=1)
    client.register_rpc(len)
    client.start()
    for _ in range(2):
        yield from net.until(lambda: server.peers)
        (peer,) = server.peers
        assert (yield server.send_to(peer).len('abc')) == 3
        wire.cut()
        yield from net.until(lambda peer=peer: peer not in server.peers)


@scenario
def test_a_sync_client_can_not_be_called(net):
    server, address = net.serve()
    server.register_rpc(len)
    with pseud.SyncClient(context=net.context) as client:
        client.connect(address)
        yield net.thread(client.len, '')
        (peer,) = server.peers
        call = server.send_to(peer).f()
        yield from net.raises(pseud.LocalProtocolError, call, match='SyncClient')
        outcomes = yield server.send_to_many([peer]).f()
        assert isinstance(outcomes[peer], pseud.LocalProtocolError)
        for hook in (client.on_join, client.on_leave):
            with pytest.raises(pseud.UsageError, match='event loop'):
                hook(print)


@both_ways
def test_a_peer_of_another_server(net):
    server, _ = yield from users(net, 'alice')
    other = net.server('other')
    with pytest.raises(pseud.UsageError, match=r"is a peer of .*'service'"):
        other.send_to(server.peers[0])
    with pytest.raises(pseud.UsageError, match='is a peer of'):
        other.send_to_many(['bob', server.peers[0]])
    assert other.expel(server.peers[0]) == 0


# ---------------------------------------------------------------- coming and going


@both_ways
def test_who_comes_and_goes(net):
    server, address = net.serve(security_plugin='trusted_peer')
    diary = Diary(server)
    alice = net.user(address, 'alice')
    yield alice.start()
    yield from net.until(lambda: diary.told('join'))
    peer = diary.notes[0][1]
    assert server.peers == [peer]
    yield alice.stop()
    yield from net.until(lambda: diary.told('join', 'leave'))
    assert diary.notes[1][1] is peer
    yield net.user(address, 'alice').start()
    yield from net.until(lambda: diary.told('join', 'leave', 'join'))
    assert diary.notes[2][1] is not peer


@scenario
def test_joining_comes_before_the_first_call(net):
    """What a callback notes down about a peer, its calls find."""
    known = {}
    server, address = net.serve()
    server.on_join(lambda peer: known.update({peer: 'noted'}))
    server.register_rpc(lambda: known.get(pseud.current_call().peer), name='note')
    for _ in range(3):
        assert (yield net.client(address).note()) == 'noted'


@both_ways
def test_a_callback_may_wait_and_call_the_peer(net):
    server, address = net.serve(security_plugin='trusted_peer')
    heard = []

    @server.on_join
    @net.handler
    def greet(peer):
        assert pseud.current_call() is None
        heard.append((yield server.send_to(peer).hello()))

    @server.on_leave
    @net.handler
    def mourn(peer, reason):
        yield net.sleep(0)
        error = yield from net.outcome(server.send_to(peer).hello())
        heard.append(type(error))

    alice = net.user(address, 'alice')
    alice.register_rpc(lambda: 'hello', name='hello')
    yield alice.start()
    yield from net.until(lambda: heard == ['hello'])
    yield alice.stop()
    yield from net.until(lambda: heard == ['hello', pseud.NotSentError])


@both_ways
def test_a_callback_that_fails_harms_nobody(net, logs):
    server, address = net.serve()
    server.register_rpc(len)

    @server.on_join
    def at_once(peer):
        raise ValueError('at once')

    @server.on_join
    @net.handler
    def later(peer):
        yield net.sleep(0)
        raise ValueError('later')

    diary = Diary(server)
    server.on_leave(lambda peer: None)  # takes too little
    client = net.client(address)
    assert (yield client.len('abc')) == 3
    yield from net.until(lambda: len(logs.texts()) == 2)
    yield client.stop()
    yield from net.until(lambda: diary.told('join', 'leave'))
    yield from net.until(lambda: len(logs.texts()) == 3)
    logs.errors_expected = True
    assert all('Server' in text and 'failed' in text for text in logs.texts())
    assert {str(record.exc_info[1]) for record in logs.records[:2]} == {
        'at once',
        'later',
    }
    assert all(record.exc_info[2] for record in logs.records)


@pytest.mark.parametrize('backend', ['gevent'], indirect=True)
@scenario
def test_a_coroutine_for_gevent(net, logs):
    async def hook(peer):
        raise AssertionError('does not run')

    server, address = net.serve()
    server.register_rpc(len)
    server.on_join(hook)
    yield net.client(address).len('')
    yield from net.until(lambda: logs.texts())
    logs.errors_expected = True
    assert 'coroutine' in str(logs.records[0].exc_info[1])


@both_ways
def test_stopping_tells_who_is_still_connected(net):
    """What that waits for happens before the stop is done."""
    server, alice, _ = yield from users(net, 'alice', 'bob')
    gone = []

    @server.on_leave
    @net.handler
    def left(peer, reason):
        yield net.sleep(0.01)
        gone.append((peer.user_id, reason))

    yield server.stop()
    assert gone == [(name, 'it was stopped here') for name in ('alice', 'bob')]
    yield alice.stop()


@both_ways
def test_what_has_not_begun_when_it_is_stopped_does_not_begin(net):
    server, _ = net.serve()
    yield server.start()
    hooks, ran = server._engine.hooks, []
    hooks.run(ran.append, 'before')
    hooks.finish(lambda: ran.append('finished'))
    hooks.run(ran.append, 'after')
    yield from net.until(lambda: 'after' in ran)
    assert ran[-2:] == ['finished', 'after']  # on asyncio, it began at once


@both_ways
def test_stopping_does_not_wait_for_ever(memory):
    server, *_ = yield from users(memory, 'alice')
    ended = []

    @memory.handler
    def forever(peer, *reason):
        try:
            yield memory.event().wait()
        except memory.driver.cancelled:
            ended.append(reason)
            raise

    server.on_join(forever)
    server.on_leave(forever)
    (peer,) = server.peers
    server._engine.hooks.tell(server._engine.hooks.on_join, peer)
    yield memory.clock.advance(0)
    stopping = memory.spawn(stop(server))
    yield memory.clock.advance(hooks.LAST_WORDS / 2)
    assert ended == [()]  # of the first, nobody waits
    assert not stopping.done()
    yield memory.clock.advance(hooks.LAST_WORDS / 2)
    yield stopping
    assert ended == [(), ('it was stopped here',)]


def stop(rpc):
    yield rpc.stop()


@both_ways
def test_stopping_from_a_callback(net, monkeypatch):
    """A program that lives as long as its server does; nobody waits for himself."""
    monkeypatch.setattr(hooks, 'LAST_WORDS', 10 * PATIENCE)
    server, address = net.serve()
    server.register_rpc(len)
    client = net.client(address)
    ended = []

    @client.on_leave
    @net.handler
    def left(peer, reason):
        yield client.stop()
        ended.append(net.driver.name)

    yield client.len('')
    yield server.stop()
    yield from net.until(lambda: ended)
    assert client._engine.closed


@both_ways
def test_stopping_as_somebody_joins(net):
    server, address = net.serve()
    ended = []

    @server.on_join
    @net.handler
    def joined(peer):
        yield server.stop()
        ended.append(peer)

    client = net.client(address)
    yield client.start()
    yield from net.until(lambda: ended)
    assert server._engine.closed


@both_ways
def test_a_client_knows_when_its_server_is_there(net):
    server, address = net.serve()
    client = net.client(address)
    diary = Diary(client)
    yield client.start()
    yield from net.until(lambda: diary.told('join'))
    (_, peer) = diary.notes[0]
    assert (peer.user_id, peer.address) == (None, address)
    assert peer.agent.startswith('pseud/')
    yield server.stop()
    yield from net.until(lambda: diary.told('join', 'leave'))
    again = net.server()
    again.bind(address)
    yield from net.until(lambda: diary.told('join', 'leave', 'join'))
    yield client.stop()
    assert diary.told('join', 'leave', 'join', 'leave')


@both_ways
def test_who_was_not_taken_in_never_came(net):
    server, address = net.serve('bakery')
    diary = Diary(server)
    client = net.client(address, name='butcher')
    other = Diary(client)
    yield from net.raises(pseud.NotSentError, client.f())
    assert server.peers == []
    yield client.stop()
    yield server.stop()
    assert diary.notes == other.notes == []


@both_ways
def test_a_server_that_welcomes_often_is_there_once(net):
    raw = net.raw(zmq.ROUTER)
    raw.bind('tcp://127.0.0.1:*')
    client = net.client(raw.last_endpoint.decode())
    diary = Diary(client)
    yield client.start()
    routing_id, *_ = yield net.thread(raw.recv_multipart)
    welcome = [WELCOME, 0, 0, {}]
    raw.send_multipart([routing_id, b'', msgpack.packb([welcome] * 3)])
    yield from net.until(lambda: diary.told('join'))


# ---------------------------------------------------------------- all of them at once


@both_ways
def test_many_at_once(net):
    server, *_ = yield from users(net, 'alice', 'bob', 'carol')
    alice, bob, carol = server.peers
    many = server.send_to_many(['bob', alice, carol, 'bob'])
    outcomes = yield many.whoami()
    assert list(outcomes.items()) == [
        ('bob', 'bob'), (alice, 'alice'), (carol, 'carol'),
    ]  # fmt: skip
    outcomes = yield server.send_to_many(p for p in server.peers).call('whoami')
    assert outcomes == {alice: 'alice', bob: 'bob', carol: 'carol'}
    assert '3 users' in repr(many)


@both_ways
def test_some_of_many_fail(net):
    server, alice, bob, _ = yield from users(net, 'alice', 'bob', 'carol')

    @alice.register_rpc(name='work')
    def fail(number):
        raise KeyError(number)

    bob.register_rpc(lambda number: number, name='work')

    @bob.register_rpc
    @net.handler
    def wait():
        yield net.event().wait()

    names = ['nobody', 'alice', 'bob', 'carol', 'dave']
    outcomes = yield server.send_to_many(names).with_options(timeout=20).work(7)
    assert list(outcomes) == names
    assert isinstance(outcomes['nobody'], pseud.NotSentError)
    assert isinstance(outcomes['alice'], KeyError)
    assert outcomes['alice'].args == (7,)
    assert outcomes['bob'] == 7
    assert isinstance(outcomes['carol'], pseud.ServiceNotFoundError)
    assert isinstance(outcomes['dave'], pseud.NotSentError)
    many = server.send_to_many(['bob', 'nobody']).with_options(timeout=0.05)
    outcomes = yield many.wait()
    assert isinstance(outcomes['bob'], pseud.TimeoutError)
    assert not isinstance(outcomes['nobody'], pseud.TimeoutError)
    outcomes = yield server.send_to_many(['alice', 'nobody']).work(object())
    assert isinstance(outcomes['alice'], pseud.SerializationError)
    assert isinstance(outcomes['nobody'], pseud.NotSentError)


@both_ways
def test_nobody_at_once(net):
    server, _ = yield from users(net, 'alice')
    assert (yield server.send_to_many([]).whoami()) == {}
    assert set((yield server.send_to_many(['x', 'y']).whoami())) == {'x', 'y'}
    for bad in ('alice', b'alice', [''], [3], 3):
        with pytest.raises(TypeError):
            server.send_to_many(bad)


@both_ways
def test_cancelling_cancels_all_of_them(net):
    names = ('alice', 'bob', 'carol')
    server, *clients = yield from users(net, *names)
    began, ended = [], []

    @net.handler
    def wait():
        began.append(1)
        try:
            yield net.event().wait()
        except net.driver.cancelled:
            ended.append(1)
            raise

    for client in clients[:2]:
        client.register_rpc(wait)
    result = server.send_to_many(names).with_options(timeout=None).wait()
    yield from net.until(lambda: len(began) == 2)
    result.cancel()
    yield from net.raises(net.driver.result_cancelled, result)
    yield from net.until(lambda: len(ended) == 2)
    assert not server._engine.core.pending
    assert (yield server.send_to_many(names).whoami()) == {n: n for n in names}


@both_ways
def test_many_inherit_the_deadline(net):
    server, alice, _ = yield from users(net, 'alice', 'bob')
    left = []

    @alice.register_rpc(name='left')
    def note():
        left.append(pseud.current_call().remaining)

    @server.register_rpc
    @net.handler
    def ask():
        yield server.send_to_many(['alice']).with_options(timeout=None).left()

    yield alice.with_options(timeout=20).ask()
    assert 0 < left[0] < 21  # whole milliseconds travel


@both_ways
def test_many_lose_one(net):
    server, alice, bob = yield from users(net, 'alice', 'bob')
    began = []

    @net.handler
    def wait():
        began.append(1)
        yield net.event().wait()

    alice.register_rpc(wait)
    bob.register_rpc(lambda: 'done', name='wait')
    result = server.send_to_many(['alice', 'bob']).with_options(timeout=None).wait()
    yield from net.until(lambda: began)
    yield alice.stop(grace=0)
    outcomes = yield result
    assert isinstance(outcomes['alice'], pseud.PeerLostError)
    assert outcomes['bob'] == 'done'


# ---------------------------------------------------------------- out


@pytest.fixture
def parting(monkeypatch):
    """Ends the time that a peer has to read why it is expelled: nothing else does."""
    monkeypatch.setattr(expel, 'PARTING', 10 * PATIENCE)
    return lambda peer: expel._shut_down([peer._peer])


@pytest.mark.parametrize('transport', ['tcp', 'ipc'])
@both_ways
def test_who_has_left_before_its_call_is_read(net, transport):
    """The monitor said so when the server did not know it yet."""
    server, address = net.serve(transport=transport)
    began, cancelled, left = [], [], []

    @server.register_rpc
    @net.handler
    def wait():
        began.append(1)
        try:
            yield net.event().wait()
        except net.driver.cancelled:
            cancelled.append(1)
            raise

    server.on_leave(lambda peer, reason: left.append(peer))
    server.start()
    yield net.sleep(0)
    link = server._engine.links['']
    raw = net.raw(zmq.DEALER, linger=PATIENCE * 1000)
    monitor = raw.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    net.sockets.append(monitor)
    raw.connect(address)
    monitor.recv_multipart()  # the server's loop stands still meanwhile
    body = msgpack.packb([[], {}])
    raw.send_multipart([b'', msgpack.packb([[CALL, 1, 0, body, 'wait', None]])])
    raw.disable_monitor()
    raw.close()
    came = False
    while link.up or not came:
        assert link.monitor.poll(PATIENCE * 1000)
        link.observe()
        came = True
    yield from net.until(lambda: left)
    assert server.peers == []
    assert len(cancelled) == len(began)


# Calls `wait` and leaves; and stays, when told to come again.
VISITOR = """
import msgpack, zmq

def visit(address):
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.connect(address)
    call = [1, 1, 0, msgpack.packb([[], {}]), 'wait', None]
    socket.send_multipart([b'', msgpack.packb([call])])
    return socket

address = input()
visit(address).close()
input()
staying = visit(address)
input()
"""


@both_ways
def test_who_has_left_before_its_call_is_read_and_another_came(net, program):
    """Who has its descriptor now."""
    server, address = net.serve()
    server.register_rpc(net.handler(lambda: (yield net.event().wait())), name='wait')
    joined = []
    server.on_join(joined.append)
    server.start()
    yield net.sleep(0)
    link = server._engine.links['']
    seen = []

    def see(count):
        while len(seen) < count:
            assert link.monitor.poll(PATIENCE * 1000)
            for event, descriptor in monitor.events(link.monitor, link.monitor_pollin):
                seen.append(descriptor)
                link.note(event, descriptor)

    visitor = program(VISITOR)
    visitor.tell(address)
    see(2)  # it came and left
    visitor.tell('again')
    see(3)
    assert len({*seen}) == 1
    yield from net.until(lambda: len(joined) == 2)
    yield from net.until(lambda: len(server.peers) == 1)
    assert server._engine.core.running == 1


@pytest.mark.parametrize('transport', ['tcp', 'ipc'])
@both_ways
def test_expel(net, transport, parting):
    server, address = net.serve(transport=transport, security_plugin='trusted_peer')
    diary, cancelled, began = Diary(server), [], []
    alice, bob = (net.user(address, name, timeout=None) for name in ('alice', 'bob'))

    @net.handler
    def wait():
        began.append(1)
        try:
            yield net.event().wait()
        except net.driver.cancelled:
            cancelled.append(1)
            raise

    for rpc in (server, alice, bob):
        rpc.register_rpc(wait)
        rpc.register_rpc(len)
    yield from net.all([alice.len(''), bob.len('')])
    inbound, outbound = alice.wait(), server.send_to('alice').wait()
    others = [bob.wait(), server.send_to('bob').wait()]
    yield from net.until(lambda: len(began) == 4)
    (peer,) = (peer for peer in server.peers if peer.user_id == 'alice')
    links = bob._engine.links[address].peer
    assert server.expel('alice', reason='you know why') == 1
    yield from net.raises(pseud.PeerLostError, outbound, match='you know why')
    assert peer not in server.peers
    call = server.send_to(peer).len('')
    yield from net.raises(pseud.NotSentError, call, match='you know why')
    yield from net.raises(pseud.PeerLostError, inbound, match='you know why')
    # both ends of the calls between them are told
    yield from net.until(lambda: len(cancelled) == 2)
    parting(peer)
    # it comes again by itself, on a new connection
    yield from net.until(lambda: len(server.peers) == 2)
    assert (yield alice.len('abc')) == 3
    assert (yield server.send_to('alice').len('abc')) == 3
    assert [kind for kind, each in diary.notes if each.user_id == 'alice'] == [
        'join', 'leave', 'join',
    ]  # fmt: skip
    # bob never noticed
    assert bob._engine.links[address].peer is links
    assert not any(other.done() for other in others)
    for other in others:
        other.cancel()


@both_ways
def test_an_expelled_client_does_not_go_on(net):
    """Until the connection is closed, it knows better."""
    server, address = net.serve(transport='inproc')  # never closed
    server.register_rpc(len)
    client = net.client(address)
    yield client.len('')
    assert server.expel(server.peers[0], 'bad manners') == 1
    outcome = None
    while not isinstance(outcome, pseud.NotSentError):
        outcome = yield from net.outcome(client.with_options(timeout=1).len(''))
    assert 'bad manners' in str(outcome)
    assert server.peers == []
    assert (yield net.client(address).len('abc')) == 3


@pytest.mark.parametrize('one', [False, True])
@both_ways
def test_expel_one_or_all(net, one):
    server, *_ = yield from users(net, 'alice', 'alice', 'bob')
    first, second, bob = server.peers
    if one:
        assert server.expel(first) == 1
        assert server.expel(first) == 0  # is gone
        assert server.peers == [second, bob]
        assert (yield server.send_to('alice').whoami()) == 'alice'
    else:
        assert server.expel('alice') == 2
        assert server.expel('alice') == 0
        assert server.peers == [bob]
        yield from net.raises(pseud.NotSentError, server.send_to('alice').whoami())
    yield from net.until(lambda: len(server.peers) == 3)
    assert bob.connected
    assert (yield server.send_to('bob').whoami()) == 'bob'
    with pytest.raises(TypeError):
        server.expel(None)


@scenario
def test_who_ignores_it_loses_the_connection(net, parting):
    """And whatever it sent in the meantime does nothing."""
    server, address = net.serve()
    ran = []
    server.register_rpc(ran.append, name='run')
    server.register_rpc(len)
    unrelated = net.client(address)
    assert (yield unrelated.len('')) == 0
    raw = net.raw(zmq.DEALER, reconnect_ivl=-1)
    monitor = raw.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    net.sockets.append(monitor)
    monitor.rcvtimeo = PATIENCE * 1000
    raw.connect(address)
    raw.send_multipart([b'', msgpack.packb([[HELLO, 0, 0, {}]])])
    yield net.thread(raw.recv_multipart)
    (peer,) = (peer for peer in server.peers if peer.agent == '')
    body = msgpack.packb([[1], {}])
    assert server.expel(peer, 'out') == 1
    for number in range(3):
        call = [CALL, 2 * number + 1, 0, body, 'run', None]
        raw.send_multipart([b'', msgpack.packb([[HELLO, 0, 0, {}], call])])
    _, head = yield net.thread(raw.recv_multipart)
    assert msgpack.unpackb(head) == [[REJECT, 0, 0, {'reason': 'out'}]]
    parting(peer)
    event = parse_monitor_message((yield net.thread(monitor.recv_multipart)))
    assert event['event'] == zmq.EVENT_DISCONNECTED
    with pytest.raises(zmq.Again):  # it is told once
        raw.recv_multipart(zmq.NOBLOCK)
    yield from net.until(lambda: len(server._engine.core.peers) == len(server.peers))
    assert ran == []
    assert (yield unrelated.len('abc')) == 3
    raw.disable_monitor()


@both_ways
def test_expelled_as_it_joins(net):
    """Then not even the calls run that came with its hello."""
    server, address = net.serve()
    ran = []
    server.register_rpc(ran.append, name='run')
    seen = []

    @server.on_join
    def refuse(peer):
        seen.append(peer)
        server.expel(peer, 'not you')

    raw = net.raw(zmq.DEALER)
    raw.connect(address)
    body = msgpack.packb([[1], {}])
    calls = [[CALL, 2 * number + 1, 0, body, 'run', None] for number in range(3)]
    raw.send_multipart([b'', msgpack.packb([[HELLO, 0, 0, {}], *calls])])
    kinds = []
    while len(kinds) < 5:
        _, head = yield net.thread(raw.recv_multipart)
        kinds += [message[0] for message in msgpack.unpackb(head)]
    assert kinds == [WELCOME, REJECT, *[ERROR] * 3]
    assert ran == []
    assert not seen[0].connected


@scenario
def test_a_sync_client_is_expelled(net, parting):
    server, address = net.serve()
    began, told = net.event(), []

    @server.register_rpc
    @net.handler
    def wait():
        began.set()
        yield net.event().wait()

    server.register_rpc(len)

    def program():
        with pseud.SyncClient(context=net.context, timeout=PATIENCE) as client:
            client.connect(address)
            with pytest.raises(pseud.PeerLostError, match='enough'):
                client.wait()
            told.append(1)
            while True:
                try:
                    return client.len('abc')
                except (pseud.NotSentError, pseud.PeerLostError):
                    pass  # until the connection is closed

    def run():
        return (yield net.thread(program))

    running = net.spawn(run())
    yield began.wait()
    (peer,) = server.peers
    assert server.expel(peer, 'enough') == 1
    yield from net.until(lambda: told)
    parting(peer)
    assert (yield running) == 3


@both_ways
def test_a_peer_of_version_1_is_expelled(net):
    server, address = net.serve()
    began = net.event()

    @server.register_rpc
    @net.handler
    def wait():
        began.set()
        yield net.event().wait()

    server.register_rpc(len)
    client = net.client(address, protocol=1, timeout=None)
    call = client.wait()
    yield began.wait()
    assert server.expel(server.peers[0], 'enough') == 1
    error = yield from net.outcome(call)
    assert 'enough' in str(error) or isinstance(error, pseud.PeerLostError)
    outcome = None
    while outcome != 3:
        outcome = yield from net.outcome(client.with_options(timeout=1).len('abc'))


@scenario
def test_only_the_own_descriptor_is_shut_down(net):
    """Its number may be another's by then, of the program or of ØMQ."""
    server, address = net.serve()
    server.register_rpc(len)
    client = net.client(address)
    yield client.len('')
    (peer,) = server.peers
    assert server.expel(peer) == 1
    core = peer._peer
    own, unrelated = core.address.ignored, socket.socketpair()
    with unrelated[0], unrelated[1]:
        for fd in (unrelated[0].fileno(), -1, 1 << 20):
            core.address.ignored = fd
            expel._shut_down([core])
        core.address.ignored = own
        unrelated[0].send(b'still open')
        assert unrelated[1].recv(100) == b'still open'
    yield from net.until(lambda: core.gone)
    expel._shut_down([core])  # harmless
    outcome = None
    while outcome != 3:
        outcome = yield from net.outcome(client.len('abc'))


@scenario
def test_expelled_and_gone_at_once(net):
    server, address = net.serve()
    server.register_rpc(len)
    client = net.client(address)
    yield client.len('')
    (peer,) = server.peers
    assert server.expel(peer) == 1
    yield client.stop()
    yield from net.until(lambda: peer._peer.gone)


@both_ways
def test_expelled_and_stopped(net):
    server, *_ = yield from users(net, 'alice', 'bob')
    assert server.expel('alice') == 1
    diary = Diary(server)
    yield server.stop()
    assert [(kind, peer.user_id) for kind, peer in diary.notes][-1] == ('leave', 'bob')


# ---------------------------------------------------------------- contracts


def test_what_is_public():
    assert {'peers', 'send_to_many', 'expel', 'on_join', 'on_leave'} <= set(
        IServer.names(all=True)
    )
    assert pseud.utils.current_call is pseud.current_call
