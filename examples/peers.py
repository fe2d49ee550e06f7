"""Connections as objects: who comes, who goes, who calls, and who has to leave.

Run it: python peers.py
"""

import asyncio

from pseud import Client, Server, current_call

KINDS = {}  # what each connection has told of itself


def make_server(known):
    # No user ids: a connection is called by the object that stands for it.
    server = Server('lab')

    @server.on_join
    async def welcome(peer):
        KINDS[peer] = await server.send_to(peer).kind()
        known.put_nowait(peer)

    @server.on_leave
    def forget(peer, reason):
        print('a', KINDS.pop(peer, 'stranger'), 'has left')

    @server.register_rpc
    async def measure():
        call = current_call()
        unit = await call.caller.unit()  # of the very client that is calling
        return f'{KINDS[call.peer]}: 21 {unit}'

    return server


async def instrument(endpoint, kind, unit):
    client = Client('lab')
    client.register_rpc(lambda: kind, name='kind')
    client.register_rpc(lambda: unit, name='unit')
    connected = asyncio.Event()
    client.on_join(lambda server: connected.set())
    client.connect(endpoint)
    await connected.wait()
    return client


async def main():
    known = asyncio.Queue()
    async with make_server(known) as server:
        endpoint = server.bind('tcp://127.0.0.1:*')
        thermometer = await instrument(endpoint, 'thermometer', 'K')
        scale = await instrument(endpoint, 'scale', 'kg')
        for _ in range(2):
            print('a', KINDS[await known.get()], 'is here')

        print(await thermometer.measure())
        units = await server.send_to_many(server.peers).with_options(timeout=1).unit()
        print({KINDS[peer]: unit for peer, unit in units.items()})

        (wrong,) = (peer for peer in server.peers if KINDS[peer] == 'scale')
        server.expel(wrong, reason='out of calibration')
        await scale.stop()
        await thermometer.stop()


if __name__ == '__main__':
    asyncio.run(main())
