"""The demo's client on asyncio: calls the server, and is called by it.

`make demo` runs it together with demo_server.py. By itself, beside a running
demo_server.py: python demo_client.py
"""

import asyncio
import sys

from pseud import Client, TimeoutError


def say(text):
    for line in text.splitlines():
        print(f'[asyncio] {line}', flush=True)


async def main(endpoint):
    client = Client('demo', security_plugin='plain', user_id='alice', password='')
    say(f'connects to {endpoint}; until the server is there, calls wait')
    client.connect(endpoint)

    @client.register_rpc(name='draw.me.a.sheep')
    def sheep():
        say('   draw.me.a.sheep() runs')
        return 'beeeh'

    say("1. the client calls the server: hello('Charly')")
    result = await client.hello('Charly')
    say(f'   returned {result!r}')
    assert result == 'Hello Charly'

    say('2. the server calls the client: order_sheep() draws on draw.me.a.sheep()')
    result = await client.order_sheep()
    say(f'   returned {result!r}')
    assert result == 'here is your beeeh'

    say('3. an exception crosses: divide(1, 0)')
    try:
        await client.divide(1, 0)
    except ZeroDivisionError as error:
        remote = str(error.__cause__).strip()  # the traceback of the server
        say(f'   raised {error!r}, and over there it was')
        say('\n'.join(f'   | {line}' for line in remote.splitlines()))
        assert 'in divide' in remote
    else:
        raise AssertionError('divide(1, 0) raised nothing')

    say('4. a deadline: nap(60) with timeout=0.3')
    try:
        await client.with_options(timeout=0.3).nap(60)
    except TimeoutError as error:
        assert await client.cancelled_nap() == 60  # the server stopped it as well
        say(f'   raised TimeoutError: {error}')
    else:
        raise AssertionError('nap(60) ended within 0.3 s')

    say('5. a cancellation: nap(90), cancelled by the client after 0.3 s')
    call = client.nap(90)
    await asyncio.wait([call], timeout=0.3)
    call.cancel()
    assert await client.cancelled_nap() == 90
    assert call.cancelled()

    await client.stop()


if __name__ == '__main__':
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else 'tcp://127.0.0.1:5555'))
