"""Encrypted connections, and users known by key or by a password inside of them."""

import pytest
import zmq
import zmq.auth
from backends import scenario

import pseud

SERVER_KEYS = zmq.curve_keypair()
ALICE = zmq.curve_keypair()
BOB = zmq.curve_keypair()
MALLORY = zmq.curve_keypair()


def serve(net, plugin='trusted_curve', **settings):
    """A server with our keys, which says who calls, and its address."""
    if plugin == 'trusted_curve':
        settings.setdefault('authorized_keys', {'alice': ALICE[0], 'bob': BOB[0]})
    elif plugin == 'untrusted_curve':
        settings.setdefault('passwords', {'alice': 'secret', 'bob': ''})
    server, address = net.serve(
        security_plugin=plugin, secret_key=SERVER_KEYS[1], **settings
    )
    server.register_rpc(lambda user_id: user_id, name='whoami', with_identity=True)
    return server, address


def by_key(net, address, keys, **settings):
    """A client with these keys."""
    settings.setdefault('peer_public_key', SERVER_KEYS[0])
    return net.client(
        address,
        security_plugin='trusted_curve',
        public_key=keys[0],
        secret_key=keys[1],
        **settings,
    )


def by_password(net, address, user_id, password='', **settings):
    """A client that logs in, with keys that it makes up."""
    settings.setdefault('peer_public_key', SERVER_KEYS[0])
    return net.client(
        address,
        security_plugin='untrusted_curve',
        user_id=user_id,
        password=password,
        **settings,
    )


def connected(net, server, name):
    """``yield from`` this until a user is there."""
    yield from net.until(lambda: name in {peer.user_id for peer in server.peers})


@scenario
def test_known_keys_are_users(net):
    _, address = serve(net)
    for name, keys in (('alice', ALICE), ('bob', BOB)):
        assert (yield by_key(net, address, keys).whoami()) == name


@scenario
def test_passwords_inside_of_the_connection(net):
    _, address = serve(net, 'untrusted_curve')
    assert (yield by_password(net, address, 'alice', 'secret').whoami()) == 'alice'
    assert (yield by_password(net, address, 'bob').whoami()) == 'bob'


@scenario(needs=('callable',))
def test_servers_call_them(net):
    for plugin in ('trusted_curve', 'untrusted_curve'):
        server, address = serve(net, plugin)
        if plugin == 'trusted_curve':
            clients = [by_key(net, address, ALICE), by_key(net, address, BOB)]
        else:
            clients = [
                by_password(net, address, 'alice', 'secret'),
                by_password(net, address, 'bob'),
            ]
        for client in clients:
            client.register_rpc(str.upper, name='upper')
            client.start()
        for name in ('alice', 'bob'):
            yield from connected(net, server, name)
            assert (yield server.send_to(name).upper(name)) == name.upper()


@scenario
def test_an_unknown_key_is_refused_at_once(net, logs):
    _, address = serve(net)
    client = by_key(net, address, MALLORY, timeout=None)
    yield from net.raises(
        pseud.UnauthorizedError, client.whoami(), match='the wrong password or key'
    )
    assert any('unknown key' in text for text in logs.texts())


@pytest.mark.parametrize(
    ('name', 'password'), [('alice', 'wrong'), ('alice', ''), ('nobody', 'secret')]
)
@scenario
def test_a_wrong_password_is_refused_at_once(net, logs, name, password):
    server, address = serve(net, 'untrusted_curve')
    ran = []
    server.register_rpc(ran.append, name='run')
    client = by_password(net, address, name, password, timeout=None)
    for _ in range(2):
        error = yield from net.raises(pseud.UnauthorizedError, client.run(1))
        assert 'wrong user id or password' in str(error)
    assert ran == []
    written = ' '.join([*logs.texts(), str(error), repr(client), repr(client.settings)])
    assert 'secret' not in written.replace('secret_key', '')


@scenario
def test_calls_are_answered_after_the_login_only(net):
    """They may come before it is decided, and run once it is."""
    asked = net.event()
    decide = net.event()

    @net.handler
    def authenticate(credentials):
        if credentials.mechanism == 'CURVE':
            return 'somebody'
        asked.set()
        yield decide.wait()
        return credentials.username

    server, address = serve(net, Waits(authenticate))
    client = by_password(net, address, 'alice', 'x', timeout=None)
    call = client.whoami()
    yield asked.wait()
    assert not server.peers
    decide.set()
    assert (yield call) == 'alice'


def Waits(function):
    from zope.interface import implementer

    from pseud.auth import AuthenticationBackend
    from pseud.interfaces import IAuthenticationBackend

    @implementer(IAuthenticationBackend)
    class Plugin(AuthenticationBackend):
        name = 'waits'
        needs_zap = identifies = challenges = encrypted = True
        authenticate = staticmethod(function)

        def __init__(self):
            pass

        def socket_options(self):
            return {
                int(zmq.CURVE_SERVER): 1,
                int(zmq.CURVE_SECRETKEY): SERVER_KEYS[1],
            }

    return Plugin()


# ---------------------------------------------------------------- who does not fit


@scenario
def test_another_server_key(net):
    """The client talks to no other server than the one whose key it has."""
    for plugin in ('trusted_curve', 'untrusted_curve'):
        _, address = serve(net, plugin)
        make = by_key if plugin == 'trusted_curve' else by_password
        who = ALICE if plugin == 'trusted_curve' else 'alice'
        client = make(net, address, who, peer_public_key=MALLORY[0], timeout=None)
        yield from net.raises(
            pseud.UnauthorizedError, client.whoami(), match='peer_public_key is not'
        )


MISFITS = [
    ('noop_auth_backend', 'curve'),
    ('trusted_peer', 'curve'),
    ('plain', 'curve'),
    ('trusted_curve', 'noop'),
    ('trusted_curve', 'plain'),
    ('untrusted_curve', 'noop'),
    ('untrusted_curve', 'plain'),
]


@pytest.mark.parametrize(('plugin', 'side'), MISFITS)
@scenario
def test_sides_that_do_not_go_together(net, plugin, side):
    settings = {'passwords': {'alice': 'secret'}} if plugin == 'plain' else {}
    _, address = serve(net, plugin, **settings)
    if side == 'curve':
        client = by_key(net, address, ALICE, timeout=None)
    elif side == 'plain':
        client = net.user(address, 'alice', 'secret', timeout=None)
    else:
        client = net.client(address, timeout=None)
    yield from net.raises(
        pseud.UnauthorizedError, client.whoami(), match='security_plugin does not go'
    )


@scenario
def test_a_key_without_a_login(net):
    """A client of trusted_curve at a server of untrusted_curve: who is it?"""
    _, address = serve(net, 'untrusted_curve')
    client = by_key(net, address, ALICE, timeout=None)
    yield from net.raises(pseud.UnauthorizedError, client.whoami(), match='log in')


BAD = [
    ('client', {'security_plugin': 'trusted_curve'}, 'secret_key'),
    (
        'client',
        {'security_plugin': 'trusted_curve', 'secret_key': ALICE[1]},
        'peer_public_key',
    ),
    (
        'client',
        {'security_plugin': 'untrusted_curve', 'peer_public_key': ALICE[0]},
        'user_id',
    ),
    (
        'client',
        {
            'security_plugin': 'trusted_curve',
            'peer_public_key': 'short',
            'secret_key': ALICE[1],
        },
        'peer_public_key',
    ),
    (
        'client',
        {
            'security_plugin': 'trusted_curve',
            'peer_public_key': SERVER_KEYS[0],
            'secret_key': ALICE[1],
            'public_key': BOB[0],
        },
        'do not belong together',
    ),
    ('server', {'security_plugin': 'trusted_curve'}, 'secret_key'),
    (
        'server',
        {'security_plugin': 'trusted_curve', 'secret_key': ALICE[1]},
        'authorized_keys',
    ),
    (
        'server',
        {'security_plugin': 'untrusted_curve', 'secret_key': ALICE[1]},
        'passwords',
    ),
]


@pytest.mark.parametrize(('which', 'settings', 'why'), BAD)
@scenario
def test_settings_that_are_missing_or_wrong(net, which, settings, why):
    with pytest.raises(ValueError, match=why) as caught:
        getattr(net, which)(**settings)
    assert ALICE[1].decode() not in str(caught.value)
    yield from ()


def test_a_sync_client_can_not_log_in_by_protocol_1():
    with pytest.raises(ValueError, match='can not log in by protocol 1'):
        pseud.SyncClient(
            protocol=1,
            security_plugin='untrusted_curve',
            user_id='alice',
            peer_public_key=SERVER_KEYS[0],
        )


# ---------------------------------------------------------------- who may not stay


@scenario
def test_a_key_that_is_revoked_ends_its_connections(net):
    keys = {'alice': ALICE[0], 'bob': BOB[0]}
    server, address = serve(net, authorized_keys=keys)
    alice = by_key(net, address, ALICE, timeout=None)
    bob = by_key(net, address, BOB)
    assert (yield alice.whoami()) == 'alice'
    assert (yield bob.whoami()) == 'bob'
    del keys['alice']
    yield from net.until(lambda: [peer.user_id for peer in server.peers] == ['bob'])
    while True:  # it may notice that it was thrown out in the middle of a call
        error = yield from net.outcome(alice.whoami())
        assert isinstance(error, pseud.PseudError)
        if isinstance(error, pseud.UnauthorizedError):
            break
        yield net.sleep(0.002)
    assert (yield bob.whoami()) == 'bob'
    keys['alice'] = ALICE[0]
    while (yield from net.outcome(alice.whoami())) != 'alice':
        yield net.sleep(0.05)


@scenario
def test_certificates_in_a_directory(net, tmp_path):
    zmq.auth.create_certificates(tmp_path, 'carol')
    public, secret = zmq.auth.load_certificate(tmp_path / 'carol.key_secret')
    server, address = serve(net, authorized_keys=tmp_path)
    carol = by_key(net, address, (public, secret), timeout=None)
    assert (yield carol.whoami()) == 'carol'
    (tmp_path / 'carol.key').unlink()
    yield from net.until(lambda: not server.peers)


@pytest.mark.parametrize('plugin', ['plain', 'untrusted_curve'])
@scenario
def test_a_password_that_is_changed_ends_its_connections(net, plugin):
    passwords = {'alice': 'secret', 'bob': ''}
    server, address = serve(net, plugin, passwords=passwords)
    if plugin == 'plain':
        alice = net.user(address, 'alice', 'secret', timeout=None)
        bob = net.user(address, 'bob')
    else:
        alice = by_password(net, address, 'alice', 'secret', timeout=None)
        bob = by_password(net, address, 'bob')
    assert (yield alice.whoami()) == 'alice'
    assert (yield bob.whoami()) == 'bob'
    passwords['alice'] = 'other'
    yield from net.until(lambda: [peer.user_id for peer in server.peers] == ['bob'])
    assert (yield bob.whoami()) == 'bob'
