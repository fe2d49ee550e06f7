"""Who calls, and what they may call: passwords, user ids, domains with predicates.

Run it: python identity.py
"""

import asyncio

from zope.interface import implementer

from pseud import Client, Server, ServiceNotFoundError, UnauthorizedError
from pseud.interfaces import IPredicate, IRPCCallable
from pseud.plugins import adapter
from pseud.utils import register_predicate

ADMINS = {'alice'}


@register_predicate
@implementer(IPredicate)
@adapter(IRPCCallable)
class OnlyAdmins:
    """Decides who may call the functions of the domain 'admin'."""

    name = 'admin'

    def __init__(self, function):
        self.function = function  # has .name, .domain and .func

    def test(self, user_id):
        return user_id in ADMINS


def make_server():
    server = Server(
        'service',
        security_plugin='plain',
        passwords={'alice': 'wonderland', 'bob': 'builder'},
    )

    @server.register_rpc(with_identity=True)
    def who_am_i(user_id):  # what the client is called with comes after
        return user_id

    @server.register_rpc(domain='admin')
    def shut_everything():
        return 'done'

    # A function of the same name for everybody else; restricted domains come first.
    @server.register_rpc(name='menu', domain='admin')
    def full_menu():
        return ['who_am_i', 'shut_everything']

    @server.register_rpc
    def menu():
        return ['who_am_i']

    return server


async def try_it(user_id, password, endpoint):
    async with Client(
        'service', security_plugin='plain', user_id=user_id, password=password
    ) as client:
        client.connect(endpoint)
        try:
            print('I am', await client.who_am_i(), 'and may', await client.menu())
            print(await client.shut_everything())
        except ServiceNotFoundError as error:
            print(error)
        except UnauthorizedError:
            print(user_id, 'was refused')


async def main():
    async with make_server() as server:
        endpoint = server.bind('tcp://127.0.0.1:*')
        await try_it('alice', 'wonderland', endpoint)
        await try_it('bob', 'builder', endpoint)
        await try_it('bob', 'guess', endpoint)


if __name__ == '__main__':
    asyncio.run(main())
