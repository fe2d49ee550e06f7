"""Warnings about what other machines can do or read, and who is allowed by address."""

import warnings

import pytest
import zmq
from backends import scenario

import pseud
from pseud.admission import Admission, networks
from pseud.exposure import is_local

PUBLIC, SECRET = zmq.curve_keypair()


@pytest.mark.parametrize(
    ('endpoint', 'local'),
    [
        ('tcp://127.0.0.1:5555', True),
        ('tcp://127.3.2.1:*', True),
        ('tcp://localhost:5555', True),
        ('tcp://[::1]:5555', True),
        ('tcp://lo:5555', True),
        ('ipc:///run/service', True),
        ('inproc://here', True),
        ('tcp://*:5555', False),
        ('tcp://0.0.0.0:5555', False),
        ('tcp://[::]:5555', False),
        ('tcp://eth0:5555', False),
        ('tcp://192.0.2.1:5555', False),
        ('tcp://example.org:5555', False),
        ('tcp://192.0.2.7;127.0.0.1:5555', True),
    ],
)
def test_is_local(endpoint, local):
    assert is_local(endpoint) is local


OPEN = 'tcp://0.0.0.0:*'


@scenario(needs=('loop',))
def test_servers_that_others_can_reach(net):
    cases = [
        ({}, 'whoever can reach it may call'),
        ({'security_plugin': 'trusted_peer'}, 'clear text, passwords too'),
        ({'security_plugin': 'plain', 'passwords': {}}, 'clear text, passwords too'),
    ]
    for settings, why in cases:
        with pytest.warns(pseud.InsecureWarning, match=why) as caught:
            net.server(**settings).bind(OPEN)
        assert 'trusted_curve' in str(caught[0].message)
        assert caught[0].filename == __file__  # it points to who called bind()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        net.serve()
        curve = {'security_plugin': 'trusted_curve', 'secret_key': SECRET}
        net.server(**curve, authorized_keys={}).bind(OPEN)
    yield from ()


@scenario
def test_passwords_on_their_way_to_others(net):
    far = 'tcp://192.0.2.1:5555'  # a network for documentation: nobody is there
    secret = {'user_id': 'alice', 'password': 'secret'}
    client = net.client(security_plugin='plain', **secret)
    with pytest.warns(pseud.InsecureWarning, match='password crosses') as caught:
        client.connect(far)
    assert 'secret' not in str(caught[0].message)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        net.client().connect(far)
        net.client(
            security_plugin='untrusted_curve', peer_public_key=PUBLIC, **secret
        ).connect(far)
    yield from ()


@scenario
def test_addresses_that_may_connect(net):
    cases = [
        ({'allow': ['127.0.0.0/8', '::1']}, True),
        ({'allow': '192.0.2.0/24'}, False),
        ({'deny': ['127.0.0.1']}, False),
        ({'allow': ['127.0.0.1'], 'deny': ['127.0.0.0/8']}, False),
        ({'deny': ['192.0.2.0/24']}, True),
    ]
    for plugin in ('noop_auth_backend', 'trusted_peer'):
        for settings, admitted in cases:
            server, address = net.serve(security_plugin=plugin, **settings)
            server.register_rpc(len)
            if plugin == 'trusted_peer':
                client = net.user(address, 'alice', timeout=None)
            else:
                client = net.client(address, timeout=None)
            if admitted:
                assert (yield client.len('abc')) == 3
            else:
                yield from net.raises(pseud.UnauthorizedError, client.len(''))


@scenario
def test_addresses_do_not_matter_to_ipc(net):
    server = net.server(allow=['192.0.2.0/24'])
    server.register_rpc(len)
    address = server.bind(net.address('ipc'))
    assert (yield net.client(address).len('abc')) == 3


@scenario
def test_lists_that_would_mean_the_opposite(net):
    for what in ('allow', 'deny'):
        with pytest.raises(ValueError, match='lists nothing'):
            net.server(**{what: []})
        with pytest.raises(ValueError, match='for servers'):
            net.client(**{what: ['127.0.0.1']})
    yield from ()


@pytest.mark.parametrize('bad', ['nonsense', ['127.0.0.1/40'], [None], ['127.0.0.1/8']])
@scenario
def test_addresses_that_are_none(net, bad):
    for what in ('allow', 'deny'):
        with pytest.raises(ValueError, match=f'{what} must list IP addresses'):
            net.server(**{what: bad})
    yield from ()


def test_old_addresses_in_new_clothes():
    """A socket that listens to both kinds reports IPv4 addresses inside of IPv6."""
    auth = type('Auth', (), {'needs_zap': False})
    deny = Admission(auth, (), networks('deny', ['192.0.2.0/24']))
    allow = Admission(auth, networks('allow', ['192.0.2.0/24']), ())
    for address in ('192.0.2.1', '::ffff:192.0.2.1'):
        assert not deny._admits(address)
        assert allow._admits(address)
    assert deny._admits('::1')
    assert not allow._admits('::1')
