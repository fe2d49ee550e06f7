"""The backend for asyncio and tornado: loops, signals, context."""

import asyncio
import contextvars

import pytest

import pseud

tornado = pytest.importorskip('tornado')

from tornado import gen  # noqa: E402
from tornado.ioloop import IOLoop  # noqa: E402

from pseud import Client, Server  # noqa: E402


def serve(**functions):
    server = Server('service')
    for name, function in functions.items():
        server.register_rpc(function, name=name)
    return server, server.bind('tcp://127.0.0.1:*')


def connect(address, **settings):
    client = Client('service', **settings)
    client.connect(address)
    return client


# ---------------------------------------------------------------- ways to write it


def test_asyncio():
    async def main():
        async with Server('service') as server:
            server.register_rpc(len)
            address = server.bind('tcp://127.0.0.1:*')
            async with Client('service') as client:
                client.connect(address)
                assert await client.len('abc') == 3
                assert await asyncio.gather(client.len('a'), client.len('')) == [1, 0]
                async with asyncio.timeout(20):
                    assert await client.len([]) == 0
        with pytest.raises(pseud.UsageError, match='stopped'):
            client.len('')

    asyncio.run(main())


def test_tasks_and_groups():
    async def main():
        server, address = serve(len=len, fail=lambda: 1 // 0)
        client = connect(address)
        call = asyncio.create_task(asyncio.wait_for(client.len('abc'), 20))
        assert await call == 3
        done, _ = await asyncio.wait([client.len('a'), client.len('ab')])
        assert sorted(each.result() for each in done) == [1, 2]
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.wait_for(client.fail(), 20))
        assert isinstance(caught.value.exceptions[0], ZeroDivisionError)
        await client.stop()
        await server.stop()

    asyncio.run(main())


def test_kinds_of_functions():
    async def coroutine(value):
        await asyncio.sleep(0)
        return value

    @gen.coroutine
    def generator(value):
        yield gen.moment
        raise gen.Return(value)

    @gen.coroutine
    def failing():
        yield gen.moment
        raise LookupError('lost')

    def future(value):
        future = asyncio.get_running_loop().create_future()
        future.get_loop().call_soon(future.set_result, value)
        return future

    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return 'awaited'

    async def main():
        server, address = serve(
            coroutine=coroutine,
            generator=generator,
            failing=failing,
            future=future,
            awaitable=lambda: Awaitable(),
            task=lambda value: asyncio.ensure_future(coroutine(value)),
        )
        client = connect(address)
        for name in ('coroutine', 'generator', 'future', 'task'):
            assert await client.call(name, name) == name
        assert await client.awaitable() == 'awaited'
        with pytest.raises(LookupError, match='lost'):
            await client.failing()
        await client.stop()
        await server.stop()

    asyncio.run(main())


def test_yield_in_a_gen_coroutine():
    @gen.coroutine
    def main():
        server, address = serve(len=len, fail=lambda: 1 // 0)
        yield server.start()
        client = connect(address)
        yield client.start()
        size = yield client.len('abc')
        sizes = yield [client.len('a'), client.len('ab')]
        with pytest.raises(ZeroDivisionError):
            yield client.fail()
        yield client.stop()
        yield server.stop()
        return size, sizes

    async def run():
        return await main()

    assert asyncio.run(run()) == (3, [1, 2])


# ---------------------------------------------------------------- which loop


@pytest.mark.parametrize('kind', ['tornado', 'asyncio'])
def test_io_loop_is_honoured(kind):
    """Made and connected before the loop runs, as in tornado's own programs."""
    if kind == 'tornado':
        loop = IOLoop(make_current=False)
        run, close = loop.run_sync, loop.close
    else:
        loop = asyncio.new_event_loop()
        run, close = lambda main: loop.run_until_complete(main()), loop.close
    server = Server('service', io_loop=loop)
    server.register_rpc(lambda: id(asyncio.get_running_loop()), name='loop')
    address = server.bind('tcp://127.0.0.1:*')
    client = Client('service', io_loop=loop)
    client.connect(address)

    async def main():
        await server.start()
        assert await client.loop() == id(asyncio.get_running_loop())
        await client.stop()
        await server.stop()

    run(main)
    close()


def test_with_and_without_a_running_loop():
    loop = asyncio.new_event_loop()
    with Server('service', io_loop=loop) as server:
        server.register_rpc(len)
        address = server.bind('tcp://127.0.0.1:*')
        with Client('service', io_loop=loop) as client:
            client.connect(address)

            async def call():
                await server.start()
                return await client.len('abc')

            assert loop.run_until_complete(call()) == 3
    with pytest.raises(pseud.UsageError, match='stopped'):
        client.len('')
    loop.close()


def test_no_loop():
    client = Client('service')
    client.connect('tcp://127.0.0.1:1')  # may be before there is one
    with pytest.raises(pseud.UsageError, match=r'asyncio\.run.*io_loop='):
        client.f()
    client.stop()


@pytest.mark.parametrize('bad', ['loop', 3, object()])
def test_no_such_loop(bad):
    client = Client('service', io_loop=bad)
    with pytest.raises(
        pseud.UsageError, match='must be a tornado IOLoop or an asyncio'
    ):
        client.f()
    client.stop()


def test_start_inside_a_running_loop():
    async def main():
        server, address = serve(len=len)
        assert await server.start() is None
        client = connect(address)
        await client.start()
        assert await client.len('') == 0
        await client.stop()
        await server.stop()

    asyncio.run(main())


def test_serve_forever_inside_a_running_loop():
    async def main():
        server, address = serve(len=len)
        serving = asyncio.ensure_future(server.serve_forever())
        client = connect(address)
        assert await client.len('') == 0
        assert not serving.done()
        await client.stop()
        await server.stop()
        await serving

    asyncio.run(main())


def test_a_proxy_to_a_client_of_another_loop():
    """It has answers for its callers, in place of that client."""
    back = Client('service')

    async def first():
        back.connect('tcp://127.0.0.1:1')

    async def second():
        server = Server('service', proxy_to=back)
        client = connect(server.bind('tcp://127.0.0.1:*'))
        with pytest.raises(pseud.NotSentError, match='another event loop'):
            await client.f()
        await client.stop()
        await server.stop()

    with asyncio.Runner() as runner:
        runner.run(first())
        with asyncio.Runner() as other:
            other.run(second())
        runner.run(_stop(back))


async def _stop(rpc):
    await rpc.stop()


# ---------------------------------------------------------------- context


def test_handlers_have_a_context_each():
    variable = contextvars.ContextVar('variable', default='unset')

    async def late(value):
        seen = [variable.get()]
        variable.set(value)
        await asyncio.sleep(0)
        return [*seen, variable.get()]

    def inline(value):
        before = variable.get()
        variable.set(value)
        return [before, variable.get()]

    async def main():
        variable.set('of the program')
        server, address = serve(late=late, inline=inline)
        client = connect(address)
        variable.set('of the caller')
        for name in ('late', 'inline'):
            calls = [client.call(name, n) for n in range(5)]
            for n, call in enumerate(calls):
                # as it was when the server began; nothing of other calls
                assert await call == ['of the program', n]
        assert variable.get() == 'of the caller'
        await client.stop()
        await server.stop()

    asyncio.run(main())
