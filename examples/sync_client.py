"""What a SyncClient does: calls, timeouts, threads, forks, a server that goes away.

Run it: python sync_client.py; it starts its server as a process of its own.
"""

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from pseud import NotSentError, PeerLostError, Server, SyncClient, TimeoutError


def serve():
    server = Server('service')

    @server.register_rpc
    def hello(name):
        return f'Hello {name}'

    @server.register_rpc
    async def nap(seconds):
        await asyncio.sleep(seconds)
        return seconds

    print(server.bind('tcp://127.0.0.1:*'), flush=True)  # any free port
    server.serve_forever()


def main():
    process = subprocess.Popen(
        [sys.executable, __file__, 'serve'], stdout=subprocess.PIPE, text=True
    )
    with process, SyncClient('service') as client:
        client.connect(process.stdout.readline().strip())
        print(client.hello('Charly'))

        # A timeout gives up this call, and the connection it went over. Whether the
        # function ran is not known; pseud does not try again.
        try:
            client.with_options(timeout=0.1).nap(60)
        except TimeoutError as error:
            print('TimeoutError:', str(error).partition(' from ')[0])
        print(client.hello('Charly, again'))

        # Threads share a client: each call that is under way has its own connection.
        with ThreadPoolExecutor(4) as threads:
            print(list(threads.map(client.nap, [0.1, 0.1, 0.1, 0.1])))

        # A forked child, such as a worker of a pre-fork web server, makes its own.
        pid = os.fork()
        if not pid:
            print(client.hello('child'), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        print(client.hello('parent'))

        # The server goes away, and the error says what is certain.
        process.terminate()
        process.wait()
        try:
            client.with_options(timeout=0.2).hello('nobody')
        except NotSentError as error:
            print('it did not run:', str(error).partition(':')[0])
        except PeerLostError:  # nobody had noticed yet
            print('it may have run')


if __name__ == '__main__':
    serve() if sys.argv[1:] == ['serve'] else main()
