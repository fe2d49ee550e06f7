"""Stopping a server: what runs may finish, within a grace time.

Run it: python draining.py
"""

import asyncio

from pseud import Client, PseudError, Server


async def main():
    async with Client('service') as client:
        server = Server('service')

        @server.register_rpc
        async def work(seconds):
            started.release()
            await asyncio.sleep(seconds)
            return f'worked for {seconds} s'

        started = asyncio.Semaphore(0)
        client.connect(server.bind('tcp://127.0.0.1:*'))
        short, long = client.work(0.2), client.work(60)
        await started.acquire()
        await started.acquire()

        await server.stop(grace=1)
        print(short.result())
        try:
            await long
        except PseudError as error:
            print('the long one:', type(error).__name__)


if __name__ == '__main__':
    asyncio.run(main())
