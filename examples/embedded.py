"""An asyncio program with a server and a client among its other work.

Run it: python embedded.py
"""

import asyncio

from pseud import Client, Server


async def count_every_second(readings):
    """The program's own work, which goes on meanwhile."""
    while True:
        readings['seconds'] += 1
        await asyncio.sleep(1)


async def main():
    readings = {'seconds': 0}
    work = asyncio.create_task(count_every_second(readings))

    async with Server('upstairs') as upstairs, Client('upstairs') as client:
        # Any function may be registered, also under another name.
        upstairs.register_rpc(readings.get, name='reading')
        endpoint = upstairs.bind('inproc://upstairs')
        client.connect(endpoint)
        print('seconds:', await client.reading('seconds'))

        # A call is a future: asyncio's tools work on it.
        async with asyncio.timeout(2):
            calls = [client.reading('seconds'), client.reading('hours', 'unknown')]
            print(await asyncio.gather(*calls))

    work.cancel()


if __name__ == '__main__':
    asyncio.run(main())
