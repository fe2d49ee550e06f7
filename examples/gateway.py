"""A gateway: clients outside call functions of a server inside, and are called back.

Run it: python gateway.py; the server inside is a process of its own.  Kiosks may only make
calls that begin with ``shop.``, and the server knows which kiosk it is.
"""

import asyncio
import sys

from zope.interface import implementer

from pseud import Client, Server, ServiceNotFoundError, current_call
from pseud.interfaces import IPredicate, IRPCCallable
from pseud.plugins import adapter
from pseud.utils import register_predicate


async def inside():
    """The server that has the functions."""
    server = Server(
        'shop',
        security_plugin='plain',
        passwords={'gateway': 'opal'},
        trusted_proxies=['gateway'],  # who says who its clients are
    )

    @server.register_rpc(name='shop.order')
    async def order(article, count):
        call = current_call()
        for done in range(count):
            await call.caller.progress(done + 1)  # goes back through the gateway
        return f'{count} × {article} for {call.user_id}'

    @server.register_rpc(name='admin.shutdown')
    def shutdown():
        return 'never reached from outside'

    print(server.bind('tcp://127.0.0.1:*'), flush=True)
    await server.serve_forever()


@register_predicate
@implementer(IPredicate)
@adapter(IRPCCallable)
class FromOutside:
    """What the gateway passes on: by the name, and by who calls."""

    name = 'from outside'

    def __init__(self, function):
        self.function = function

    def test(self, user_id=None):
        return self.function.name.startswith('shop.')


async def outside(endpoint):
    """The gateway, and a kiosk that knows nothing of what is behind it."""
    back = Client('shop', security_plugin='plain', user_id='gateway', password='opal')
    back.connect(endpoint)
    gateway = Server(
        'gateway',
        security_plugin='plain',
        passwords={'kiosk-7': 'jade'},
        proxy_to=back,
        proxy_domain='from outside',
    )
    address = gateway.bind('tcp://127.0.0.1:*')

    kiosk = Client(
        'gateway', security_plugin='plain', user_id='kiosk-7', password='jade'
    )

    @kiosk.register_rpc
    def progress(count):
        print('  progress:', count)

    kiosk.connect(address)
    async with back, gateway, kiosk:
        print(await kiosk.shop.order('postcard', 3))
        try:
            await kiosk.admin.shutdown()
        except ServiceNotFoundError as error:
            print(error)


async def main():
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, 'inside', stdout=asyncio.subprocess.PIPE
    )
    try:
        endpoint = (await process.stdout.readline()).decode().strip()
        await outside(endpoint)
    finally:
        process.terminate()
        await process.wait()


if __name__ == '__main__':
    asyncio.run(inside() if 'inside' in sys.argv else main())
