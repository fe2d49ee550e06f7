"""Tests of a program that uses pseud, with pytest: connections fail when they are told to.

Run it: python -m pytest test_orders.py
"""

import asyncio

import pseud


async def order(client, item):
    """The program: orders once, and says what it knows."""
    try:
        return await client.order(item)
    except pseud.NotSentError:
        return 'not ordered'
    except (pseud.PeerLostError, pseud.TimeoutError):
        return 'perhaps ordered'


def test_order(pseud_server, pseud_client):
    async def main():
        server, address = pseud_server('shop')
        server.register_rpc(lambda item: f'{item} ordered', name='order')
        client = pseud_client(address)
        assert await order(client, 'tea') == 'tea ordered'

    asyncio.run(main())


def test_the_wire_is_cut(pseud_server, pseud_client, pseud_relay):
    async def main():
        server, address = pseud_server('shop')
        relay = pseud_relay(address)

        @server.register_rpc(name='order')
        async def cut(item):
            relay.cut()
            return 'an answer that can not arrive'

        client = pseud_client(relay.endpoint)
        assert await order(client, 'tea') == 'perhaps ordered'

    asyncio.run(main())


def test_nobody_is_there(pseud_server, pseud_client, pseud_relay):
    async def main():
        server, address = pseud_server('shop')
        server.register_rpc(lambda item: f'{item} ordered', name='order')
        relay = pseud_relay(address)
        relay.refuse()
        client = pseud_client(relay.endpoint, timeout=0.1)
        assert await order(client, 'tea') == 'not ordered'
        relay.accept()
        patient = client.with_options(timeout=10)
        assert await order(patient, 'milk') == 'milk ordered'

    asyncio.run(main())


def test_a_script(pseud_server, pseud_sync_client):
    """Where tests block, the server has a thread of its own."""
    server, address = pseud_server('shop', thread=True)
    server.register_rpc(lambda item: f'{item} ordered', name='order')
    client = pseud_sync_client(address)
    assert client.order('tea') == 'tea ordered'
