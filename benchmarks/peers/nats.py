import asyncio
import os
import shutil
import signal
import subprocess
import tempfile

import msgpack
import nats

from harness import AsyncioPeer, greet


def tree_cpu(pid):
    nanoseconds = 0
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/schedstat') as file:
            nanoseconds += int(file.read().split()[0])
    return nanoseconds / 1e9


def rss(pid):
    with open(f'/proc/{pid}/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGESIZE')


class Nats(AsyncioPeer):
    name = 'nats'
    note = 'request/reply through a nats-server; its CPU and memory count as server'
    packages = ('nats-py', 'msgpack')

    async def serve_async(self, endpoint, ready):
        binary = os.environ.get('NATS_SERVER') or shutil.which(
            'nats-server', path=os.environ['PATH'] + ':/usr/sbin'
        )
        config = tempfile.NamedTemporaryFile('w', suffix='.conf', delete=False)
        config.write('max_payload: 33554432\nmax_pending: 268435456\n')
        config.close()
        self.broker = subprocess.Popen(
            [binary, '-a', endpoint.host, '-p', str(endpoint.port), '-c', config.name],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        client = await self.open(endpoint)

        async def hello(message):
            await message.respond(msgpack.packb(greet(*msgpack.unpackb(message.data))))

        async def echo(message):
            await message.respond(message.data)

        await client.subscribe('hello', cb=hello)
        await client.subscribe('echo', cb=echo)
        await client.flush()
        ready()
        await asyncio.Event().wait()

    def usage(self):
        pid = self.broker.pid
        own = super().usage()
        return {
            'cpu': own['cpu'] + tree_cpu(pid),
            'rss': own['rss'] + rss(pid),
            'faults': own['faults'],
        }

    def cleanup(self):
        self.broker.send_signal(signal.SIGTERM)
        try:
            self.broker.wait(3)
        except subprocess.TimeoutExpired:
            self.broker.kill()

    async def open(self, endpoint):
        url = f'nats://{endpoint.host}:{endpoint.port}'
        for _ in range(100):
            try:
                return await nats.connect(
                    url,
                    allow_reconnect=False,
                    pending_size=64 << 20,
                    error_cb=self.ignore,
                )
            except (OSError, nats.errors.Error):
                await asyncio.sleep(0.05)
        raise RuntimeError('nats-server did not come up')

    async def ignore(self, error):
        pass

    async def connect(self, endpoint):
        return await self.open(endpoint)

    async def close(self, client):
        await client.close()

    async def hello(self, client, name):
        answer = await client.request('hello', msgpack.packb([name]), timeout=30)
        return msgpack.unpackb(answer.data)

    async def echo(self, client, data):
        return (await client.request('echo', data, timeout=30)).data


PEERS = [Nats]
