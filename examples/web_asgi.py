"""An ASGI application; the client lives as long as the application does.

Run it: python web_asgi.py; it brings an ASGI server along that knows just enough of HTTP.
With uvicorn, beside hello_server.py, it is: uvicorn web_asgi:app
"""

import asyncio
import contextlib
import os

from pseud import Client, NotSentError, Server


@contextlib.asynccontextmanager
async def lifespan():
    """Starlette and FastAPI take a function like this one as ``lifespan=``."""
    async with Client('service') as client:
        client.connect(os.environ.get('SERVICE', 'tcp://127.0.0.1:5555'))
        yield {'service': client}


async def app(scope, receive, send):
    if scope['type'] == 'lifespan':
        await receive()  # lifespan.startup
        async with lifespan() as state:
            scope['state'].update(state)
            await send({'type': 'lifespan.startup.complete'})
            await receive()  # lifespan.shutdown
        await send({'type': 'lifespan.shutdown.complete'})
    elif scope['type'] == 'http':
        client = scope['state']['service']
        name = scope['path'].rpartition('/')[2]
        try:
            status, text = 200, await client.hello(name)
        except NotSentError:
            status, text = 503, 'try again later'
        headers = [(b'content-type', b'text/plain; charset=utf-8')]
        await send(
            {'type': 'http.response.start', 'status': status, 'headers': headers}
        )
        await send({'type': 'http.response.body', 'body': text.encode()})


# -- what uvicorn or another ASGI server does, as short as it gets


@contextlib.asynccontextmanager
async def running(app):
    """The port that an application is served at."""
    state, events, done = {}, asyncio.Queue(), asyncio.Queue()
    life = app({'type': 'lifespan', 'state': state}, events.get, done.put)
    life = asyncio.create_task(life)
    await events.put({'type': 'lifespan.startup'})
    await done.get()

    async def answer(reader, writer):
        head = await reader.readuntil(b'\r\n\r\n')
        method, path, _ = head.decode().split(' ', 2)
        scope = {'type': 'http', 'method': method, 'path': path, 'state': state}

        async def send(event):
            if event['type'] == 'http.response.start':
                writer.write(b'HTTP/1.0 %d -\r\n\r\n' % event['status'])
            else:
                writer.write(event['body'])

        await app(scope, None, send)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, '127.0.0.1')
    async with server:
        yield server.sockets[0].getsockname()[1]
    await events.put({'type': 'lifespan.shutdown'})
    await life


async def fetch(port, path):
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    writer.write(f'GET {path} HTTP/1.0\r\n\r\n'.encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    status, _, body = answer.decode().partition('\r\n\r\n')
    return status.split()[1], body


async def main():
    async with Server('service') as server:
        server.register_rpc('Hello {}'.format, name='hello')
        os.environ['SERVICE'] = server.bind('tcp://127.0.0.1:*')
        async with running(app) as port:
            names = ['Ada', 'Grace', 'Barbara']
            calls = (fetch(port, f'/hello/{name}') for name in names)
            for answer in await asyncio.gather(*calls):
                print(*answer)


if __name__ == '__main__':
    asyncio.run(main())
