"""Calls the function of hello_server.py.

Run it, beside hello_server.py: python hello_client.py [endpoint]
"""

import asyncio
import sys

from pseud import Client


async def main(endpoint):
    async with Client('service') as client:
        client.connect(endpoint)
        print(await client.hello('Charly'))

        # many calls at a time share the connection
        names = ['Ada', 'Grace', 'Barbara']
        print(await asyncio.gather(*(client.hello(name) for name in names)))


if __name__ == '__main__':
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else 'tcp://127.0.0.1:5555'))
