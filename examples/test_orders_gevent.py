"""The same on gevent, where calls wait in greenlets.

Run it: NO_TORNADO=1 python -m pytest test_orders_gevent.py
"""

import pytest

import pseud


def test_the_wire_is_cut(pseud_server, pseud_client, pseud_relay):
    server, address = pseud_server('shop')
    relay = pseud_relay(address)
    server.register_rpc(lambda item: relay.cut(), name='order')
    client = pseud_client(relay.endpoint)
    with pytest.raises(pseud.PeerLostError, match='may have run'):
        client.order('tea').get()


def test_nothing_is_heard(pseud_server, pseud_client, pseud_relay):
    """The connection stays open, but nothing comes: found out by heartbeats."""
    server, address = pseud_server('shop')
    relay = pseud_relay(address)
    server.register_rpc(lambda item: relay.freeze(), name='order')
    client = pseud_client(relay.endpoint, timeout=None, heartbeat_interval=0.05)
    with pytest.raises(pseud.PeerLostError):
        client.order('tea').get()
