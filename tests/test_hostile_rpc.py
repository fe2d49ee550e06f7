"""Users, errors, programs and networks that mean harm, or are out of luck."""

import asyncio
import gc
import threading
import traceback

import msgpack
import pytest
import zmq
from backends import PATIENCE, scenario
from peers import RawServer
from zmq.backend import zmq_poll
from zope.interface import implementer

import pseud
from pseud.auth import AuthenticationBackend
from pseud.interfaces import IAuthenticationBackend, IPredicate, IRPCCallable
from pseud.plugins import adapter
from pseud.remote import MAX_NAME
from pseud.utils import register_predicate

only_gevent = pytest.mark.parametrize('backend', ['gevent'], indirect=True)
servers = pytest.mark.parametrize('backend', ['tornado', 'gevent'], indirect=True)

# What a SyncClient does in a process of its own, told line by line.
CALLERS = """
from pseud import SyncClient
address = input()
first = SyncClient('service')
first.connect(address)
say(first.work('first'))
input()
first.stop()
input()
second = SyncClient('service', timeout=25)
second.connect(address)
try:
    say(second.work('second'))
except Exception as error:
    say(repr(error))
second.stop()
"""


def link_of(server):
    return server._engine.links['']


# ---------------------------------------------------------------- errors


@scenario(needs=('results',))
def test_arguments_of_an_exception_that_can_not_travel(net):
    """Nested as deep as may be, and one deeper: each call is answered, none is late."""
    server, client = net.pair()

    def get(depth):
        value = 'text'
        for _ in range(depth):
            value = (value,)
        raise KeyError(value)

    server.register_rpc(get)
    yield from net.raises(KeyError, client.get(0))
    calls = [client.get(depth) for depth in (0, *range(55, 70), 5000, 0)]
    for call in calls:
        yield from net.raises(KeyError, call)
    assert server._engine.core.running == 0


@scenario(needs=('results',))
def test_an_error_larger_than_its_caller_accepts(net):
    """It fails its own call; what else is under way goes on."""
    go = net.event()

    def wait():
        yield go.wait()
        return 'done'

    def fail(notes):  # arguments are cut
        error = ValueError(bytes(4 << 20))
        for _ in range(notes):
            error.add_note('x' * 8000)
        raise error

    server, address = net.serve()
    server.register_rpc(net.handler(wait), name='wait')
    server.register_rpc(fail)
    client = net.client(address, limits=pseud.Limits(max_message=100_000))
    yield from net.raises(ValueError, client.fail(1))
    waiting = client.wait()
    error = yield from net.raises(pseud.MessageTooLargeError, client.fail(20))
    assert 'fail() raised something of' in str(error)
    go.set()
    assert (yield waiting) == 'done'


@scenario
def test_a_caller_who_accepts_no_error_at_all(net):
    """The reason of an error is larger than his limit, too."""
    server, address = net.serve()
    server.register_rpc(len)
    client = net.client(address, limits=pseud.Limits(max_message=20))
    assert (yield client.len('abc')) == 3
    for _ in range(3):
        error = yield from net.outcome(client.len(3))
        assert isinstance(error, pseud.MessageTooLargeError)
    assert (yield client.len('abc')) == 3


@scenario
def test_a_syntax_error_of_a_peer_is_only_named(net):
    """Python's traceback module believes what its attributes are."""
    server = RawServer(net)
    call = net.client(server.address).f()
    args = msgpack.packb(['message', ['file', 'x', 'y', 'text']])
    fields = {'type': 'SyntaxError', 'message': 'message', 'args': args}
    yield net.thread(lambda: server.answer_error(**fields))
    error = yield from net.raises(pseud.RemoteError, call)
    assert error.type_name == 'SyntaxError'
    assert 'message' in ''.join(traceback.format_exception(error))


@scenario
def test_names_of_exceptions_have_an_end(net):
    """Their classes are kept for the next time."""
    server = RawServer(net)
    call = net.client(server.address).f()
    fields = {'type': 'm.' + 'x' * 1_000_000, 'message': 'message'}
    yield net.thread(lambda: server.answer_error(**fields))
    error = yield from net.raises(pseud.RemoteError, call)
    assert error.type_name == fields['type'][:MAX_NAME]
    assert len(type(error).__name__) <= MAX_NAME


# ---------------------------------------------------------------- users


ODD_USERS = ['alice\0mallory', '\0alice', 'alice\nroot has logged in', 'alice\x1b[2J']


@pytest.mark.parametrize('user_id', ODD_USERS, ids=repr)
@scenario
def test_user_ids_that_are_not_printable(net, logs, user_id):
    """libzmq would end them at the NUL, and a log would show more than one line."""
    asked = []

    def passwords(user_id, password):
        asked.append(user_id)
        return password == 'right'

    server, address = net.serve(security_plugin='plain', passwords=passwords)
    server.register_rpc(lambda user: user, name='who', with_identity=True)
    odd = net.user(address, user_id, 'right')
    yield from net.raises(pseud.UnauthorizedError, odd.who())
    assert asked == []
    assert (yield net.user(address, 'älice', 'right').who()) == 'älice'
    assert not any(set(text) & set('\0\n\x1b') for text in logs.texts())


@scenario(needs=('loop',))
def test_a_raw_client_with_such_a_user_id(net):
    asked = []

    def passwords(*who):
        asked.append(who)
        return True

    server, address = net.serve(security_plugin='plain', passwords=passwords)
    server.start()
    raw = net.raw(zmq.DEALER, plain_username=b'alice\n', plain_password=b'x')
    monitor = raw.get_monitor_socket(
        zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_SUCCEEDED
    )
    monitor.rcvtimeo = PATIENCE * 1000
    raw.connect(address)
    event, _ = yield net.thread(monitor.recv_multipart)
    raw.disable_monitor()
    monitor.close()
    kind = int.from_bytes(event[:2], 'little')
    assert kind == zmq.EVENT_HANDSHAKE_FAILED_AUTH
    assert asked == []


@implementer(IAuthenticationBackend)
class Exits(AuthenticationBackend):
    """An authentication plugin that tries to end the program."""

    name = 'exits'
    needs_zap = True
    identifies = True

    def __init__(self):
        pass

    def socket_options(self):
        return {int(zmq.PLAIN_SERVER): 1}

    def authenticate(self, credentials):
        raise SystemExit


@scenario
def test_an_authentication_that_exits_refuses(net, logs):
    """Its thread answers for other servers, too."""
    logs.errors_expected = True
    server, address = net.serve(security_plugin=Exits())
    server.register_rpc(len)
    for _ in range(2):
        refused = net.user(address, 'alice')
        yield from net.raises(pseud.UnauthorizedError, refused.len(''))
    other, client = net.users('bob')
    other.register_rpc(len)
    assert (yield client.len('abc')) == 3
    (text, *_) = logs.texts()
    assert 'asking about it failed' in text


# ---------------------------------------------------------------- connections


@scenario(needs=('callable',))
def test_leaving_a_server_while_it_calls(net):
    """What a handler sends over another link leaves at once, though its own is closed."""
    one, first = net.serve(security_plugin='trusted_peer')
    two, second = net.serve(security_plugin='trusted_peer')
    two.register_rpc(lambda: 'two', name='hello')
    client = net.user(first, 'alice')
    client.connect(second)
    calls = []

    @client.register_rpc
    def fail_over():
        client.disconnect(first)
        calls.append(client.hello())

    for server in one, two:
        server.start()
        yield from net.until(lambda server=server: server._engine.roster.of('alice'))
    yield from net.raises(pseud.PeerLostError, one.send_to('alice').fail_over())
    assert (yield calls[0]) == 'two'


@servers
@scenario
def test_a_descriptor_that_another_has_by_now(net, program):
    """The monitor tells of descriptors; its next owner has called before it is read."""
    go, ran = net.event(), []

    def work(who):
        ran.append(who)
        if who == 'second':
            yield go.wait()
        return who

    server, address = net.serve()
    server.register_rpc(net.handler(work), name='work')
    server.start()
    callers = program(CALLERS)
    callers.tell(address)
    assert (yield net.thread(callers.line)) == 'first'
    core, link = server._engine.core, link_of(server)
    (first,) = core.peers.values()
    # from here on the loop is busy, as far as it can tell
    callers.tell('stop')
    assert link.monitor.poll(PATIENCE * 1000)
    callers.tell('call')
    assert zmq_poll(link.pollin, PATIENCE * 1000)
    link.look_again()
    # now it goes on
    yield from net.until(lambda: first.gone and ran == ['first', 'second'])
    (second,) = core.peers.values()
    assert second.address.fd == first.address.fd
    assert link.leaving == []
    go.set()
    assert (yield net.thread(callers.line)) == 'second'


@servers
@scenario
def test_a_context_that_is_terminated(net, logs):
    """What still can be done is to stop; and so ends who serves."""
    logs.errors_expected = True
    context = zmq.Context()
    server = net.keep(net.driver.Server('service', context=context))
    server.bind('tcp://127.0.0.1:*')
    server.start()
    yield None
    terminating = threading.Thread(target=context.term, daemon=True)
    terminating.start()

    def terminated():
        try:
            link_of(server).socket.get(zmq.EVENTS)
        except zmq.ZMQError as error:
            return error.errno == zmq.ETERM
        return False

    yield from net.until(terminated)
    ended = server._engine.ending.ended()  # what serve_forever waits for
    yield server.stop()
    yield ended
    yield net.thread(terminating.join, PATIENCE)
    assert not terminating.is_alive()


# ---------------------------------------------------------------- loops


@only_gevent
@scenario
def test_a_predicate_that_waits(net):
    """It may, as the function may: others are served meanwhile."""
    go, asked = net.event(), []

    @register_predicate
    @implementer(IPredicate)
    @adapter(IRPCCallable)
    class Database:
        name = 'database'

        def __init__(self, found):
            pass

        def test(self, *args, **kwargs):
            asked.append(True)
            go.wait().get()
            return True

    server, client = net.pair()
    server.register_rpc(lambda: 'restricted', name='f', domain='database')
    server.register_rpc(len)
    call = client.f()
    yield from net.until(lambda: asked)
    assert (yield client.len('abc')) == 3
    assert not call.done()
    go.set()
    assert (yield call) == 'restricted'


def test_a_client_in_a_second_loop():
    """It can not work there, and says so at once."""
    pytest.importorskip('tornado')
    from pseud._tornado import Client

    context = zmq.Context()
    client = Client('service', context=context)
    client.connect('inproc://nowhere')

    async def first():
        client.f().cancel()

    async def second():
        await client.f()

    asyncio.run(first())
    for _ in range(2):
        with pytest.raises(pseud.UsageError, match='another event loop'):
            asyncio.run(second())
    assert not client._engine.core.pending
    context.destroy(linger=0)
    gc.collect()
