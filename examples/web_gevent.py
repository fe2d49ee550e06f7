"""A WSGI application on gevent's web server; a request waits in its greenlet.

Run it: python web_gevent.py
"""

from gevent import monkey

monkey.patch_all()  # for the standard library: pseud does not need it

import os  # noqa: E402
from contextlib import closing  # noqa: E402
from http.client import HTTPConnection  # noqa: E402

os.environ['NO_TORNADO'] = '1'  # take gevent, even if tornado is installed

import gevent  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402

from pseud import Client, NotSentError, Server  # noqa: E402

client = Client('service', timeout=2)  # one for the process


def app(environ, start_response):
    name = environ['PATH_INFO'].rpartition('/')[2]
    try:
        status, text = '200 OK', client.hello(name).get()
    except NotSentError:
        status, text = '503 Service Unavailable', 'try again later'
    start_response(status, [('Content-Type', 'text/plain; charset=utf-8')])
    return [text.encode()]


def fetch(port, name):
    with closing(HTTPConnection('127.0.0.1', port)) as browser:
        browser.request('GET', f'/hello/{name}')
        answer = browser.getresponse()
        return f'{answer.status} {answer.read().decode()}'


def main():
    # The service; it could as well be a process on another machine.
    server = Server('service')
    server.register_rpc('Hello {}'.format, name='hello')
    client.connect(server.bind('tcp://127.0.0.1:*'))

    web = WSGIServer(('127.0.0.1', 0), app, log=None)
    web.start()
    browsers = [
        gevent.spawn(fetch, web.server_port, name)
        for name in ('Ada', 'Grace', 'Barbara')
    ]
    for browser in browsers:
        print(browser.get())

    web.stop()
    client.stop()
    server.stop()


if __name__ == '__main__':
    main()
