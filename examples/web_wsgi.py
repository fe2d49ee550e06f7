"""A WSGI application, served with threads; SyncClient makes the calls.

Run it: python web_wsgi.py; it starts hello_server.py as a process of its own.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from socketserver import ThreadingMixIn
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from pseud import NotSentError, SyncClient

# One for the process: threads share it, and forked workers may go on with it.
client = SyncClient('service', timeout=2)


def app(environ, start_response):
    name = environ['PATH_INFO'].rpartition('/')[2]
    try:
        status, text = '200 OK', client.hello(name)
    except NotSentError:
        status, text = '503 Service Unavailable', 'try again later'
    start_response(status, [('Content-Type', 'text/plain; charset=utf-8')])
    return [text.encode()]


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """A thread for each request."""


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


def fetch(port, name):
    with closing(HTTPConnection('127.0.0.1', port)) as browser:
        browser.request('GET', f'/hello/{name}')
        answer = browser.getresponse()
        return f'{answer.status} {answer.read().decode()}'


def main():
    service = subprocess.Popen(
        [
            sys.executable,
            Path(__file__).with_name('hello_server.py'),
            'tcp://127.0.0.1:*',
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with service, make_server('127.0.0.1', 0, app, ThreadingServer, Quiet) as web:
        client.connect(service.stdout.readline().split()[-1])  # listens at ...
        Thread(target=web.serve_forever).start()
        with ThreadPoolExecutor(3) as browsers:
            ports = [web.server_port] * 3
            for answer in browsers.map(fetch, ports, ['Ada', 'Grace', 'Barbara']):
                print(answer)
        web.shutdown()
        client.stop()
        service.terminate()


if __name__ == '__main__':
    main()
