"""`pseud.testing.Harness`: what it makes works, and what a test leaves is told."""

import asyncio
import contextlib
import os
import socket
import threading

import pytest
import zmq
from backends import PATIENCE

import pseud
from pseud.testing import Harness, harness


@pytest.fixture(autouse=True)
def _tornado():
    """What `pseud.Server` is in this process; gevent's is tested by programs."""
    pytest.importorskip('tornado')
    if os.environ.get('NO_TORNADO'):
        pytest.skip('NO_TORNADO is set')


async def wait():
    await asyncio.Event().wait()


async def pair(kit, **settings):
    """A server whose function waits for ever, and a client of it, connected."""
    server, address = kit.serve('service', **settings)
    server.register_rpc(wait)
    server.register_rpc(len)
    client = kit.client(address, name='service', timeout=PATIENCE)
    assert await client.len('abc') == 3
    return server, client


# ---------------------------------------------------------------- in coroutines


def test_all_it_makes():
    async def main():
        async with Harness() as kit:
            server, address = kit.serve('service', security_plugin='trusted_peer')
            server.register_rpc(len)
            relay = kit.relay(address)
            user = {'security_plugin': 'plain', 'user_id': 'alice', 'password': ''}
            client = kit.client(relay.endpoint, **user)
            assert await client.len('abc') == 3
            blocking = kit.sync_client(relay.endpoint, **user)
            assert await asyncio.to_thread(blocking.len, 'abc') == 3
            assert relay.connections == 2
            own = kit.keep(pseud.Client('service', **user))
            own.connect(address)
            assert await own.len('abc') == 3
        for rpc in (server, client, blocking, own):
            assert rpc._engine.closed
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(pseud.UsageError, match='was closed'):
            relay.cut()

    asyncio.run(main())


def test_what_is_under_way_has_a_grace():
    async def main():
        async with Harness(grace=PATIENCE) as kit:
            server, client = await pair(kit)
            ended = []

            @server.register_rpc
            async def slow():
                await asyncio.sleep(0.05)
                ended.append(True)

            client.slow()  # nobody waits for it
        assert ended

    asyncio.run(main())


def test_what_lasts_longer_is_told(logs):
    logs.errors_expected = True  # asyncio tells of a result that nobody looked at
    made = []

    async def main():
        async with Harness(grace=0) as kit:
            made.extend(await pair(kit))
            await leave(made[1])

    with pytest.raises(AssertionError) as caught:
        asyncio.run(main())
    text = str(caught.value)
    assert "<Client 'service'> waits for wait(): get the result, or cancel it" in text
    assert "<Server 'service'> runs wait()" in text
    for rpc in made:
        assert rpc._engine.closed


async def leave(client):
    """Make a call that does not end, and see that it has arrived."""
    client.wait()
    assert await client.len('abc') == 3


def test_only_some_of_many_names(logs):
    logs.errors_expected = True

    async def main():
        async with Harness(grace=0) as kit:
            client = kit.client('tcp://127.0.0.1:1')
            for number in range(9):
                client.call(f'wait{number}')

    with pytest.raises(AssertionError, match=r'wait0\(\), .* wait4\(\) and others'):
        asyncio.run(main())


def test_the_error_of_the_test_comes_first(logs):
    logs.errors_expected = True

    async def main():
        async with Harness(grace=0) as kit:
            kit.client('tcp://127.0.0.1:1').call('hello')
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        asyncio.run(main())
    (note,) = caught.value.__notes__
    assert 'waits for hello()' in note


def test_what_was_stopped_already():
    async def main():
        async with Harness() as kit:
            server, client = await pair(kit)
            await client.stop()
            await server.stop()

    asyncio.run(main())


# ---------------------------------------------------------------- outside of them


def test_it_outlives_loops():
    """As it does when it is a fixture; each loop ends what was made in it."""
    made = []

    async def main():
        made.extend(await pair(kit))
        waiting = asyncio.create_task(forever(made[-1].wait()))
        await made[-1].len('abc')
        assert not waiting.done()  # asyncio.run ends it

    async def forever(call):
        await call

    with Harness() as kit:
        for _ in range(2):
            asyncio.run(main())
            assert all(rpc._engine.closed for rpc in made)
    assert len(made) == 4


def test_a_loop_that_goes_on_later(logs):
    """As one does that several tests share."""
    logs.errors_expected = True
    loop = asyncio.new_event_loop()
    kit = Harness(grace=0)
    with contextlib.closing(loop):
        _, client = loop.run_until_complete(pair(kit))
        loop.run_until_complete(leave(client))
        with pytest.raises(AssertionError, match=r'waits for wait\(\)'):
            kit.__exit__(None, None, None)
        assert client._engine.closed
        assert not asyncio.all_tasks(loop)


def test_a_loop_in_another_thread():
    loop = asyncio.new_event_loop()
    running = threading.Thread(target=loop.run_forever)
    running.start()
    try:
        with Harness() as kit:
            making = asyncio.run_coroutine_threadsafe(pair(kit), loop)
            _, client = making.result(PATIENCE)
        assert client._engine.closed
    finally:
        loop.call_soon_threadsafe(loop.stop)
        running.join(PATIENCE)
        loop.close()


def test_a_client_that_was_made_before_its_loop(logs):
    logs.errors_expected = True

    async def main():
        client.hello()

    kit = Harness()
    client, unused = (kit.client('tcp://127.0.0.1:1') for _ in range(2))
    asyncio.run(main())
    with pytest.raises(AssertionError, match='before its event loop was closed'):
        kit.__exit__(None, None, None)
    for rpc in (client, unused):
        assert rpc._engine.closed


def test_a_server_needs_a_loop():
    with Harness() as kit:
        with pytest.raises(pseud.UsageError, match='thread=True'):
            kit.serve()
        loop = asyncio.new_event_loop()
        _, address = kit.serve(io_loop=loop)
        assert address.startswith('tcp://127.0.0.1:')
    loop.close()


def test_in_a_coroutine_it_is_awaited():
    async def main():
        with pytest.raises(pseud.UsageError, match='async with'), Harness():
            pass

    asyncio.run(main())


# ---------------------------------------------------------------- threads


def test_a_server_in_a_thread():
    with Harness() as kit:
        server, address = kit.serve('service', thread=True)
        server.register_rpc(len)
        server.register_rpc(threading.get_ident, name='thread')
        client = kit.sync_client(address, name='service')
        assert client.len('abc') == 3
        assert client.thread() != threading.get_ident()
    assert server._engine.closed


def test_a_server_in_a_thread_that_can_not_begin():
    with socket.create_server(('127.0.0.1', 0)) as taken, Harness() as kit:
        address = f'tcp://127.0.0.1:{taken.getsockname()[1]}'
        with pytest.raises(OSError, match='can not bind'):
            kit.serve(address=address, thread=True)
        with pytest.raises(TypeError, match='no_such'):
            kit.serve(no_such='setting', thread=True)


def test_a_server_in_a_thread_that_does_not_stop(monkeypatch):
    began, go = threading.Event(), threading.Event()

    def block():
        began.set()
        go.wait(PATIENCE)

    async def main():
        client = kit.client(address)
        call = client.block()
        await asyncio.to_thread(began.wait, PATIENCE)
        call.cancel()

    kit = Harness()
    server, address = kit.serve(thread=True)
    server.register_rpc(block)
    asyncio.run(main())
    with monkeypatch.context() as hurry:
        hurry.setattr(harness, 'PATIENCE', 0.01)
        with pytest.raises(AssertionError, match=r"<Server ''> does not stop"):
            kit.__exit__(None, None, None)
    go.set()
    kit.__exit__(None, None, None)  # once more does no harm


def test_it_closes_what_it_opened():
    context = zmq.Context()

    async def main():
        async with Harness() as kit:
            server, address = kit.serve(context=context)
            server.register_rpc(len)
            assert await kit.client(address, context=context).len('abc') == 3

    with Harness() as kit:
        asyncio.run(main())
        kit.client('tcp://127.0.0.1:1', context=context)
        kit.serve(thread=True, context=context)
    context.term()
