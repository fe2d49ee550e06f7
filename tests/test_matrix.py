"""Every server with every client, each a process of its own."""

import itertools
import tempfile

import pytest
from service import BACKENDS, Service

# What each client does, in terms of ``value(call)``, which waits for a result.
STEPS = """
def steps(client, value):
    hurried = client.with_options(timeout=0.05)
    say(value(lambda: client.same(['text', 1, 2.5, b'bytes', (None, {3})])))
    try:
        value(lambda: client.fail('its text'))
    except ValueError as error:
        say('ValueError', error)
    try:
        value(lambda: hurried.after(3600, None))
    except pseud.TimeoutError as error:
        say('TimeoutError', isinstance(error, pseud.NotSentError))
    big = b'x' * 1_000_000
    say(value(lambda: client.same(big)) == big)
    if BACKEND != 'sync':
        say(value(lambda: client.call_back('double', 21)))
    try:
        say('waits')
        value(lambda: client.with_options(timeout=None).wait())
    except pseud.PeerLostError:
        say('PeerLostError')
    try:
        value(lambda: hurried.same(1))
    except pseud.NotSentTimeoutError:
        say('NotSentTimeoutError')
    assert input() == 'there is another'
    say(value(lambda: client.same('again')))
"""

CLIENTS = {
    'tornado': """
import asyncio

async def main():
    client = pseud.Client('service', **settings)
    client.register_rpc(lambda n: 2 * n, name='double')
    client.connect(address)
    loop = asyncio.get_running_loop()

    def value(call):
        async def wait():
            return await call()

        return asyncio.run_coroutine_threadsafe(wait(), loop).result()

    await asyncio.to_thread(steps, client, value)
    await client.stop()

asyncio.run(main())
""",
    'gevent': """
with pseud.Client('service', **settings) as client:
    client.register_rpc(lambda n: 2 * n, name='double')
    client.connect(address)
    steps(client, lambda call: call().get())
""",
    'sync': """
with pseud.SyncClient('service', **settings) as client:
    client.connect(address)
    steps(client, lambda call: call())
""",
}

EXPECTED = """\
['text', 1, 2.5, b'bytes', (None, {3})]
ValueError its text
TimeoutError False
True
42
waits
PeerLostError
NotSentTimeoutError
again
""".splitlines()

SETTINGS = {'security_plugin': 'plain', 'user_id': 'alice', 'password': '-'}


@pytest.fixture
def address(request):
    """Where to bind: a free port, or a path."""
    if request.param == 'tcp':
        yield ''
    else:
        # tmp_path is too long for the address of a unix socket
        with tempfile.TemporaryDirectory() as directory:
            yield f'ipc://{directory}/socket'


@pytest.mark.parametrize('address', ['tcp', 'ipc'], indirect=True)
@pytest.mark.parametrize(
    ('server', 'client'), list(itertools.product(BACKENDS, CLIENTS)), ids=str
)
def test_pairs(server, client, address, program):
    for needed in {server, client} - {'sync'}:
        pytest.importorskip(needed)
    first = Service(server, address, security_plugin='trusted_peer')
    second = None
    try:
        beginning = f"""
import pseud
BACKEND, address, settings = {client!r}, {first.address!r}, {SETTINGS | {'timeout': 30}!r}
"""
        caller = program(beginning + STEPS + CLIENTS[client], env=BACKENDS.get(client))
        said = []
        while not said or said[-1] != 'waits':
            said += [caller.line()]
        assert first.line() == 'waiting'
        first.kill()
        said += [caller.line(), caller.line()]
        second = Service(server, first.address, security_plugin='trusted_peer')
        caller.tell('there is another')
        said += caller.rest()
        assert caller.wait() == 0, caller.stderr
        assert caller.stderr == ''
        expected = [line for line in EXPECTED if client != 'sync' or line != '42']
        assert said == expected
    finally:
        first.close()
        if second is not None:
            second.close()
