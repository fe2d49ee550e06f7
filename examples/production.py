"""A server in production: what it bounds, what it logs, and how it ends.

Run it: python production.py
"""

import asyncio
import logging
import os
import signal
from contextlib import suppress

from pseud import Client, Limits, Server

GRACE = 30  # seconds; whoever starts the program allows some more

log = logging.getLogger('orders')
logging.basicConfig(level=logging.INFO, format='%(levelname)s %(name)s: %(message)s')
logging.captureWarnings(True)  # pseud.InsecureWarning, for one


def make_server():
    server = Server(
        'orders',
        limits=Limits(max_peers=2000, max_message=1 << 20, max_queue=16 << 20),
    )

    @server.on_join
    def joined(peer):
        log.info('%s has joined, %s', peer.address, peer.agent)

    @server.on_leave
    def left(peer, reason):
        log.info('%s has left: %s', peer.address, reason)

    @server.register_rpc
    async def order(article):
        log.info('order of a %s', article)
        await asyncio.sleep(0.1)
        return f'one {article}'

    return server


async def watch(server, seconds):
    """Numbers for whatever collects them."""
    while True:
        under_way = sum(peer.in_flight for peer in server.peers)
        log.info('%d peers, %d calls to them', len(server.peers), under_way)
        await asyncio.sleep(seconds)


async def serve(endpoint, ready):
    server = make_server()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop, GRACE)
    ready.set_result(server.bind(endpoint))
    watching = asyncio.create_task(watch(server, seconds=10))
    await server.serve_forever()
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    log.info('stopped')


async def main():
    ready = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve('tcp://127.0.0.1:*', ready))
    client = Client('orders')
    client.connect(await ready)
    print(await client.order('hat'))

    call = client.order('coat')  # is under way, or about to be, ...
    await asyncio.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)  # ... when the service is stopped
    print(await call)
    await serving
    await client.stop()


if __name__ == '__main__':
    asyncio.run(main())
