"""What every peer shares: where to meet, what to measure, and three client styles.

A peer is a subclass of `SyncPeer`, `AsyncioPeer` or `GeventPeer` that says how to
serve, how to connect and how to make one call.  The style turns that into loads:

seq     one outstanding call at a time           -> latency of each call
pipe    WINDOW outstanding calls, one connection -> calls per second
fan     FAN connections, each calling in turn    -> calls per second
bulk1   1 MiB bytes there and back               -> calls per second
bulk16  16 MiB bytes there and back              -> calls per second
idle    IDLE connected clients that do nothing   -> server memory and CPU
"""

import asyncio
import gc
import json
import os
import resource
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import asdict, dataclass

NAME = 'Charly'
ANSWER = 'Hello Charly'
WINDOW = int(os.environ.get('BENCH_WINDOW', 200))
FAN = int(os.environ.get('BENCH_FAN', 50))
IDLE = int(os.environ.get('BENCH_IDLE', 1000))
MIB = 1 << 20
LOADS = ('seq', 'pipe', 'fan', 'bulk1', 'bulk16', 'idle')

clock = time.perf_counter


def greet(name):
    return 'Hello ' + name


# ------------------------------------------------------------------ where to meet


@dataclass
class Endpoint:
    transport: str
    host: str = '127.0.0.1'
    port: int = 0
    path: str = ''

    @property
    def zmq(self):
        if self.transport == 'ipc':
            return 'ipc://' + self.path
        return f'tcp://{self.host}:{self.port}'

    def dumps(self):
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text):
        return cls(**json.loads(text))

    @classmethod
    def fresh(cls, transport):
        if transport == 'ipc':
            return cls('ipc', path=os.path.join(tempfile.mkdtemp(prefix='bench-'), 's'))
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            return cls('tcp', port=probe.getsockname()[1])


# ------------------------------------------------------------------ what to measure


def own_cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def own_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def own_rss():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * resource.getpagesize()


class ServerProcess:
    """The server, seen from the client process that started it.

    Closing its stdin ends it, so it never outlives the client.
    """

    def __init__(self, argv):
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        if self.process.stdout.readline() != b'READY\n':
            raise RuntimeError('the server did not come up')

    def usage(self):
        self.process.stdin.write(b'usage\n')
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Bench:
    """One measurement: knows the server, the clock and the results so far."""

    def __init__(self, server, endpoint, seconds, warmup):
        self.server = server
        self.endpoint = endpoint
        self.seconds = seconds
        self.warmup = warmup
        self.results = {}

    def start(self):
        gc.collect()
        self.server_before = self.server.usage()
        self.client_cpu = own_cpu()
        self.client_faults = own_faults()
        self.began = clock()

    def stop(self, load, calls, latencies=None):
        seconds = clock() - self.began
        client_cpu = own_cpu() - self.client_cpu
        client_faults = own_faults() - self.client_faults
        server = self.server.usage()
        server_cpu = server['cpu'] - self.server_before['cpu']
        server_faults = server['faults'] - self.server_before['faults']
        result = {
            'calls': calls,
            'seconds': seconds,
            'rate': calls / seconds,
            'client_cpu_us': client_cpu / calls * 1e6,
            'server_cpu_us': server_cpu / calls * 1e6,
            'client_faults': client_faults / calls,
            'server_faults': server_faults / calls,
        }
        if latencies:
            latencies.sort()
            result['p50_us'] = latencies[len(latencies) // 2] * 1e6
            result['p99_us'] = latencies[len(latencies) * 99 // 100] * 1e6
        self.results[load] = result

    def payload(self, load):
        # random: a peer that compresses gains nothing, as with real blobs
        return os.urandom(int(load[4:]) * MIB)


# ------------------------------------------------------------------ styles


class Peer:
    name = None
    note = ''
    packages = ()
    transports = ('tcp',)  # what it can do
    default = ('tcp',)  # what a run without --peers measures
    loads = LOADS
    ceiling = False  # one of the raw figures that the others are compared with

    def serve(self, endpoint, ready):
        """Serve hello and echo; call ready() once bound; never return."""
        raise NotImplementedError

    def cleanup(self):
        """Server side, at the end: stop helpers such as a broker."""

    def usage(self):
        """Server side: CPU seconds and resident bytes, helpers included."""
        return {'cpu': own_cpu(), 'rss': own_rss(), 'faults': own_faults()}

    def prepare(self):
        """Client side, once, before the first connect."""

    def close(self, client):
        client.close()


class SyncPeer(Peer):
    """Blocking calls; many clients means many threads."""

    style = 'sync'

    def connect(self, endpoint):
        raise NotImplementedError

    def hello(self, client, name):
        raise NotImplementedError

    def echo(self, client, data):
        raise NotImplementedError

    def pipe(self, client, seconds):
        """Keep WINDOW calls under way for some seconds; return how many were done."""
        raise NotImplementedError

    def sleep(self, seconds):
        time.sleep(seconds)

    def run(self, bench, loads):
        self.prepare()
        for load in loads:
            getattr(self, 'load_' + load.rstrip('0123456789'))(bench, load)

    def first(self, bench):
        client = self.connect(bench.endpoint)
        answer = self.hello(client, NAME)
        assert answer == ANSWER, answer
        return client

    def load_seq(self, bench, load):
        client = self.first(bench)
        hello = self.hello

        def go(seconds):
            latencies = []
            now = clock()
            end = now + seconds
            while now < end:
                before = now
                hello(client, NAME)
                now = clock()
                latencies.append(now - before)
            return latencies

        go(bench.warmup)
        bench.start()
        latencies = go(bench.seconds)
        bench.stop(load, len(latencies), latencies)
        self.close(client)

    def load_pipe(self, bench, load):
        client = self.first(bench)
        self.pipe(client, bench.warmup)
        bench.start()
        calls = self.pipe(client, bench.seconds)
        bench.stop(load, calls)
        self.close(client)

    def load_fan(self, bench, load):
        # one thread does everything that its connection ever does: connect, warm up,
        # wait for the others, call; some peers tie a connection to its thread
        barrier = threading.Barrier(FAN + 1)
        counts = []
        end = []

        def one():
            try:
                client = self.first(bench)
                for _ in range(5):
                    self.hello(client, NAME)
                barrier.wait()  # all are connected
                barrier.wait()  # the clock runs
                calls = 0
                while clock() < end[0]:
                    self.hello(client, NAME)
                    calls += 1
                counts.append(calls)
                barrier.wait()  # all are done
                self.close(client)
            except BaseException:
                barrier.abort()
                raise

        threads = [threading.Thread(target=one, daemon=True) for _ in range(FAN)]
        for thread in threads:
            thread.start()
        barrier.wait(30)
        bench.start()
        end.append(clock() + bench.seconds)
        barrier.wait(30)
        barrier.wait(30)
        bench.stop(load, sum(counts))
        for thread in threads:
            thread.join()

    def load_bulk(self, bench, load):
        client = self.first(bench)
        data = bench.payload(load)
        assert self.echo(client, data) == data
        self.echo(client, data)
        calls = 0
        bench.start()
        end = clock() + bench.seconds
        while calls < 3 or clock() < end:
            self.echo(client, data)
            calls += 1
        bench.stop(load, calls)
        self.close(client)

    def load_idle(self, bench, load):
        clients = [self.first(bench)]
        self.sleep(0.3)
        before = bench.server.usage()
        clients += [self.first(bench) for _ in range(IDLE)]
        self.sleep(0.5)
        after = bench.server.usage()
        self.sleep(1)
        later = bench.server.usage()
        bench.results[load] = idle_result(before, after, later)


class GeventPeer(SyncPeer):
    """Calls that look blocking; many at once means many greenlets."""

    style = 'gevent'

    def sleep(self, seconds):
        import gevent

        gevent.sleep(seconds)

    def workers(self, clients, seconds):
        import gevent

        end = clock() + seconds
        hello = self.hello

        def worker(client):
            calls = 0
            while clock() < end:
                hello(client, NAME)
                calls += 1
            return calls

        tasks = [gevent.spawn(worker, client) for client in clients]
        gevent.joinall(tasks, raise_error=True)
        return sum(task.value for task in tasks)

    def pipe(self, client, seconds):
        return self.workers([client] * WINDOW, seconds)

    def load_fan(self, bench, load):
        clients = [self.first(bench) for _ in range(FAN)]
        self.workers(clients, bench.warmup)
        bench.start()
        calls = self.workers(clients, bench.seconds)
        bench.stop(load, calls)
        for client in clients:
            self.close(client)


class AsyncioPeer(Peer):
    """Awaited calls; many at once means many tasks.  All methods are coroutines."""

    style = 'asyncio'
    uvloop = False

    def run_async(self, main):
        if self.uvloop:
            import uvloop

            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(main)
        return asyncio.run(main)

    def serve(self, endpoint, ready):
        self.run_async(self.serve_async(endpoint, ready))

    async def serve_async(self, endpoint, ready):
        raise NotImplementedError

    def run(self, bench, loads):
        async def main():
            self.prepare()
            for load in loads:
                await getattr(self, 'load_' + load.rstrip('0123456789'))(bench, load)

        self.run_async(main())

    async def close(self, client):
        client.close()

    async def first(self, bench):
        client = await self.connect(bench.endpoint)
        answer = await self.hello(client, NAME)
        assert answer == ANSWER, answer
        return client

    async def several(self, bench, count):
        clients = []
        while len(clients) < count:  # by 50, or a server's backlog may overflow
            batch = [self.first(bench) for _ in range(min(50, count - len(clients)))]
            clients += await asyncio.gather(*batch)
        return clients

    async def workers(self, clients, seconds):
        end = clock() + seconds
        hello = self.hello

        async def worker(client):
            calls = 0
            while clock() < end:
                await hello(client, NAME)
                calls += 1
            return calls

        return sum(await asyncio.gather(*[worker(client) for client in clients]))

    async def pipe(self, client, seconds):
        return await self.workers([client] * WINDOW, seconds)

    async def load_seq(self, bench, load):
        client = await self.first(bench)
        hello = self.hello

        async def go(seconds):
            latencies = []
            now = clock()
            end = now + seconds
            while now < end:
                before = now
                await hello(client, NAME)
                now = clock()
                latencies.append(now - before)
            return latencies

        await go(bench.warmup)
        bench.start()
        latencies = await go(bench.seconds)
        bench.stop(load, len(latencies), latencies)
        await self.close(client)

    async def load_pipe(self, bench, load):
        client = await self.first(bench)
        await self.pipe(client, bench.warmup)
        bench.start()
        calls = await self.pipe(client, bench.seconds)
        bench.stop(load, calls)
        await self.close(client)

    async def load_fan(self, bench, load):
        clients = await self.several(bench, FAN)
        await self.workers(clients, bench.warmup)
        bench.start()
        calls = await self.workers(clients, bench.seconds)
        bench.stop(load, calls)
        for client in clients:
            await self.close(client)

    async def load_bulk(self, bench, load):
        client = await self.first(bench)
        data = bench.payload(load)
        assert await self.echo(client, data) == data
        await self.echo(client, data)
        calls = 0
        bench.start()
        end = clock() + bench.seconds
        while calls < 3 or clock() < end:
            await self.echo(client, data)
            calls += 1
        bench.stop(load, calls)
        await self.close(client)

    async def load_idle(self, bench, load):
        clients = [await self.first(bench)]
        await asyncio.sleep(0.3)
        before = bench.server.usage()
        clients += await self.several(bench, IDLE)
        await asyncio.sleep(0.5)
        after = bench.server.usage()
        await asyncio.sleep(1)
        later = bench.server.usage()
        bench.results[load] = idle_result(before, after, later)


def idle_result(before, after, later):
    return {
        'clients': IDLE,
        'bytes_per_client': (after['rss'] - before['rss']) / IDLE,
        'server_rss': after['rss'],
        'server_cpu_ms_per_s': (later['cpu'] - after['cpu']) * 1e3,
    }
