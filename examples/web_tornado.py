"""A tornado web application; its handlers await calls.

Run it: python web_tornado.py
"""

import asyncio

from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from pseud import Client, NotSentError, Server, TimeoutError


class Hello(RequestHandler):
    async def get(self, name):
        client = self.settings['service']
        try:
            self.write(await client.with_options(timeout=0.5).hello(name))
        except NotSentError:  # nothing happened: somebody else may try again
            self.set_status(503)
        except TimeoutError:
            self.set_status(504)


async def main():
    # The service; it could as well be a process on another machine.
    server = Server('service')
    server.register_rpc('Hello {}'.format, name='hello')
    endpoint = server.bind('tcp://127.0.0.1:*')

    # One client for the application, on the loop that tornado uses, too.
    client = Client('service')
    client.connect(endpoint)
    web = HTTPServer(Application([(r'/hello/(\w+)', Hello)], service=client))
    socket, port = bind_unused_port()
    web.add_socket(socket)  # web.listen(8000), elsewhere

    url = f'http://127.0.0.1:{port}/hello'
    fetch = AsyncHTTPClient().fetch
    names = ['Ada', 'Grace', 'Barbara']
    for answer in await asyncio.gather(*(fetch(f'{url}/{name}') for name in names)):
        print(answer.code, answer.body.decode())

    await server.stop()
    answer = await fetch(f'{url}/Nobody', raise_error=False)
    print(answer.code, answer.reason)

    web.stop()
    await web.close_all_connections()
    await client.stop()


if __name__ == '__main__':
    asyncio.run(main())
