"""An encrypted fleet: agents known by their keys, one of which is revoked.

Run it: python encrypted_fleet.py
"""

import asyncio
import contextlib
import tempfile
from pathlib import Path

from pseud import Client, Server, UnauthorizedError
from pseud.keys import make_keys

NAMES = ['press-1', 'press-2', 'press-3']


def make_all_keys(home):
    """Makes all keys in one place; elsewhere, each secret one stays where it was made."""
    users = home / 'users'  # at the server: whose certificate is here may connect
    users.mkdir()
    make_keys(home, 'service')
    for name in NAMES:
        public, _ = make_keys(home, name)
        Path(public).rename(users / f'{name}.key')  # NAME.key_secret stays
    return users


def make_server(home, users):
    server = Server(
        'fleet',
        security_plugin='trusted_curve',
        secret_key=home / 'service.key_secret',
        authorized_keys=users,
    )
    server.register_rpc(lambda user_id: user_id, name='who_am_i', with_identity=True)
    return server


def make_agent(home, name):
    """What runs on the machine behind NAT."""
    agent = Client(
        'fleet',
        security_plugin='trusted_curve',
        secret_key=home / f'{name}.key_secret',
        peer_public_key=home / 'service.key',  # it talks to no other server
    )
    agent.register_rpc(lambda pages: f'{name} printed {pages} pages', name='print')
    return agent


async def main(home):
    users = make_all_keys(home)
    joined, left, cut_off = asyncio.Queue(), asyncio.Queue(), asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(make_server(home, users))
        server.on_join(joined.put_nowait)
        server.on_leave(lambda peer, reason: left.put_nowait((peer, reason)))
        endpoint = server.bind('tcp://127.0.0.1:*')
        agents = {}
        for name in NAMES:
            agents[name] = await stack.enter_async_context(make_agent(home, name))
            agents[name].connect(endpoint)
            peer = await joined.get()
            print(peer.user_id, 'has joined')  # its key says so, not the client
        outcomes = await server.send_to_many(NAMES).print(pages=20)
        print(*outcomes.values(), sep='\n')

        # A key was stolen, say. Its connection ends, the others stay.
        agents['press-2'].on_leave(lambda server, reason: cut_off.set())
        (users / 'press-2.key').unlink()
        peer, reason = await left.get()
        print(peer.user_id, 'has left:', reason)
        await cut_off.wait()
        for name, agent in agents.items():
            try:
                print('I am', await agent.who_am_i())
            except UnauthorizedError:
                print(name, 'was refused')
        users_left = sorted(peer.user_id for peer in server.peers)
        outcomes = await server.send_to_many(users_left).print(pages=5)
        print(*outcomes.values(), sep='\n')


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(Path(directory)))
