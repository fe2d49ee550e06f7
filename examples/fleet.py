"""A fleet: agents connect out to a server, and the server calls them.

Run it: python fleet.py; it starts three agents as processes of their own.  They listen
nowhere, and one of them dies while the server calls all three.
"""

import asyncio
import os
import sys

from pseud import Client, NotSentError, PeerLostError, Server

PASSWORDS = {'press-1': 'opal', 'press-2': 'jade', 'press-3': 'onyx'}


async def agent(name, endpoint):
    """What runs on the machine behind NAT."""
    client = Client(
        'fleet', security_plugin='plain', user_id=name, password=PASSWORDS[name]
    )

    @client.register_rpc
    def status():
        return {'name': name, 'pid': os.getpid(), 'paper': 500}

    @client.register_rpc(name='job.print')
    async def print_job(pages):
        if name == 'press-2':
            os._exit(1)  # somebody pulls the plug
        await asyncio.sleep(0.01 * pages)
        return f'{name} printed {pages} pages'

    client.connect(endpoint)
    await client.serve_forever()


async def serve():
    joined = asyncio.Queue()
    server = Server('fleet', security_plugin='plain', passwords=PASSWORDS)

    server.on_join(joined.put_nowait)

    @server.on_leave
    def left(peer, reason):
        print(peer.user_id, 'has left')

    async with server:
        endpoint = server.bind('tcp://127.0.0.1:*')  # any free port
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable, __file__, name, endpoint
            )
            for name in PASSWORDS
        ]
        try:
            for _ in PASSWORDS:
                peer = await joined.get()
                status = await server.send_to(peer).status()
                print(peer.user_id, 'has joined, with', status['paper'], 'pages')

            # All at once; each call has an outcome of its own.
            outcomes = await server.send_to_many(PASSWORDS).job.print(pages=20)
            for name, outcome in outcomes.items():
                if isinstance(outcome, PeerLostError):
                    print(name, 'was lost; its job may have been printed')
                elif isinstance(outcome, NotSentError):
                    print(name, 'is not there; its job was not printed')
                else:
                    print(outcome)
        finally:
            for process in processes:
                if process.returncode is None:
                    process.terminate()
                await process.wait()


if __name__ == '__main__':
    if len(sys.argv) > 1:
        asyncio.run(agent(*sys.argv[1:]))
    else:
        asyncio.run(serve())
