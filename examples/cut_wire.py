"""What a call comes to when the wire is slow, cut or frozen: a relay, and no pytest.

Run it: python cut_wire.py
"""

import asyncio

import pseud
from pseud.testing import Harness


async def main():
    async with Harness() as harness:
        server, address = harness.serve('service')
        relay = harness.relay(address)
        client = harness.client(relay.endpoint, heartbeat_interval=0.1)

        @server.register_rpc
        async def hello(name):
            started.set()
            await asyncio.sleep(0.1)
            return f'Hello {name}'

        harms = {
            'slow': lambda: relay.delay(0.1),
            'cut': relay.cut,
            'frozen': relay.freeze,
        }
        for name, harm in harms.items():
            started = asyncio.Event()
            call = client.hello('Charly')
            await started.wait()
            harm()
            try:
                print(f'{name}: {await call}')
            except pseud.PeerLostError as error:
                print(f'{name}: {error}')
            relay.heal()


if __name__ == '__main__':
    asyncio.run(main())
