"""The server of the demo: answers calls, and calls whoever called it.

`make demo` runs it together with the clients. By itself: python demo_server.py
"""

import asyncio
import sys

from pseud import Server

# 'trusted_peer' believes the user id that a client states: for closed networks only.
server = Server('demo', security_plugin='trusted_peer')
cancelled = asyncio.Queue()


def say(text):
    print(f'[server]  {text}', flush=True)


@server.register_rpc
def hello(name):
    say(f'hello({name!r}) runs')
    return f'Hello {name}'


@server.register_rpc(with_identity=True)
async def order_sheep(user_id):
    say(f'order_sheep() runs, and calls back the client of {user_id!r}')
    sheep = await server.send_to(user_id).draw.me.a.sheep()
    say(f'that client returned {sheep!r}')
    return f'here is your {sheep}'


@server.register_rpc
def divide(a, b):
    say(f'divide({a}, {b}) runs')
    return a / b


@server.register_rpc
async def nap(seconds):
    say(f'nap({seconds}) begins')
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        say(f'nap({seconds}) is cancelled, as nobody waits for it any more')
        cancelled.put_nowait(seconds)
        raise


@server.register_rpc
async def cancelled_nap():
    return await cancelled.get()


if __name__ == '__main__':
    endpoint = sys.argv[1] if len(sys.argv) > 1 else 'tcp://127.0.0.1:5555'
    say(f'listens at {server.bind(endpoint)}')
    server.serve_forever()  # until SIGTERM or Ctrl-C
    say('has stopped')
