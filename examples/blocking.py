"""Blocking work in a server on asyncio: in threads, so that other calls go on.

Run it: python blocking.py
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from pseud import Client, Server

printer = ThreadPoolExecutor(1)  # one at a time; its queue is the printer's


def print_page(text):
    time.sleep(0.1)  # a driver that blocks
    return f'printed {text!r}'


async def main():
    async with Server('service') as server, Client('service') as client:

        @server.register_rpc(name='print')
        async def print_(text):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(printer, print_page, text)

        @server.register_rpc
        async def digest(data):
            return await asyncio.to_thread(hash, data)  # asyncio's own threads

        @server.register_rpc
        def hello(name):  # short: it runs in the loop itself
            return f'Hello {name}'

        client.connect(server.bind('tcp://127.0.0.1:*'))
        pages = asyncio.gather(client.print('one'), client.print('two'))
        print(await client.hello('Charly'), '(meanwhile)')
        print(await pages)
        print(await client.digest(1))
    printer.shutdown()


if __name__ == '__main__':
    asyncio.run(main())
