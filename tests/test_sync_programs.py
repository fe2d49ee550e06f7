"""`SyncClient` in programs of its own: forks, Ctrl-C, WSGI, and servers that die."""

import collections
import contextlib
import itertools
import signal
import socketserver
import threading
import urllib.request
import wsgiref.simple_server
from concurrent.futures import ThreadPoolExecutor

import pytest
from backends import PATIENCE
from service import Service

import pseud
from pseud import SyncClient


@pytest.fixture
def start():
    """Starts servers; they are killed at the end."""
    pytest.importorskip('tornado')
    with contextlib.ExitStack() as stack:

        def start(*args, **settings):
            return stack.enter_context(contextlib.closing(Service(*args, **settings)))

        yield start


# ---------------------------------------------------------------- servers that die


def test_killed_and_restarted_during_calls(start, tmp_path):
    """What failed says the truth: each run has left a line in a file."""
    runs = tmp_path / 'runs'
    server = start(runs=runs)
    address = server.address
    outcomes = {}
    numbers = itertools.count()
    answered, unsent, over = (threading.Event() for _ in range(3))

    def calls(client):
        hurried = client.with_options(timeout=0.2)
        while not over.is_set():
            key = str(next(numbers))
            try:
                outcomes[key] = hurried.run(key)
            except pseud.PseudError as error:
                outcomes[key] = error
                if isinstance(error, pseud.NotSentError):
                    unsent.set()
            else:
                answered.set()

    with SyncClient('service') as client, ThreadPoolExecutor(4) as threads:
        client.connect(address)
        working = [threads.submit(calls, client) for _ in range(4)]
        try:
            for _ in range(3):
                answered.clear()
                assert answered.wait(PATIENCE)
                server.kill()
                unsent.clear()
                assert unsent.wait(PATIENCE)
                server = start(address=address, runs=runs)
            assert client.with_options(timeout=PATIENCE).same('end') == 'end'
        finally:
            over.set()
        for thread in working:
            thread.result(PATIENCE)
    count = collections.Counter(runs.read_text().split())
    assert set(count) <= set(outcomes)
    for key, outcome in outcomes.items():
        if isinstance(outcome, pseud.NotSentError):
            assert count[key] == 0, outcome
        elif isinstance(outcome, str):
            assert (outcome, count[key]) == (key, 1)
        else:
            assert type(outcome) in (pseud.PeerLostError, pseud.TimeoutError)
            assert count[key] <= 1, outcome


def test_killed_between_and_during_calls(start, tmp_path):
    runs = tmp_path / 'runs'
    server = start(runs=runs)
    with SyncClient('service', timeout=PATIENCE) as client:
        client.connect(server.address)
        assert client.pid() == server.process.pid
        with ThreadPoolExecutor(1) as thread:
            call = thread.submit(client.with_options(timeout=None).wait)
            assert server.line() == 'waiting'
            server.kill()
            with pytest.raises(pseud.PeerLostError, match='may have run'):
                call.result(PATIENCE)
        with pytest.raises(pseud.NotSentTimeoutError, match='did not run'):
            client.with_options(timeout=0.05).run('never')
        again = start(address=server.address, runs=runs)
        assert client.run('once') == 'once'
        assert client.pid() == again.process.pid
        again.kill()
        last = start(address=server.address, runs=runs)
        # it may take the loss for granted only when it has noticed
        with contextlib.suppress(pseud.PeerLostError):
            assert client.run('perhaps') == 'perhaps'
        assert client.pid() == last.process.pid
    assert runs.read_text().split() in (['once'], ['once', 'perhaps'])


# ---------------------------------------------------------------- forks

PREFORK = """
import os, sys, threading, traceback, warnings
warnings.simplefilter('ignore', DeprecationWarning)  # of forks beside ØMQ's threads
from pseud import SyncClient

client = SyncClient('service', timeout=30)
client.connect(sys.argv[1])
say(client.same('before'), client.peers())
BUSY
read, write = os.pipe()
children = []
for number in range(4):
    child = os.fork()
    if not child:
        # the parent's sockets, which nobody may close here
        warnings.simplefilter('ignore', ResourceWarning)
        status = 1
        try:
            def calls(part):
                for n in range(50):
                    value = [os.getpid(), part, n, 'x' * n * 50]
                    assert client.same(value) == value
            threads = [threading.Thread(target=calls, args=(p,)) for p in range(3)]
            for thread in threads:
                thread.start()
            calls('main')
            for thread in threads:
                thread.join()
            os.write(write, b'.')
            client.close()
            status = 0
        except BaseException:
            traceback.print_exc()
        if number % 2:
            os._exit(status)
        sys.exit(status)
    children.append(child)
for n in range(50):
    assert client.same(['parent', n]) == ['parent', n]
for child in children:
    assert os.waitpid(child, 0)[1] == 0
assert len(os.read(read, 99)) == 4
say(client.same('after'))
DONE
client.close()
say('end')
"""

BUSY = """
answers = []
busy = threading.Thread(target=lambda: answers.append(client.meet(2)))
busy.start()
while client.peers() < 2:
    pass
"""

DONE = """
client.meet(2)
busy.join()
say(*answers)
"""


def run(program, source, *args):
    """Start a program with arguments."""
    return program(f'sys.argv[1:] = {list(args)!r}\n' + source)


def test_forked_workers(start, program):
    server = start()
    source = PREFORK.replace('BUSY', '').replace('DONE', '')
    workers = run(program, source, server.address)
    assert workers.rest() == ['before 1', 'after', 'end']
    assert workers.wait() == 0, workers.stderr
    assert workers.stderr == ''


def test_forked_while_a_thread_calls(start, program):
    server = start()
    source = PREFORK.replace('BUSY', BUSY).replace('DONE', DONE)
    workers = run(program, source, server.address)
    assert workers.rest() == ['before 1', 'after', '2', 'end']
    assert workers.wait() == 0, workers.stderr


POOL = """
import multiprocessing, sys, warnings
warnings.simplefilter('ignore', DeprecationWarning)
from pseud import SyncClient

client = SyncClient('service', timeout=30)
client.connect(sys.argv[1])

def work(number):
    return client.same(number)

assert work('parent') == 'parent'
with multiprocessing.get_context('fork').Pool(4) as pool:
    results = pool.map_async(work, range(100), chunksize=1)
    assert work('parent') == 'parent'
    assert results.get(30) == list(range(100))
    pool.close()
    pool.join()
say(client.same('end'))
client.close()
"""


def test_multiprocessing(start, program):
    workers = run(program, POOL, start().address)
    assert workers.rest() == ['end']
    assert workers.wait() == 0, workers.stderr
    assert workers.stderr == ''


# ---------------------------------------------------------------- Ctrl-C, the end

INTERRUPTED = """
import sys
from pseud import SyncClient

with SyncClient('service', timeout=None) as client:
    client.connect(sys.argv[1])
    for number in range(3):
        try:
            say('calls')
            client.wait()
        except KeyboardInterrupt:
            say('interrupted')
            say(client.with_options(timeout=30).same(number))
"""


def test_ctrl_c_during_a_call(start, program):
    server = start()
    client = run(program, INTERRUPTED, server.address)
    for number in range(3):
        assert client.line() == 'calls'
        assert server.line() == 'waiting'
        client.signal(signal.SIGINT)
        assert client.line() == 'interrupted'
        assert client.line() == str(number)
    assert client.rest() == []
    assert client.wait() == 0, client.stderr


WAITING = """
import sys
from pseud import SyncClient

client = SyncClient('service', timeout=None)
client.connect(sys.argv[1])
try:
    say('calls')
    client.same(1)
except KeyboardInterrupt:
    say('interrupted')
say(input())
say(client.same(2))
client.close()
"""


def test_ctrl_c_while_there_is_no_server(start, program):
    server = start()
    server.kill()
    client = run(program, WAITING, server.address)
    assert client.line() == 'calls'
    client.signal(signal.SIGINT)
    assert client.line() == 'interrupted'
    start(address=server.address)
    client.tell('go on')
    assert client.rest() == ['go on', '2']
    assert client.wait() == 0, client.stderr


FORGETFUL = """
import sys, threading
from pseud import SyncClient

client = SyncClient('service', timeout=None)
client.connect(sys.argv[1])
say(client.same(1))
threading.Thread(target=client.wait, daemon=True).start()
assert input()
say('end')
"""


def test_a_program_ends_that_never_closed_it(start, program):
    server = start()
    client = run(program, FORGETFUL, server.address)
    assert server.line() == 'waiting'
    client.tell('end')
    assert client.rest() == ['1', 'end']
    assert client.wait() == 0, client.stderr


# ---------------------------------------------------------------- WSGI


class ThreadedServer(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = False
    request_queue_size = 64


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *args):
        pass


def test_wsgi_with_threads(start):
    service = start()
    client = SyncClient('service', timeout=PATIENCE)
    client.connect(service.address)
    together = 8

    def app(environ, start_response):
        path = environ['PATH_INFO']
        try:
            if path == '/meet':
                body = str(client.meet(together))
            elif path == '/fail':
                body = client.fail('it does')
            else:
                body = client.same(path)
        except ValueError as error:
            start_response('500 Oh', [('Content-Type', 'text/plain')])
            return [str(error).encode()]
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return [body.encode()]

    make = wsgiref.simple_server.make_server
    with make('127.0.0.1', 0, app, ThreadedServer, Quiet) as web:
        serving = threading.Thread(target=web.serve_forever, args=(0.02,))
        serving.start()
        try:
            # not through a proxy that the environment names
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

            def get(path):
                url = f'http://127.0.0.1:{web.server_port}{path}'
                with opener.open(url, timeout=PATIENCE) as answer:
                    return answer.read().decode()

            with ThreadPoolExecutor(16) as browsers:
                # answered only if that many calls are under way at once
                met = browsers.map(get, ['/meet'] * together)
                assert list(met) == [str(together)] * together
                paths = [f'/page/{number}' for number in range(100)]
                assert list(browsers.map(get, paths)) == paths
            with pytest.raises(urllib.error.HTTPError) as caught:
                get('/fail')
            with caught.value as answer:
                assert answer.read() == b'it does'
            assert client.peers() <= 16
        finally:
            web.shutdown()
            serving.join(PATIENCE)
            client.close()
