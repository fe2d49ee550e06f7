"""What the documentation warns of is so: each test names the page that says it."""

import contextvars

import pytest
from backends import scenario

import pseud

EXITS = """
    import sys
    from pseud import Server

    server = Server('service')
    server.register_rpc(sys.exit, name='leave')
    say(server.bind('tcp://127.0.0.1:*'))
    server.serve_forever()
"""


@pytest.mark.parametrize(
    ('requires', 'no_tornado'), [('tornado', None), ('gevent', '1')]
)
def test_system_exit_ends_the_server(program, requires, no_tornado):
    """howto/register"""
    pytest.importorskip(requires)
    from pseud import RemoteError, SyncClient

    server = program(EXITS, env={'NO_TORNADO': no_tornado})
    with SyncClient() as client:
        client.connect(server.line())
        with pytest.raises(RemoteError) as caught:
            client.leave(3)
    assert caught.value.type_name == 'SystemExit'
    assert server.wait() == 3


@pytest.mark.parametrize('plugin', ['trusted_peer', 'plain'])
def test_no_inproc_where_users_are_known(backend, plugin):
    """topics/security"""
    server = backend.Server('service', security_plugin=plugin, passwords={'a': 'b'})
    with pytest.raises(ValueError, match='never authenticated'):
        server.bind('inproc://known')
    server.stop()


@scenario
def test_contexts_do_not_leak(net):
    """howto/gevent"""
    seen = contextvars.ContextVar('seen', default=None)

    def note(value):
        before = seen.get()
        seen.set(value)
        return before

    server, client = net.pair()
    server.register_rpc(note)
    for value in range(3):
        assert (yield client.note(value)) is None


def test_greenlet_locals_do():
    """howto/gevent"""
    local = pytest.importorskip('gevent.local')
    from pseud._gevent import Client, Server

    seen = local.local()

    def note(value):
        before = getattr(seen, 'value', None)
        seen.value = value
        return before

    with Server() as server, Client() as client:
        server.register_rpc(note)
        client.connect(server.bind('tcp://127.0.0.1:*'))
        assert [client.note(value).get() for value in range(3)] == [None, 0, 1]


@scenario
def test_a_message_that_takes_too_long_looks_like_silence(net):
    """topics/calls, howto/big-data"""
    server, address = net.serve(heartbeat_interval=0.05)
    server.register_rpc(len)
    relay = net.relay(address)
    client = net.client(relay.endpoint, timeout=None)
    assert (yield client.len(b'abc')) == 3
    relay.throttle(100_000)
    yield from net.raises(pseud.PeerLostError, client.len(bytes(60_000)))
