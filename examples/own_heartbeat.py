"""A heartbeat plugin of one's own: a register of who was seen, and an end for who hangs.

Run it: python own_heartbeat.py
"""

import asyncio
import contextlib
import os
import pathlib
import sqlite3
import tempfile
import threading
import time

from zope.interface import implementer

from pseud import Client, PeerLostError, Server
from pseud.heartbeat import HeartbeatBackend
from pseud.interfaces import IHeartbeatBackend, IServer
from pseud.plugins import adapter
from pseud.utils import register_heartbeat_backend

PATH = pathlib.Path(tempfile.gettempdir(), f'register-{os.getpid()}.db')


@register_heartbeat_backend
@implementer(IHeartbeatBackend)
@adapter(IServer)
class Register(HeartbeatBackend):
    """Notes in a database who was seen when; expels who is silent for long."""

    name = 'register'
    interval = 0.1  # seconds; in earnest some more
    patience = 0.2

    def __init__(self, server):
        super().__init__(server)
        self.server = server

    def configure(self):
        execute('CREATE TABLE seen (name PRIMARY KEY, at)')

    async def handle_heartbeat(self, user_id, peer):  # a disk may take its time
        row = (user_id, time.time())
        await asyncio.to_thread(execute, 'REPLACE INTO seen VALUES (?, ?)', row)

    def handle_timeout(self, user_id, peer):
        if peer.last_seen > 1:
            self.server.expel(peer, 'it hangs')


def execute(statement, values=()):
    with contextlib.closing(sqlite3.connect(PATH)) as database, database:
        return database.execute(statement, values).fetchall()


def agent(endpoint, name, finished):
    """In earnest a program of its own, elsewhere."""

    async def run():
        client = Client('hq', security_plugin='plain', user_id=name, password='')
        client.register_rpc(time.sleep, name='compute')  # keeps its loop busy
        async with client:
            client.connect(endpoint)
            await asyncio.to_thread(finished.wait)

    asyncio.run(run())


async def main():
    here, finished = asyncio.Queue(), threading.Event()
    async with Server(
        'hq', security_plugin='trusted_peer', heartbeat_plugin='register'
    ) as server:
        server.on_join(here.put_nowait)
        endpoint = server.bind('tcp://127.0.0.1:*')
        agents = [
            threading.Thread(target=agent, args=(endpoint, name, finished))
            for name in ('alice', 'bob')
        ]
        for each in agents:
            each.start()
            await here.get()

        @server.on_unresponsive
        def report(peer):
            print(peer.user_id, 'does not answer')

        try:
            await server.send_to('bob').compute(2)
        except PeerLostError as error:
            print('bob is out:', error)
        print('still here:', [peer.user_id for peer in server.peers])
        print('seen:', sorted(name for name, at in execute('SELECT * FROM seen')))
        finished.set()
    for each in agents:
        each.join()


if __name__ == '__main__':
    try:
        asyncio.run(main())
    finally:
        PATH.unlink()
