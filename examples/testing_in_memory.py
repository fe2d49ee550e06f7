"""Testing what a program does when a call takes long or a peer is lost: no time passes.

These are tests as pytest with pytest-asyncio, or any other runner, would have them; here
a loop runs them. They are for asyncio and tornado.

Run it: python testing_in_memory.py
"""

import asyncio

import pseud
from pseud.testing import pair


async def temperature(server, room):
    """What is tested: ask a thermostat, and make the best of it if that fails."""
    try:
        return await server.send_to(room).with_options(timeout=30).read()
    except pseud.NotSentError:
        return 'not connected'
    except pseud.PeerLostError:
        return 'lost while it was asked'
    except pseud.TimeoutError:
        return 'no answer for 30 s'


async def test_a_slow_thermostat_is_waited_for():
    async with pair('kitchen') as (server, client, network):

        @client.register_rpc
        async def read():
            await network.clock.sleep(29)  # asyncio.sleep would take real time
            return 21.5

        asking = asyncio.ensure_future(temperature(server, 'kitchen'))
        await network.clock.advance(28)
        assert not asking.done()
        await network.clock.advance(1)
        assert await asking == 21.5


async def test_a_thermostat_that_does_not_answer():
    async with pair('kitchen') as (server, client, network):
        client.register_rpc(asyncio.Event().wait, name='read')
        asking = asyncio.ensure_future(temperature(server, 'kitchen'))
        await network.clock.advance(30)
        assert await asking == 'no answer for 30 s'


async def test_lost_and_found():
    async with pair('kitchen') as (server, client, network):
        left = []
        server.on_leave(lambda peer, reason: left.append(peer.user_id))
        client.register_rpc(lambda: 21.5, name='read')

        network.hold(client)  # the question is on its way when the connection is lost
        asking = asyncio.ensure_future(temperature(server, 'kitchen'))
        await network.clock.advance(1)
        network.cut(client)
        assert await asking == 'lost while it was asked'
        assert left == ['kitchen']
        assert await temperature(server, 'kitchen') == 'not connected'

        network.release(client)
        network.reconnect(client)
        await network.clock.advance(0)  # it takes a few turns of the loop to say hello
        assert await temperature(server, 'kitchen') == 21.5


async def test_everybody_has_a_name():
    async with pair('kitchen') as (server, kitchen, network):
        attic = network.client('attic')
        for room in (kitchen, attic):
            room.register_rpc(lambda: 19, name='read')
        server.register_rpc(lambda: pseud.current_call().user_id, name='whoami')
        assert await attic.whoami() == 'attic'
        assert [peer.user_id for peer in server.peers] == ['kitchen', 'attic']
        assert await temperature(server, 'attic') == 19


if __name__ == '__main__':
    for name, test in list(globals().items()):
        if name.startswith('test_'):
            asyncio.run(test())
            print(name, 'passed')
