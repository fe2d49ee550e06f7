"""Old and new clients at one server, while a fleet is upgraded.

Run it: python old_and_new.py; ``protocol=1`` is what pseud 1.x speaks.
"""

import asyncio

from pseud import Client, Server


def kiosk(name, endpoint, **settings):
    client = Client(
        'fleet', security_plugin='plain', user_id=name, password='', **settings
    )

    @client.register_rpc
    def status():
        return f'{name} is fine'

    client.connect(endpoint)
    return client


async def main():
    async with Server('fleet', security_plugin='trusted_peer') as server:
        here = asyncio.Event()

        @server.on_join
        def joined(peer):
            if len(server.peers) == 2:
                here.set()

        endpoint = server.bind('tcp://127.0.0.1:*')
        async with kiosk('old', endpoint, protocol=1), kiosk('new', endpoint):
            await here.wait()
            for peer in server.peers:
                answer = await server.send_to(peer).status()
                print(f'{answer}, and speaks protocol {peer.protocol}')


if __name__ == '__main__':
    asyncio.run(main())
