"""The ways to register a function.

Run it: python registering.py
"""

import asyncio
import functools

from tornado import gen

from pseud import Client, Server, ServiceNotFoundError
from pseud.utils import create_local_registry, register_rpc


@register_rpc  # for every client and server of this process
def version():
    return '1.4'


# A registry to share between the servers that are given it.
shop = create_local_registry('shop')


@register_rpc(name='shop.price', registry=shop)
def price(article):
    return {'apple': 3}[article]


class Counter:
    def __init__(self):
        self.value = 0

    def add(self, number=1):
        self.value += number
        return self.value


def register_more(server):
    @server.register_rpc  # for the peers of this server alone
    def plain(text):
        return text.upper()

    @server.register_rpc(name='text.reverse')  # a dotted name
    async def reverse(text):
        await asyncio.sleep(0)
        return text[::-1]

    @server.register_rpc
    @gen.coroutine
    def old_style(text):
        yield gen.sleep(0)
        return text.title()

    server.register_rpc(Counter().add, name='counter.add')  # a bound method
    server.register_rpc(functools.partial(pow, 2), name='power_of_two')
    server.register_rpc(sorted)  # any callable that has a name


async def main():
    async with Server('service', registry=shop) as server, Client('service') as client:
        register_more(server)
        client.connect(server.bind('tcp://127.0.0.1:*'))

        print(await client.version())
        print(await client.shop.price('apple'))
        print(await client.plain('tea'))
        print(await client.text.reverse('tea'))
        print(await client.old_style('tea'))
        print(await client.counter.add(), await client.counter.add(number=5))
        print(await client.power_of_two(10))
        print(await client.sorted([3, 1, 2], reverse=True))
        print(await client.call('text.reverse', 'eat'))  # a name known at run time
        try:
            await client.no_such_function()
        except ServiceNotFoundError as error:
            print(error)


if __name__ == '__main__':
    asyncio.run(main())
