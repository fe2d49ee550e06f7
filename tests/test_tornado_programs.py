"""Programs of their own on tornado's backend: start, signals, the end."""

import asyncio
import contextlib
import signal

import pytest

import pseud

pytest.importorskip('tornado')

from pseud import Client


def connect(address, **settings):
    client = Client('service', **settings)
    client.connect(address)
    return client


DRAINING = """
import asyncio
from pseud import Server

server = Server('service')

@server.register_rpc
async def slow():
    say('started')
    while not server._engine.core.draining:
        await asyncio.sleep(0.005)
    return 'finished'

server.register_rpc(len)
say(server.bind('tcp://127.0.0.1:*'))
server.METHOD()
say('end')
"""


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_serve_forever_drains(program, number):
    server = program(DRAINING.replace('METHOD', 'serve_forever'))
    address = server.line()

    async def main():
        client = connect(address, timeout=None)
        call = asyncio.ensure_future(asyncio.wait_for(client.slow(), 30))
        assert await asyncio.to_thread(server.line) == 'started'
        server.signal(number)
        await asyncio.wait([call])
        await client.stop()
        return call

    call = asyncio.run(main())
    assert call.exception() is None or isinstance(call.exception(), pseud.PeerLostError)
    assert server.rest() == ['end']
    assert server.wait() == 0, server.stderr


def test_a_second_signal_is_obeyed_at_once(program):
    source = DRAINING.replace('METHOD()', 'serve_forever(grace=3600)')
    # nothing but the second signal ends it in time
    server = program(source.replace('0.005', '3600'))
    address = server.line()

    async def main():
        client = connect(address, timeout=None)
        call = client.slow()
        assert await asyncio.to_thread(server.line) == 'started'
        server.signal(signal.SIGTERM)
        # until it has begun to drain
        while True:
            try:
                await client.with_options(timeout=0.1).len('')
            except pseud.NotSentError:
                break
        server.signal(signal.SIGTERM)
        with pytest.raises(pseud.PeerLostError):
            await call
        await client.stop()

    asyncio.run(main())
    assert server.rest() == ['end']
    assert server.wait() == 0, server.stderr


def test_start_blocks_until_ctrl_c(program):
    server = program(DRAINING.replace('METHOD', 'start'))
    address = server.line()

    async def main():
        client = connect(address)
        assert await client.len('abc') == 3
        await client.stop()

    asyncio.run(main())
    server.signal(signal.SIGINT)
    assert server.rest() == []
    assert server.wait() == -signal.SIGINT
    # the one error, wherever it struck: maybe while another was being handled
    assert server.stderr.rstrip().endswith('\nKeyboardInterrupt')
    assert server.stderr.count('\nKeyboardInterrupt') == 1
    assert 'never' not in server.stderr  # retrieved, awaited


TORNADO_PROGRAM = """
from tornado.ioloop import IOLoop
from pseud import Client, Server

server = Server('service')
server.register_rpc(len)
address = server.bind('tcp://127.0.0.1:*')

async def use():
    client = Client('service')
    client.connect(address)
    say(await client.len('abc'))
    await client.stop()
    await server.stop()

IOLoop.current().add_callback(use)
server.start()
say('end')
"""


def test_start_runs_the_loop_of_the_program(program):
    own = program(TORNADO_PROGRAM)
    assert own.rest() == ['3', 'end']
    assert own.wait() == 0, own.stderr
    assert own.stderr == ''


STOP_FROM_A_CALL = """
from pseud import Server
server = Server('service')

@server.register_rpc
def shutdown():
    server.stop()

say(server.bind('tcp://127.0.0.1:*'))
server.start()
say('end')
"""


def test_start_returns_after_stop(program):
    server = program(STOP_FROM_A_CALL)
    address = server.line()

    async def main():
        client = connect(address)
        with contextlib.suppress(pseud.PeerLostError):
            await client.shutdown()
        await client.stop()

    asyncio.run(main())
    assert server.rest() == ['end']
    assert server.wait() == 0, server.stderr
