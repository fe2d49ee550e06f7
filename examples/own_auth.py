"""An authentication plugin of one's own: user ids with a role, kept in a file or table.

Run it: python own_auth.py
"""

import asyncio

from zope.interface import implementer

from pseud import Client, Server, ServiceNotFoundError, UnauthorizedError
from pseud.auth import PlainServer
from pseud.interfaces import IAuthenticationBackend, IPredicate, IRPCCallable, IServer
from pseud.plugins import adapter
from pseud.utils import register_auth_backend, register_predicate

USERS = {'alice': ('wonderland', 'nurse'), 'bob': ('builder', 'visitor')}


@register_auth_backend
@implementer(IAuthenticationBackend)
@adapter(IServer)
class TableOfUsers(PlainServer):
    """Passwords and roles from a table; clients use 'plain'."""

    name = 'table_of_users'

    def __init__(self, rpc):
        self.settings = rpc.settings

    def authenticate(self, credentials):  # runs in a thread of its own: it may block
        password, _ = USERS.get(credentials.username, (None, None))
        if password is None or password != credentials.password:
            raise UnauthorizedError('wrong user id or password')
        return credentials.username

    def get_predicate_arguments(self, user_id):
        return {'role': USERS[user_id][1]}


@register_predicate
@implementer(IPredicate)
@adapter(IRPCCallable)
class Ward:
    name = 'ward'

    def __init__(self, function):
        self.function = function

    def test(self, role):
        return role == 'nurse'


async def main():
    async with Server('ward', security_plugin='table_of_users') as server:
        server.register_rpc(lambda: 36.8, name='temperature', domain='ward')
        endpoint = server.bind('tcp://127.0.0.1:*')
        for user_id, (password, role) in USERS.items():
            client = Client(
                'ward', security_plugin='plain', user_id=user_id, password=password
            )
            client.connect(endpoint)
            try:
                print(role, 'reads', await client.temperature())
            except ServiceNotFoundError:
                print(role, 'may not read')
            await client.stop()


if __name__ == '__main__':
    asyncio.run(main())
