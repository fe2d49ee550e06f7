"""pseud 1.0.1 itself, as it is out there, on one side of the wire and we on the other.

It has the name of ours, so a Python of its own runs it: that of ``make test``, or what
``PSEUD_GENUINE_PYTHON`` names.  `genuine/peer.py` is its program.
"""

import contextlib
import datetime
import os
import pathlib

import pytest
import zmq
from backends import scenario
from programs import Program

import pseud
from pseud.heartbeat import Presence

HERE = pathlib.Path(__file__).parent
PYTHON = os.environ.get('PSEUD_GENUINE_PYTHON') or str(
    HERE.parent / '.venv-1.0.1' / 'bin' / 'python'
)

both_ways = scenario(needs=('callable',))

PLAIN = {'security_plugin': 'plain', 'user_id': b'alice', 'password': b'secret'}
# who logs in by a challenge, over an encrypted connection
LOGIN = {**PLAIN, 'security_plugin': 'login'}
KEYS = [tuple(key.decode() for key in zmq.curve_keypair()) for _ in range(2)]
(SERVER_PUBLIC, SERVER_SECRET), (PUBLIC, SECRET) = KEYS
THEIRS = {'peer_public_key': SERVER_PUBLIC.encode()}
THEIRS |= {'public_key': PUBLIC.encode(), 'secret_key': SECRET.encode()}

VALUES = [None, True, -1, 1 << 40, 1.5, 'ü', b'\xff', (1, (2, ())), {'a': {'b': b'c'}}]
VALUES += [
    datetime.datetime(2024, 1, 2, 3, 4, 5, 6),
    datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),  # noqa: UP017
    datetime.date(2024, 1, 2),
    datetime.timedelta(-1, 2, 3),
    datetime.timezone(datetime.timedelta(hours=1), 'x'),
]


class GenuineError(Exception):
    """What it raised."""


class Genuine(Program):
    """A process of pseud 1.0.1; see `genuine/peer.py`."""

    def __init__(self, *arguments):
        if not pathlib.Path(PYTHON).exists():
            raise AssertionError(
                f'there is no {PYTHON}, which is to run pseud 1.0.1: `make test` makes it '
                'first; or install tests/genuine/requirements.txt into a venv and let '
                'PSEUD_GENUINE_PYTHON name its Python'
            )
        peer = str(HERE / 'genuine' / 'peer.py')
        # no PYTHONPATH: where ours is found
        super().__init__(
            [peer, *arguments],
            python=(PYTHON, '-W', 'ignore'),
            env={'PYTHONPATH': None},
        )

    def ask(self, expression, **variables):
        """The value of an expression there; blocks.

        Args:
            expression: with ``{name}`` for variables.
        """
        self.tell(expression.format(**{k: repr(v) for k, v in variables.items()}))
        answer = self.line()
        if answer.startswith('! '):
            raise GenuineError(eval(answer[2:]))
        return eval(answer, {'datetime': datetime})


@pytest.fixture
def old(net):
    """``yield old('expression')`` evaluates it in a process of 1.0.1, with a loop."""
    with contextlib.closing(Genuine()) as genuine:

        def ask(expression, **variables):
            return net.thread(lambda: genuine.ask(expression, **variables))

        ask.program = genuine
        yield ask


def register(rpc, net):
    """What `genuine/peer.py` registers, too."""

    def fail(known):
        raise LookupError('no such cow') if known else OutOfMilk('empty')

    def nap(seconds):
        yield net.sleep(seconds)
        return seconds

    rpc.register_rpc(lambda value: value, name='same')
    rpc.register_rpc(lambda left, right=0: left + right, name='add')
    rpc.register_rpc(fail)
    rpc.register_rpc(net.handler(nap), name='nap')
    rpc.register_rpc(lambda: object(), name='odd')


class OutOfMilk(Exception):
    """They do not know it."""


# ---------------------------------------------------------------- its clients, our server


@both_ways
def test_its_client_calls_our_server(net, old):
    server, address = net.serve()
    register(server, net)
    yield old('connect({address})', address=address)
    for value in VALUES:
        assert (yield old('client.same({value})', value=value)) == value
    assert (yield old('client.add(1, right=2)')) == 3
    for call, error in {
        'client.fail(True)': 'LookupError',
        'client.fail(False)': 'OutOfMilk',
        'client.missing()': 'ServiceNotFoundError',
        'client.odd()': 'SerializationError',
    }.items():
        with pytest.raises(GenuineError, match=error):
            yield old(call)
    gather = 'asyncio.gather(*[client.nap(i / 1000) for i in range(50)])'
    assert (yield old(gather)) == [i / 1000 for i in range(50)]


@both_ways
def test_its_sync_client_calls_our_server(net):
    server, address = net.serve()
    register(server, net)
    with contextlib.closing(Genuine('sync')) as genuine:

        def ask(text, **variables):
            return net.thread(lambda: genuine.ask(text, **variables))

        yield ask('connect_sync({address})', address=address)
        for value in VALUES:
            assert (yield ask('client.same({value})', value=value)) == value
        with pytest.raises(GenuineError, match='LookupError'):
            yield ask('client.fail(True)')
        with pytest.raises(GenuineError, match='OutOfMilk'):
            yield ask('client.fail(False)')
        assert (yield ask('client.add(1, right=2)')) == 3


@both_ways
def test_our_server_calls_its_client(net, old):
    server, address = net.serve(security_plugin='trusted_peer')
    yield old('connect({address}, **{plain})', address=address, plain=PLAIN)
    yield from net.until(lambda: server.peers)  # it has said nothing yet
    alice = server.send_to('alice')
    for value in VALUES:
        assert (yield alice.same(value)) == value
    yield from net.raises(LookupError, alice.fail(True), match='no such cow')
    error = yield from net.raises(pseud.RemoteError, alice.fail(False))
    assert type(error).__name__ == 'OutOfMilk'
    yield from net.raises(pseud.ServiceNotFoundError, alice.missing())
    assert (yield server.send_to(server.peers[0]).add(1, right=2)) == 3


@both_ways
def test_its_client_goes_and_comes(net, old):
    server, address = net.serve(security_plugin='trusted_peer')
    register(server, net)
    for _ in range(2):
        yield old('connect({address}, **{plain})', address=address, plain=PLAIN)
        yield from net.until(lambda: server.peers)
        assert (yield old('client.add(1)')) == 1
        yield old('client.stop()')
        yield from net.until(lambda: not server.peers)


@both_ways
def test_our_server_is_restarted(net, old):
    """What has not said a word since then is not known: its ROUTER probes but once."""
    server, address = net.serve()
    register(server, net)
    yield old('connect({address})', address=address)
    assert (yield old('client.add(1)')) == 1
    yield server.stop(grace=0)
    again = net.server()
    again.bind(address)
    register(again, net)
    answer = None
    while answer != 2:  # its first attempts may go to the old connection, and be lost
        answer = yield from net.outcome(old('asyncio.wait_for(client.add(2), 1)'))
        assert answer == 2 or isinstance(answer, GenuineError), answer
    assert again.peers


# ---------------------------------------------------------------- our clients, its server


@both_ways
def test_our_client_calls_its_server(net, old):
    address = yield old('serve()')
    client = net.client(address, protocol=1)
    for value in VALUES:
        assert (yield client.same(value)) == value
    assert (yield client.add(1, right=2)) == 3
    error = yield from net.raises(LookupError, client.fail(True), match='no such cow')
    assert 'in fail' in str(error.__cause__)
    error = yield from net.raises(pseud.RemoteError, client.fail(False))
    assert type(error).__name__ == 'OutOfMilk'
    yield from net.raises(pseud.ServiceNotFoundError, client.missing())
    yield from net.raises(pseud.SerializationError, client.same(object()))
    calls = [client.add(number) for number in range(50)]
    assert (yield from net.all(calls)) == list(range(50))


@both_ways
def test_our_sync_client_calls_its_server(net, old):
    address = yield old('serve()')
    with pseud.SyncClient('service', context=net.context, protocol=1) as client:
        client.connect(address)
        for value in VALUES:
            assert (yield net.thread(client.same, value)) == value
        with pytest.raises(LookupError, match='no such cow'):
            yield net.thread(client.fail, True)
        with pytest.raises(pseud.RemoteError):
            yield net.thread(client.fail, False)


@both_ways
def test_its_server_calls_our_client(net, old):
    address = yield old("serve(security_plugin='plain')")
    client = net.user(address, 'alice', 'secret', protocol=1)
    register(client, net)
    assert (yield client.add(1)) == 1
    answer = yield old("server.send_to(b'alice').same({value})", value=VALUES[-1])
    assert answer == VALUES[-1]
    with pytest.raises(GenuineError, match='LookupError'):
        yield old("server.send_to(b'alice').fail(True)")


@both_ways
def test_its_server_calls_our_client_that_has_not_called(net, old):
    address = yield old("serve(security_plugin='plain')")
    client = net.user(address, 'alice', 'secret', protocol=1)
    register(client, net)
    client.start()
    known = None
    while not known:
        known = yield old("'alice' in str(server.auth_backend.places)")
    assert (yield old("server.send_to(b'alice').add(3, 4)")) == 7


@both_ways
def test_late_replies_of_its_server(net, old):
    """It answers what we no longer wait for, and the next call all the same."""
    address = yield old('serve()')
    client = net.client(address, protocol=1)
    assert (yield client.add(1)) == 1
    hurried = client.with_options(timeout=0.05)
    yield from net.raises(pseud.TimeoutError, hurried.nap(0.2))
    assert (yield client.add(2)) == 2


@both_ways
def test_results_that_end_its_reader(net, old):
    """What it can not pack ends its server's reading: we say so when it is due."""
    address = yield old('serve()')
    client = net.client(address, protocol=1, timeout=0.5)
    assert (yield client.add(1)) == 1
    error = yield from net.raises(pseud.TimeoutError, client.odd())
    assert 'may have run' in str(error)


@both_ways
def test_its_server_is_killed(net, old):
    address = yield old('serve()')
    client = net.client(address, protocol=1, timeout=None)
    assert (yield client.add(1)) == 1
    call = client.nap(60)
    old.program.kill()
    yield from net.raises(pseud.PeerLostError, call)


@both_ways
def test_a_call_back_that_its_server_waits_for_in_vain(net, old):
    """It reads nothing while a function of it runs; and what is late ends its reading."""
    address = yield old("serve(security_plugin='plain', timeout=1)")
    client = net.user(address, 'alice', 'secret', protocol=1)
    register(client, net)
    assert (yield client.add(1)) == 1
    yield from net.raises(TimeoutError, client.ask(b'alice', 'same', 1))
    hurried = client.with_options(timeout=0.5)
    yield from net.raises(pseud.TimeoutError, hurried.add(2), match='may have run')


@both_ways
def test_names_of_exceptions_that_would_end_it(net, old):
    """It calls whatever Python has by the name that comes."""
    server, address = net.serve(security_plugin='trusted_peer')
    register(server, net)

    def fail_as(name):
        raise errors[name]

    try:
        b'\xff'.decode()
    except UnicodeDecodeError as error:
        undecodable = error
    named_so = type('SystemExit', (Exception,), {})('by chance')
    errors = {'UnicodeDecodeError': undecodable, 'SystemExit': named_so}
    errors['StopIteration'] = StopIteration(1)
    server.register_rpc(fail_as)
    yield old('connect({address}, **{plain})', address=address, plain=PLAIN)
    for name, known in {
        'UnicodeDecodeError': 'UnicodeError',
        'StopIteration': 'builtins.StopIteration',
        'SystemExit': 'builtins.SystemExit',
    }.items():
        with pytest.raises(GenuineError, match=known):
            yield old('client.fail_as({name})', name=name)
    assert (yield old('client.add(1)')) == 1
    assert (yield server.send_to('alice').add(2)) == 2


@both_ways
def test_results_that_end_a_client_of_it(net, old):
    """Nothing of it arrives from then on; who is another is none the worse."""
    server, address = net.serve(security_plugin='trusted_peer', timeout=0.5)
    yield old('connect({address}, **{plain})', address=address, plain=PLAIN)
    bob = net.user(address, 'bob')
    register(bob, net)
    bob.start()
    yield from net.until(lambda: len(server.peers) == 2)
    error = yield from net.raises(pseud.TimeoutError, server.send_to('alice').odd())
    assert 'may have run' in str(error)
    outcomes = yield server.send_to_many(['alice', 'bob']).add(1, 2)
    assert outcomes['bob'] == 3
    assert isinstance(outcomes['alice'], pseud.TimeoutError)


@both_ways
def test_late_replies_to_its_client(net, old):
    """They end its reader, and nothing here."""
    server, address = net.serve(security_plugin='trusted_peer', timeout=0.5)
    register(server, net)
    due = net.event()

    @server.register_rpc
    @net.handler
    def wait():
        yield due.wait()

    plain = {**PLAIN, 'timeout': 0.1}
    yield old('connect({address}, **{plain})', address=address, plain=plain)
    for _ in range(2):
        with pytest.raises(GenuineError, match='TimeoutError'):
            yield old('client.wait()')
        due.set()  # the second is answered at once
    yield from net.raises(pseud.TimeoutError, server.send_to('alice').add(1))
    yield old('connect({address}, **{plain})', address=address, plain=PLAIN)  # again
    assert (yield old('client.add(1)')) == 1


# ---------------------------------------------------------------- who they are


@both_ways
def test_plain(net, old):
    server, address = net.serve(security_plugin='plain', passwords={'alice': 'secret'})
    server.register_rpc(lambda: pseud.current_call().user_id, name='who')
    yield old('connect({address}, **{plain})', address=address, plain=PLAIN)
    assert (yield old('client.who()')) == 'alice'
    wrong = {**PLAIN, 'password': b'wrong', 'timeout': 0.5}
    yield old('connect({address}, **{plain})', address=address, plain=wrong)
    with pytest.raises(GenuineError):
        yield old('client.who()')


@both_ways
def test_plain_at_its_server(net, old):
    address = yield old("serve(security_plugin='plain')")
    assert (yield net.user(address, 'alice', 'secret', protocol=1).add(1)) == 1
    wrong = net.user(address, 'alice', 'wrong', protocol=1)
    yield from net.raises(pseud.UnauthorizedError, wrong.add(1))


@both_ways
def test_curve(net, old):
    server, address = net.serve(
        security_plugin='trusted_curve',
        secret_key=SERVER_SECRET,
        authorized_keys={'alice': PUBLIC},
    )
    server.register_rpc(lambda: pseud.current_call().user_id, name='who')
    connect = "connect({address}, security_plugin='curve', **{keys})"
    yield old(connect, address=address, keys=THEIRS)
    assert (yield old('client.who()')) == 'alice'
    register_at_client = server.send_to('alice').add(1, 2)
    assert (yield register_at_client) == 3


@both_ways
def test_curve_at_its_server(net, old):
    keys = {'secret_key': SERVER_SECRET.encode(), 'public_key': SERVER_PUBLIC.encode()}
    address = yield old("serve(security_plugin='curve', **{keys})", keys=keys)
    client = net.client(
        address,
        security_plugin='trusted_curve',
        secret_key=SECRET,
        peer_public_key=SERVER_PUBLIC,
        protocol=1,
    )
    assert (yield client.add(1)) == 1


@both_ways
def test_a_challenge(net, old):
    server, address = net.serve(
        security_plugin='untrusted_curve',
        secret_key=SERVER_SECRET,
        passwords={'alice': 'secret'},
    )
    server.register_rpc(lambda: pseud.current_call().user_id, name='who')
    connect = 'connect({address}, **{login}, **{keys})'
    yield old(connect, address=address, login=LOGIN, keys=THEIRS)
    assert (yield old('client.who()')) == 'alice'
    assert (yield server.send_to('alice').add(1, 2)) == 3
    wrong = {**LOGIN, 'password': b'wrong'}
    yield old(connect, address=address, login=wrong, keys=THEIRS)
    with pytest.raises(GenuineError, match='refused'):
        yield old('client.who()')


@both_ways
def test_a_challenge_by_its_server(net, old):
    keys = {'secret_key': SERVER_SECRET.encode(), 'public_key': SERVER_PUBLIC.encode()}
    address = yield old("serve(security_plugin='login', **{keys})", keys=keys)

    def client(password):
        return net.client(
            address,
            security_plugin='untrusted_curve',
            peer_public_key=SERVER_PUBLIC,
            user_id='alice',
            password=password,
            protocol=1,
        )

    assert (yield client('secret').add(1)) == 1
    yield from net.raises(pseud.UnauthorizedError, client('wrong').add(1))


# ---------------------------------------------------------------- signs of life


@both_ways
def test_its_heartbeats(net, old):
    server, address = net.serve(
        security_plugin='trusted_peer', heartbeat_plugin=Presence(interval=0.1)
    )
    register(server, net)
    beats = {**PLAIN, 'heartbeat_plugin': 'beats'}
    yield old('connect({address}, **{beats})', address=address, beats=beats)
    yield from net.until(lambda: server.peers)
    (peer,) = server.peers
    heard = peer._peer.heard
    yield from net.until(lambda: peer._peer.heard > heard)
    assert peer.responsive
    assert (yield old('client.add(1)')) == 1


@both_ways
def test_our_heartbeats(net, old):
    address = yield old("serve(security_plugin='plain', heartbeat_plugin='beats')")
    client = net.user(
        address, 'alice', 'secret', protocol=1, heartbeat_plugin=Presence(interval=0.05)
    )
    client.start()
    count = 0
    while count < 3:
        count = yield old('sum(server.heartbeat_backend.heard.values())')
    assert (yield client.add(1)) == 1


# ---------------------------------------------------------------- a fleet is upgraded


@both_ways
def test_a_rolling_upgrade(net, old):
    """Old and new clients at one server, while the old are replaced one by one."""
    server, address = net.serve(security_plugin='trusted_peer')
    register(server, net)
    users = ['kiosk-1', 'kiosk-2', 'kiosk-3']
    for user_id in users:
        plain = {**PLAIN, 'user_id': user_id.encode()}
        yield old('connect({address}, **{plain})', address=address, plain=plain)
        yield old('tasks.append(client)')
    yield from net.until(lambda: len(server.peers) == len(users))
    upgraded = {}
    for number, user_id in enumerate([None, *users]):
        if user_id is not None:
            yield old('tasks[{at}].stop()', at=number - 1)
            yield from net.until(lambda user_id=user_id: missing(server, user_id))
            client = upgraded[user_id] = net.user(address, user_id)
            register(client, net)
            client.start()
            yield from net.until(lambda user_id=user_id: not missing(server, user_id))
        outcomes = yield server.send_to_many(users).add(1, number)
        assert outcomes == dict.fromkeys(users, 1 + number)
        for at, user_id in enumerate(users):
            if user_id in upgraded:
                assert (yield upgraded[user_id].same((at, user_id))) == (at, user_id)
            else:
                assert (yield old('tasks[{at}].same({at})', at=at)) == at


@both_ways
def test_the_server_is_upgraded_first(net, old):
    """At the address of one of 1.0.1, whose clients stay as they are."""
    address = yield old("serve(security_plugin='plain')")
    plain = {**PLAIN, 'timeout': 1}
    yield old('connect({address}, **{plain})', address=address, plain=plain)
    ours = net.user(address, 'bob', 'secret', protocol=1)
    register(ours, net)
    assert (yield old('client.add(1)')) == 1
    yield old('server.stop()')
    users = {'alice': 'secret', 'bob': 'secret'}
    server = net.server(security_plugin='plain', passwords=users)
    register(server, net)
    server.bind(address)
    ours.start()
    yield from net.until(lambda: not missing(server, 'bob'))
    assert (yield ours.add(2)) == 2
    answer = None
    while answer != 3:  # its first attempts may go to the old connection, and be lost
        answer = yield from net.outcome(old('client.add(3)'))
        assert answer == 3 or isinstance(answer, GenuineError), answer
    outcomes = yield server.send_to_many(users).same(VALUES)
    assert outcomes == dict.fromkeys(users, tuple(VALUES))


def missing(server, user_id):
    return user_id not in [peer.user_id for peer in server.peers]


# ---------------------------------------------------------------- by a gateway


@both_ways
def test_its_client_calls_its_server_by_our_gateway(net, old):
    inside = yield old('serve()')
    back = net.client(inside, protocol=1)
    _, outside = net.serve(proxy_to=back)
    yield old('connect({address})', address=outside)
    assert (yield old('client.same({value})', value=VALUES)) == tuple(VALUES)
    with pytest.raises(GenuineError, match='LookupError'):
        yield old('client.fail(True)')


@both_ways
def test_its_client_calls_a_new_server_by_our_gateway(net, old):
    server, inside = net.serve()
    register(server, net)
    _, outside = net.serve(proxy_to=net.client(inside))
    yield old('connect({address})', address=outside)
    assert (yield old('client.same({value})', value=VALUES)) == tuple(VALUES)
    with pytest.raises(GenuineError, match='LookupError'):
        yield old('client.fail(True)')
