"""Who is there and who answers: the heartbeat plugins, with real peers that hang."""

import math
import signal

import msgpack
import pytest
import zmq
from backends import PATIENCE, scenario
from devices import device
from peers import CALL, HELLO, WELCOME
from zope.interface import implementer

import pseud
from pseud import hooks
from pseud.heartbeat import HeartbeatBackend, Presence
from pseud.interfaces import IHeartbeatBackend, IServer
from pseud.plugins import adapter
from pseud.utils import register_heartbeat_backend

both_ways = scenario(needs=('callable',))
PING, PONG = 8, 9

# A peer that hangs leaves more than one ping unanswered before a test goes on; one that
# does not has long enough on a busy machine.
ASKS = {'interval': 0.05, 'patience': 0.3}


@implementer(IHeartbeatBackend)
class Counts(Presence):
    """Counts what it is told, by kind and user id."""

    def __init__(self, rpc=None, **times):
        super().__init__(rpc, **{**ASKS, **times})
        self.beats, self.timeouts, self.stopped = [], [], 0

    def handle_heartbeat(self, user_id, peer):
        assert isinstance(peer, pseud.RemotePeer)
        assert user_id == peer.user_id
        self.beats.append(user_id)

    def handle_timeout(self, user_id, peer):
        self.timeouts.append(user_id)

    def stop(self):
        self.stopped += 1


class Diary:
    """Notes of what the callbacks of a client or server are told."""

    def __init__(self, rpc):
        self.notes = []
        rpc.on_join(lambda peer: self.note('joins', peer))
        rpc.on_leave(lambda peer, reason: self.note('leaves', peer, reason))
        rpc.on_unresponsive(lambda peer: self.note('hangs', peer))
        rpc.on_responsive(lambda peer: self.note('answers', peer))

    def note(self, kind, peer, reason=''):
        # (a greenlet begins a little later than what it tells of)
        assert kind != 'leaves' or not peer.connected
        self.notes.append((kind, peer, reason))

    @property
    def kinds(self):
        return [kind for kind, _, _ in self.notes]


# A peer that can be made to hang: compute() holds its loop until it is told a line.
PEER = """
import os, sys
from pseud import Client, Server

def compute():
    say('computing')
    return sys.stdin.readline().strip()

def play(rpc):
    rpc.register_rpc(compute)
    rpc.register_rpc(os.getpid, name='pid')
    if ADDRESS:
        rpc.connect(ADDRESS)
    else:
        say(rpc.bind('tcp://127.0.0.1:*'))

def make():
    if not ADDRESS:
        return Server('service', **SETTINGS)
    return Client('service', security_plugin='plain', user_id='alice', **SETTINGS)

if 'gevent' in Client.__module__:
    import gevent.event

    play(make())
    gevent.event.Event().wait()
else:
    import asyncio

    async def main():
        play(make())
        await asyncio.Event().wait()

    asyncio.run(main())
"""


def hangable(program, address='', **settings):
    return program(f'ADDRESS, SETTINGS = {address!r}, {settings!r}\n{PEER}')


def watched(net, program, plugin=None, **settings):
    """``yield from`` this: a server, its diary, and alice, a process of its own."""
    server, address = net.serve(
        security_plugin='trusted_peer',
        heartbeat_plugin=plugin or Counts(),
        timeout=None,
        **settings,
    )
    diary = Diary(server)
    alice = hangable(program, address, **settings)
    yield from net.until(lambda: diary.kinds == ['joins'])
    return server, diary, alice


# ---------------------------------------------------------------- alive, not responsive


@both_ways
def test_a_peer_that_computes_is_not_lost(net, program):
    """Longer than it may be silent by ØMQ; calls to it end as they would have."""
    plugin = Counts()
    server, diary, alice = yield from watched(
        net, program, plugin, heartbeat_interval=0.2
    )
    (peer,) = server.peers
    call = server.send_to('alice').compute()
    assert (yield net.thread(alice.line)) == 'computing'
    before = len(diary.notes)
    yield from net.until(lambda: peer.last_seen > 1.5)
    yield from net.until(lambda: len(plugin.timeouts) > 2)
    assert diary.kinds[before:] == ['hangs']  # it was told once
    assert set(plugin.timeouts) == {'alice'}
    assert not peer.responsive
    assert peer.connected
    assert 'unresponsive' in repr(peer)
    assert server.peers == [peer]
    later = server.send_to('alice').pid()
    assert not call.done()
    alice.tell('the result')
    assert (yield call) == 'the result'
    assert (yield later) == alice.process.pid
    beats = len(plugin.beats)
    yield from net.until(lambda: len(plugin.beats) > beats)
    assert diary.kinds[before:][:2] == ['hangs', 'answers']
    assert server.peers == [peer]
    assert 'leaves' not in diary.kinds


@scenario(needs=('loop',))
def test_a_server_that_computes(net, program):
    server = hangable(program)
    address = yield net.thread(server.line)
    client = net.client(
        address, timeout=None, heartbeat_plugin=Counts(), heartbeat_interval=0.2
    )
    diary = Diary(client)
    yield client.start()
    yield from net.until(lambda: diary.kinds == ['joins'])
    peer = diary.notes[0][1]
    call = client.compute()
    assert (yield net.thread(server.line)) == 'computing'
    yield from net.until(lambda: not peer.responsive)
    yield from net.until(lambda: peer.last_seen > 1.5)
    server.tell('the result')
    assert (yield call) == 'the result'
    yield from net.until(lambda: peer.responsive)
    assert 'leaves' not in diary.kinds


@both_ways
def test_a_frozen_peer(net, program):
    """Without ZMTP's heartbeats, it may go on when it thaws."""
    server, diary, alice = yield from watched(net, program, heartbeat_interval=0)
    (peer,) = server.peers
    alice.signal(signal.SIGSTOP)
    yield from net.until(lambda: not peer.responsive)
    call = server.send_to('alice').pid()
    alice.signal(signal.SIGCONT)
    assert (yield call) == alice.process.pid
    yield from net.until(lambda: peer.responsive)
    assert server.peers == [peer]
    # and with them it is lost, not merely silent
    yield server.stop()
    server, diary, alice = yield from watched(net, program, heartbeat_interval=0.1)
    call = server.send_to('alice').compute()
    yield net.thread(alice.line)
    alice.signal(signal.SIGSTOP)
    yield from net.raises(pseud.PeerLostError, call)
    yield from net.until(lambda: diary.kinds[-1] == 'leaves')
    assert server.peers == []


@both_ways
def test_killed_while_it_hangs(net, program):
    server, diary, alice = yield from watched(net, program)
    (peer,) = server.peers
    call = server.send_to('alice').compute()
    yield from net.until(lambda: not peer.responsive)
    alice.kill()
    yield from net.raises(pseud.PeerLostError, call)
    yield from net.until(lambda: 'leaves' in diary.kinds)
    assert diary.kinds[-2:] == ['hangs', 'leaves']
    assert not peer.responsive
    assert repr(peer).endswith(', gone>')
    assert peer.last_seen == peer.last_seen


@both_ways
def test_idle_peers_are_heard_of(net):
    """From both sides; and nobody is without an answer."""
    plugins = Counts(), Counts()
    server, address = net.serve(heartbeat_plugin=plugins[0])
    client = net.client(address, heartbeat_plugin=plugins[1])
    diaries = Diary(server), Diary(client)
    yield client.start()
    for plugin in plugins:
        # each is pinged, and answers pings
        yield from net.until(lambda plugin=plugin: len(plugin.beats) > 4)
    for (kinds, *_), peer in [(diary.kinds, diary.notes[0][1]) for diary in diaries]:
        assert kinds == 'joins'
        assert 0 <= peer.last_seen < peer.connected_for
    yield client.stop()
    yield from net.until(lambda: not server.peers)
    assert server._engine.peer_watch._watch.due == math.inf  # nobody is left to ask
    yield server.stop()
    assert [plugin.stopped for plugin in plugins] == [1, 1]


@both_ways
def test_by_name(net):
    server, client = net.pair(heartbeat_plugin='presence')
    diary = Diary(server)
    yield client.start()
    yield from net.until(lambda: diary.kinds == ['joins'])
    assert server.peers[0].responsive
    assert server._engine.peer_watch.active


# ---------------------------------------------------------------- by a virtual clock


@scenario
def test_when_it_is_noticed(memory):
    """5 to 10 seconds after the last sign of life, unless told otherwise."""
    server, client = memory.pair(heartbeat_plugin='presence')
    client.register_rpc(len)
    diaries = Diary(server), Diary(client)
    yield memory.clock.advance(7.5)
    assert [diary.kinds for diary in diaries] == [['joins']] * 2
    memory.network.hold(client)
    yield memory.clock.advance(7.4)  # asked at 10
    assert [diary.kinds for diary in diaries] == [['joins']] * 2
    yield memory.clock.advance(0.1)
    assert [diary.kinds for diary in diaries] == [['joins', 'hangs']] * 2
    yield memory.clock.advance(120)
    assert [diary.kinds for diary in diaries] == [['joins', 'hangs']] * 2
    (peer,) = server.peers
    assert peer.last_seen == pytest.approx(memory.clock.now() - 5)
    call = server.send_to(peer).len('abc')
    memory.network.release(client)
    assert (yield call) == 3
    yield memory.clock.advance(0)
    assert [diary.kinds for diary in diaries] == [['joins', 'hangs', 'answers']] * 2
    yield memory.clock.advance(120)
    assert [diary.kinds for diary in diaries] == [['joins', 'hangs', 'answers']] * 2


@scenario
def test_when_a_peer_is_given_up(memory):
    server, client = memory.pair(heartbeat_plugin='presence')
    diary = Diary(server)
    yield memory.clock.advance(5)
    server.peers[0]._peer.watched = False  # as if there were a device between them
    memory.network.hold(client)
    yield memory.clock.advance(60)
    assert diary.kinds == ['joins', 'hangs']
    yield memory.clock.advance(15)
    assert diary.kinds == ['joins', 'hangs', 'leaves']
    assert diary.notes[-1][2] == 'it did not answer for 60 s'
    memory.network.release(client)
    yield memory.clock.advance(1)
    assert diary.kinds == ['joins', 'hangs', 'leaves', 'joins']


@scenario
def test_or_never(memory):
    plugin = Presence(interval=1, patience=1, gone_after=None)
    server, client = memory.pair(heartbeat_plugin=plugin)
    diary = Diary(server)
    yield memory.clock.advance(5)
    server.peers[0]._peer.watched = False
    memory.network.hold(client)
    yield memory.clock.advance(120)
    assert diary.kinds == ['joins', 'hangs']


# ---------------------------------------------------------------- callbacks


@both_ways
def test_callbacks_may_wait_call_and_fail(net, program, logs):
    server, _, alice = yield from watched(net, program)
    (peer,) = server.peers
    heard = []

    @server.on_unresponsive
    def fail(peer):
        raise ValueError('not again')

    @server.on_unresponsive
    @net.handler
    def ask(peer):
        heard.append((yield server.send_to(peer).pid()))

    call = server.send_to(peer).compute()
    yield from net.until(lambda: not peer.responsive)
    yield from net.until(lambda: logs.texts())
    logs.errors_expected = True
    assert 'fail(<peer alice' in logs.texts()[0]
    alice.tell('done')
    yield call
    yield from net.until(lambda: heard)
    assert heard[0] == alice.process.pid


@both_ways
def test_a_callback_that_expels(net, program):
    """Nothing more is told of it than that it has left."""
    plugin = Counts()
    server, diary, alice = yield from watched(net, program, plugin)
    server.on_unresponsive(lambda peer: server.expel(peer, 'too slow'))
    server.send_to('alice').compute().cancel()
    yield from net.until(lambda: 'leaves' in diary.kinds)
    assert diary.kinds[-2:] == ['hangs', 'leaves']
    assert diary.notes[-1][2] == 'too slow'
    alice.kill()


@both_ways
def test_stopping_does_not_wait_for_who_waits(net, program, monkeypatch):
    monkeypatch.setattr(hooks, 'LAST_WORDS', 10 * PATIENCE)
    server, *_ = yield from watched(net, program)
    ended = []

    @server.on_unresponsive
    @net.handler
    def forever(peer):
        ended.append(False)
        try:
            yield net.event().wait()
        finally:
            ended[:] = [True]

    call = server.send_to('alice').compute()
    yield from net.until(lambda: ended)
    yield server.stop(grace=0)
    yield from net.raises(pseud.PeerLostError, call)
    yield from net.until(lambda: ended == [True])


def test_where_nobody_asks_nobody_is_told(backend):
    server = backend.Server('service')
    for hook in (server.on_unresponsive, server.on_responsive):
        with pytest.raises(pseud.UsageError, match="take 'presence'"):
            hook(print)
    server.stop()


# ---------------------------------------------------------------- nobody tells


class Silent:
    """A client over inproc that says hello, and reads when it likes; `answer` does."""

    def __init__(self, net, address):
        self.socket = net.raw(zmq.DEALER)
        self.socket.connect(address)
        self.say([HELLO, 0, 0, {'agent': 'silent'}])

    def say(self, *messages):
        self.socket.send_multipart([b'', msgpack.packb(messages)])

    def read(self):
        _, head = self.socket.recv_multipart()
        return msgpack.unpackb(head)

    def answer(self):
        while True:
            for message in self.read():
                if message[0] == PING:
                    self.say([PONG, message[1]])
                    return


@scenario
def test_who_is_not_watched_is_gone_in_the_end(net):
    plugin = Counts(patience=0.1, gone_after=0.3)
    server, address = net.serve(transport='inproc', heartbeat_plugin=plugin)
    diary = Diary(server)
    silent = Silent(net, address)
    yield from net.until(lambda: diary.kinds == ['joins'])
    (peer,) = server.peers
    call = server.send_to(peer).with_options(timeout=None).f()
    yield from net.raises(pseud.PeerLostError, call, match='did not answer for')
    yield from net.until(lambda: diary.kinds == ['joins', 'hangs', 'leaves'])
    assert 'did not answer for' in diary.notes[-1][2]
    assert server.peers == []
    # when it thaws, it is known again, without another hello
    silent.answer()
    yield from net.until(lambda: diary.kinds[3:] == ['joins'])
    assert server.peers == [diary.notes[3][1]]
    assert server.peers[0] is not peer


@both_ways
def test_who_is_watched_is_not_given_up(net, program):
    plugin = Counts(gone_after=0.1)
    server, diary, alice = yield from watched(net, program, plugin)
    call = server.send_to('alice').compute()
    yield net.thread(alice.line)
    yield from net.until(lambda: len(plugin.timeouts) > 3)
    alice.tell('still here')
    assert (yield call) == 'still here'
    assert 'leaves' not in diary.kinds


@both_ways
def test_behind_a_device(net):
    """ØMQ tells of the device's connection only."""
    plugin = Counts(gone_after=2)
    server = net.server(heartbeat_plugin=plugin)
    diary = Diary(server)
    with device(net) as (front, back):
        server.connect(back)
        clients = []
        for count in (1, 2):
            clients.append(net.client(front))
            clients[-1].register_rpc(len)
            yield clients[-1].start()
            yield from net.until(lambda count=count: len(server.peers) == count)
        gone, here = server.peers
        for peer in (gone, here):
            assert (yield server.send_to(peer).len('abc')) == 3
        yield clients[0].stop()
        yield from net.until(lambda: server.peers == [here])
        assert (yield server.send_to(here).len('abc')) == 3
        assert [peer for kind, peer, _ in diary.notes if kind == 'leaves'] == [gone]


@scenario(needs=('loop',))
def test_a_client_whose_server_went_without_a_word(net):
    """Over inproc there is nothing to notice that by; it connects anew."""
    address = net.address('inproc')
    mute = net.raw(zmq.ROUTER)
    mute.bind(address)
    plugin = Counts(gone_after=0.5)
    client = net.client(address, heartbeat_plugin=plugin, timeout=None)
    diary = Diary(client)

    def welcome():
        peer, *_ = mute.recv_multipart()
        mute.send_multipart([peer, b'', msgpack.packb([[WELCOME, 0, 0, {}]])])

    yield client.start()
    yield net.thread(welcome)
    yield from net.until(lambda: diary.kinds == ['joins'])
    call = client.len('abc')
    mute.unbind(address)  # and says nothing more
    server = net.server()
    server.register_rpc(len)
    server.bind(address)
    yield from net.raises(pseud.PeerLostError, call, match='did not answer')
    assert (yield client.len('abc')) == 3
    assert diary.kinds == ['joins', 'hangs', 'leaves', 'joins']


# ---------------------------------------------------------------- who can't be asked


@both_ways
def test_a_sync_client_is_let_alone(net):
    """It speaks in turns: a ping would pass for the answer to its call."""
    plugin = Counts()
    server, address = net.serve(heartbeat_plugin=plugin)
    diary = Diary(server)

    @server.register_rpc
    @net.handler
    def slow():
        before = len(plugin.beats)
        yield from net.until(lambda: len(plugin.beats) > before + 3)
        return 'the answer'

    client = net.client(address)  # the one who is asked
    yield client.start()
    with pseud.SyncClient(context=net.context, timeout=None) as sync:
        sync.connect(address)
        assert (yield net.thread(sync.slow)) == 'the answer'
        assert (yield net.thread(sync.slow)) == 'the answer'  # was idle meanwhile
        (peer,) = (peer for peer in server.peers if peer._peer.lockstep)
    assert ('hangs', peer, '') not in diary.notes


def test_a_sync_client_watches_nobody():
    with pytest.raises(ValueError, match='event loop'):
        pseud.SyncClient(heartbeat_plugin='presence')
    client = pseud.SyncClient()
    for hook in (client.on_unresponsive, client.on_responsive):
        with pytest.raises(pseud.UsageError, match='event loop'):
            hook(print)
    client.close()


@scenario(needs=('loop',))
def test_who_says_no_hello_is_not_asked(net):
    """It might speak in turns, and have said so to a server that forgot."""
    plugin = Counts()
    server, address = net.serve(heartbeat_plugin=plugin)
    server.register_rpc(len)
    raw = net.raw(zmq.DEALER)
    raw.connect(address)
    body = msgpack.packb([['abc'], {}])
    raw.send_multipart([b'', msgpack.packb([[CALL, 1, 0, body, 'len', None]])])
    yield net.thread(raw.recv_multipart)
    (peer,) = server.peers
    client = net.client(address)
    yield client.start()
    yield from net.until(lambda: len(plugin.beats) > 3)
    with pytest.raises(zmq.Again):
        raw.recv_multipart(zmq.NOBLOCK)
    assert peer.responsive


@both_ways
def test_a_client_of_version_1_is_there_at_once(net):
    """With presence it beats; so it can be called before it has called."""
    server, address = net.serve(
        security_plugin='trusted_peer', heartbeat_plugin=Counts()
    )
    diary = Diary(server)
    client = net.user(address, 'alice', protocol=1, heartbeat_plugin=Counts())
    client.register_rpc(len)
    yield client.start()
    yield from net.until(lambda: diary.kinds == ['joins'])
    assert (yield server.send_to('alice').len('abc')) == 3


@scenario(needs=('loop',))
def test_a_client_of_version_1_that_stops_beating(net):
    plugin = Counts()
    server, address = net.serve(heartbeat_plugin=plugin)
    diary = Diary(server)
    raw = net.raw(zmq.DEALER)
    raw.connect(address)
    heartbeat = [b'', b'v1', b'', b'\x06', b'here']
    raw.send_multipart(heartbeat)
    yield from net.until(lambda: diary.kinds == ['joins', 'hangs'])
    assert len(plugin.beats) == 1
    raw.send_multipart(heartbeat)
    yield from net.until(lambda: 'answers' in diary.kinds)
    with pytest.raises(zmq.Again):
        raw.recv_multipart(zmq.NOBLOCK)


# ---------------------------------------------------------------- plugins


@implementer(IHeartbeatBackend)
@adapter(IServer)
class Strict(HeartbeatBackend):
    """Throws out who does not answer; by name, so it knows its server."""

    name = 'strict'
    interval, patience = ASKS.values()

    def __init__(self, rpc):
        super().__init__(rpc)
        self.server = rpc

    def handle_timeout(self, user_id, peer):
        self.server.expel(user_id, 'one has to answer')


@both_ways
def test_a_plugin_of_ones_own(net, program):
    register_heartbeat_backend(Strict)
    server, diary, _ = yield from watched(net, program, 'strict')
    server.send_to('alice').compute().cancel()
    yield from net.until(lambda: 'leaves' in diary.kinds)
    assert diary.notes[-1][2] == 'one has to answer'
    with pytest.raises(pseud.UnknownPluginError, match="'strict' for a Client"):
        net.client(heartbeat_plugin='strict')


@both_ways
def test_a_plugin_may_wait(net):
    """As plugins of pseud 1.x did, whose methods were coroutines."""
    seen = []

    class Waits(Counts):
        @net.handler
        def handle_heartbeat(self, user_id, peer):
            yield net.sleep(0)
            seen.append(peer)

    _, client = net.pair(heartbeat_plugin=Waits())
    yield client.start()
    yield from net.until(lambda: len(seen) > 4)


@both_ways
def test_a_plugin_that_fails_harms_nobody(net, logs):
    class Fails(Counts):
        def handle_heartbeat(self, user_id, peer):
            raise ValueError('no heart')

    server, address = net.serve(heartbeat_plugin=Fails())
    server.register_rpc(len)
    client = net.client(address)
    yield client.start()
    yield from net.until(lambda: len(logs.records) > 2)
    logs.errors_expected = True
    assert 'handle_heartbeat' in logs.texts()[0]
    assert (yield client.len('abc')) == 3


@pytest.mark.parametrize(
    'times',
    [
        {'interval': -1},
        {'interval': 'often'},
        {'interval': True},
        {'interval': float('nan')},
        {'patience': 0},
        {'patience': float('inf')},
        {'gone_after': 0},
        {'patience': None},
    ],
    ids=str,
)
def test_times_that_make_no_sense(backend, times):
    (name,) = times
    with pytest.raises(ValueError, match=f"{name} of heartbeat_plugin 'presence'"):
        backend.Server('service', heartbeat_plugin=Presence(**times))
    backend.Server(heartbeat_plugin=Presence(gone_after=None)).stop()


def test_what_it_lacks_is_said(backend):
    @implementer(IHeartbeatBackend)
    class Old:
        name = 'old'

    with pytest.raises(TypeError, match=r'pseud\.heartbeat\.HeartbeatBackend'):
        backend.Server(heartbeat_plugin=Old())
    with pytest.raises(TypeError, match='interval='):
        Presence(5)


# ---------------------------------------------------------------- a fork

FORKS = """
import os, time
import gevent
from pseud import Client, Server
from pseud.heartbeat import Presence

asks = Presence(interval=0.02, patience=0.1)
server = Server('service', heartbeat_plugin=asks)
server.register_rpc(len)
client = Client('service', heartbeat_plugin=asks)
client.connect(server.bind('tcp://127.0.0.1:*'))
client.len('').get()
child = gevent.os.fork()
if not child:
    gevent.sleep(0.3)  # its loop has the parent's timers
    os._exit(0)
assert gevent.os.waitpid(child, 0)[1] == 0
say(client.len('abc').get())
client.stop()
server.stop()
"""


@pytest.mark.parametrize('backend', ['gevent'], indirect=True)
def test_a_forked_child_pings_nobody(backend, program):
    forks = program(FORKS, env={'NO_TORNADO': '1'})
    assert forks.rest() == ['3']
    assert forks.wait() == 0, forks.stderr
    assert forks.stderr == ''
