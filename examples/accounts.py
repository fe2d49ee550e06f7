"""A file of hashed passwords, changed while a server uses it.

Run it: python accounts.py
"""

import asyncio
import pathlib
import tempfile

from pseud import Client, Server, UnauthorizedError
from pseud.passwords import remove_user, set_password


async def log_in(endpoint, user_id, password):
    async with Client(
        'service', security_plugin='plain', user_id=user_id, password=password
    ) as client:
        client.connect(endpoint)
        try:
            print(await client.greet())
        except UnauthorizedError:
            print(user_id, 'was refused')


async def main(path):
    set_password(path, 'alice', 'wonderland')
    async with Server('service', security_plugin='plain', passwords=path) as server:
        server.register_rpc(
            lambda user_id: f'Hello {user_id}', name='greet', with_identity=True
        )
        endpoint = server.bind('tcp://127.0.0.1:*')
        await log_in(endpoint, 'alice', 'wonderland')

        set_password(path, 'alice', 'looking-glass')
        await log_in(endpoint, 'alice', 'wonderland')
        await log_in(endpoint, 'alice', 'looking-glass')

        remove_user(path, 'alice')
        await log_in(endpoint, 'alice', 'looking-glass')


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(pathlib.Path(directory, 'users.txt')))
