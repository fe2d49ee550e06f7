"""Exceptions of one's own, their causes, and several at once.

Run it: python own_exceptions.py
"""

import asyncio

from pseud import Client, RemoteError, Server, register_exception


# In a module that both programs import: each registers the class.
@register_exception(name='shop.OutOfStock')
class OutOfStock(Exception):
    def __init__(self, article, *, days):
        super().__init__(f'no {article} for {days} days')
        self.article = article
        self.days = days


class TillStuck(Exception):
    """Nobody registered this one."""


def order(article):
    try:
        {'tea': 3}[article]
    except KeyError as error:
        raise OutOfStock(article, days=2) from error


def pay():
    error = TillStuck('drawer', 7)
    error.add_note('it was like that when I came')
    raise error


def deliver():
    raise ExceptionGroup(
        'not delivered', [ValueError('no street'), OutOfStock('milk', days=1)]
    )


async def main():
    async with Server('shop') as server, Client('shop') as client:
        for function in (order, pay, deliver):
            server.register_rpc(function)
        client.connect(server.bind('tcp://127.0.0.1:*'))

        try:
            await client.order('milk')
        except OutOfStock as error:
            print(error.article, 'in', error.days, 'days, as of', repr(error.__cause__))

        try:
            await client.pay()
        except RemoteError as error:
            print(error.type_name, error.args, error.__notes__)

        try:
            await client.deliver()
        except* OutOfStock as group:
            print('later:', [error.article for error in group.exceptions])
        except* ValueError as group:
            print('never:', group.exceptions)


if __name__ == '__main__':
    asyncio.run(main())
