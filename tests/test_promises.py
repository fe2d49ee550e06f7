"""docs/topics/calls: all that its table says may happen to a call is made to happen.

Each cell of the first column lists what may happen, between semicolons and before "or";
each of that has a scenario here, which returns what the call came to and how often the
function ran.  The other columns say what these may be.
"""

import asyncio
import functools
import pathlib
import re
import signal

import pytest
import zmq
from backends import PATIENCE, scenario
from peers import RawServer
from test_failure import SHORT, nobody, start_server, times_out, waiting
from test_life import stop
from test_register import restrict

import pseud

PAGE = pathlib.Path(__file__).parent.parent / 'docs' / 'topics' / 'calls.rst'


class Row:
    """One row of the table.

    Attributes:
        happened: what it is about, as a list.
        errors: names of what the call raises; none if that is no class of pseud's.
        said_to_have_run: the text of the error says so.
        ran: how often the function may have run.
    """

    RAN = {'no': {0}, 'it ran': {1}, 'yes': {0, 1}}

    def __init__(self, happened, raises, ran):
        self.happened = re.split('; |, or |(?<=connection) or ', happened)
        self.errors = re.findall(r'(?<!`)`(\w+)`', raises)
        self.said_to_have_run = 'said to have run' in raises
        self.ran = self.RAN[ran]


def rows(page):
    """The first table of a page; nothing else there looks like one."""
    table = page.read_text().partition('.. list-table::\n')[2]
    body = re.match(r'((?: {3}.*)?\n)*', table)[0]
    cells = re.findall(r'^ {3}[* ] - (.*(?:\n {7}.*)*)', body, re.MULTILINE)
    cells = [' '.join(cell.split()) for cell in cells]
    assert cells[:3] == [
        'What happened',
        'What the call raises',
        'May it have run?',
    ]
    return [Row(*cells[at : at + 3]) for at in range(3, len(cells), 3)]


TABLE = {happened: row for row in rows(PAGE) for happened in row.happened}
PROVOKED = set()


def promise(happened, raises=None, needs=()):
    """A scenario for what the table says; returns the call's outcome and the runs.

    Args:
        raises: what the call raises, where the table does not name a class of pseud's:
            ``raises(net)`` is a class.
    """

    def decorate(function):
        @scenario(needs=needs)
        @functools.wraps(function)
        def test(net, **fixtures):
            outcome, runs = yield from function(net, **fixtures)
            check(TABLE[happened], outcome, runs, raises and raises(net))

        PROVOKED.add(happened)
        return test

    return decorate


def check(row, outcome, runs, raises):
    expected = [getattr(pseud, name) for name in row.errors] or [raises]
    assert type(outcome) in expected, repr(outcome)
    assert runs in row.ran
    text = str(outcome)
    assert row.said_to_have_run == ('ran, but' in text)
    if isinstance(outcome, pseud.NotSentError):
        assert re.search('not sent|not run|not leave', text)
    elif row.errors and row.ran == {0, 1}:
        assert 'may have run' in text
    assert isinstance(outcome, pseud.NotSentError) <= (row.ran == {0})


def test_all_of_the_table_is_provoked():
    assert len(TABLE) > 20
    assert set(TABLE) == PROVOKED


# ---------------------------------------------------------------- what they have


class Runs:
    """Functions of a server that count how often they run.

    ``run`` returns what it is given, ``make`` so many bytes or, of None, what can not
    travel; ``wait`` waits until ``go`` is set.
    """

    def __init__(self, net, rpc, **how):
        self.count = 0
        self.go = net.event()

        def run(value=None):
            self.count += 1
            return value

        def make(size):
            self.count += 1
            return object() if size is None else bytes(size)

        def wait():
            self.count += 1
            yield self.go.wait()

        rpc.register_rpc(run, **how)
        rpc.register_rpc(make, **how)
        rpc.register_rpc(net.handler(wait), name='wait', **how)
        rpc.register_rpc(len)


def pair(net, **settings):
    """A client and the `Runs` of its server."""
    server, client = net.pair(timeout=PATIENCE, **settings)
    return client, Runs(net, server)


def afterwards(client, runs):
    """``yield from`` this: how often it has run; what came before is over by then."""
    assert (yield client.len('abc')) == 3
    return runs.count


# ---------------------------------------------------------------- the rows


@promise('The function raised', raises=lambda net: LookupError)
def test_it_raised(net):
    server, client = net.pair()
    runs = []

    @server.register_rpc
    def fail():
        runs.append(True)
        raise LookupError('none such')

    outcome = yield from net.outcome(client.fail())
    assert str(outcome) == 'none such'
    return outcome, len(runs)


@promise('No connection within the timeout')
def test_nobody_was_there(net):
    with nobody() as address:
        client = net.client(address, timeout=PATIENCE)
        outcome = yield from net.outcome(client.with_options(timeout=SHORT).run())
    server = net.server()
    runs = Runs(net, server)
    assert server.bind(address) == address
    return outcome, (yield from afterwards(client, runs))


def read_until(server, last):
    """The names of the calls that arrive, up to this one."""
    names = []
    while names[-1:] != [last]:
        _, _, name = server.call()
        names.append(name)
    return names


@promise('the connection took no more', needs=('loop',))
def test_the_server_did_not_read(net):
    server = RawServer(net, rcvhwm=1)
    client = net.client(server.address, timeout=None)
    hello = client.hello()
    yield net.thread(server.call)
    calls = [hello]
    while not client._engine.core.stuck:
        calls += [client.fill(bytes(1_000_000)) for _ in range(10)]
        yield net.sleep(0)
    outcome = yield from net.outcome(client.with_options(timeout=SHORT).run())
    calls.append(client.last())
    names = yield net.thread(read_until, server, 'last')
    for call in calls:
        call.cancel()
    return outcome, names.count('run')


@promise('Nobody is connected with that user id', needs=('callable',))
def test_nobody_of_that_name(net):
    server, alice = net.users('alice')
    runs = Runs(net, alice)
    server.register_rpc(len)
    assert (yield alice.len('')) == 0
    outcome = yield from net.outcome(server.send_to('bob').run())
    return outcome, (yield from afterwards(server.send_to('alice'), runs))


@promise('another service answers there')
def test_another_service(net):
    server, address = net.serve('other')
    runs = Runs(net, server)
    outcome = yield from net.outcome(net.client(address, name='service').run())
    return outcome, (yield from afterwards(net.client(address, name='other'), runs))


@promise('has no room')
def test_no_room(net):
    server, address = net.serve(limits=pseud.Limits(max_peers=1))
    runs = Runs(net, server)
    first = net.client(address)
    yield first.len('')
    outcome = yield from net.outcome(net.client(address).run())
    return outcome, (yield from afterwards(first, runs))


@promise('the one peer it was for is stopping', needs=('callable',))
def test_the_callee_stops(net):
    server, alice = net.users('alice', timeout=PATIENCE)
    server.register_rpc(len)
    runs = Runs(net, alice)
    yield alice.len('')
    to_alice = server.send_to('alice')
    first = to_alice.wait()
    yield from net.until(lambda: runs.count)
    stopping = net.spawn(stop(alice, PATIENCE))
    (view,) = server.peers
    yield from net.until(lambda: view._peer.away)
    outcome = yield from net.outcome(to_alice.run())
    runs.go.set()
    yield first
    yield stopping
    return outcome, runs.count - 1


@promise('was lost before the call could leave', needs=('callable',))
def test_the_callee_was_lost_first(net):
    """It did not read; what is beyond its pipe has not left."""
    server, address = net.serve(security_plugin='trusted_peer', timeout=None)
    reader = net.raw(zmq.DEALER, rcvhwm=1, plain_username=b'alice', plain_password=b'-')
    reader.connect(address)
    reader.send_multipart([b'', b'\x91\x94\x0a\x00\x00\x80'])  # [[HELLO, 0, 0, {}]]
    yield from net.until(lambda: server.peers)
    calls = []
    while not server._engine.core.stuck:
        calls += [server.send_to('alice').fill(bytes(1_000_000)) for _ in range(10)]
        yield net.sleep(0)
    last = server.send_to('alice').run()
    reader.close()
    for call in calls:
        first = yield from net.outcome(call)
        assert type(first) in (pseud.PeerLostError, pseud.NotSentError)
    return (yield from net.outcome(last)), 0


@promise('this side stopped', needs=('loop',))
def test_this_side_stopped(net):
    with nobody() as address:
        client = net.client(address, timeout=None)
        waits = client.run()
        yield client.stop()
        outcome = yield from net.outcome(waits)
    server = net.server()
    runs = Runs(net, server)
    assert server.bind(address) == address
    return outcome, (yield from afterwards(net.client(address), runs))


LIMIT = 'A limit on calls under way or on bytes that wait was reached, here or there'


@promise(LIMIT, needs=('results',))
def test_too_many_calls_here(net):
    client, runs = pair(net, limits=pseud.Limits(max_calls_per_peer=1))
    first = client.wait()
    outcome = yield from net.outcome(client.run())
    yield from net.until(lambda: runs.count)
    runs.go.set()
    yield first
    return outcome, (yield from afterwards(client, runs)) - 1


@promise(LIMIT)
def test_too_many_calls_there(net):
    server, address = net.serve(limits=pseud.Limits(max_calls=1))
    runs = Runs(net, server)
    client, other = (net.client(address, timeout=PATIENCE) for _ in range(2))
    first = other.wait()
    yield from net.until(lambda: runs.count)
    outcome = yield from net.outcome(client.run())
    runs.go.set()
    yield first
    return outcome, (yield from afterwards(client, runs)) - 1


@promise(LIMIT, needs=('loop',))
def test_too_many_bytes_wait_here(net):
    server, address = net.serve()
    runs = Runs(net, server)
    limits = pseud.Limits(max_queue=10_000)
    client = net.client(timeout=PATIENCE, limits=limits)
    waits = client.len(bytes(8_000))
    outcome = yield from net.outcome(client.run(bytes(8_000)))
    client.connect(address)
    assert (yield waits) == 8_000
    return outcome, (yield from afterwards(client, runs))


SMALL = pseud.Limits(max_message=100_000)


@promise('The call is larger than the peer accepts')
def test_the_call_is_too_large(net):
    server, address = net.serve(limits=SMALL)
    runs = Runs(net, server)
    client = net.client(address)
    outcome = yield from net.outcome(client.run(bytes(100_001)))
    return outcome, (yield from afterwards(client, runs))


class Fragile:
    """A value of one's own; may not survive being unpacked."""


def break_(data):
    raise ValueError(data)


WHOLE = {5: (Fragile, lambda value: b'', lambda data: Fragile())}
BROKEN = {5: (Fragile, lambda value: b'', break_)}


def tables(net, here, there):
    """A client and the `Runs` of its server, which differ about a type."""
    server, address = net.serve(translation_table=there)
    return net.client(address, translation_table=here), Runs(net, server)


@promise('An argument can not be packed here')
def test_arguments_that_can_not_be_packed(net):
    client, runs = pair(net)
    outcome = yield from net.outcome(client.run(object()))
    return outcome, (yield from afterwards(client, runs))


@promise('not unpacked there')
def test_arguments_that_can_not_be_unpacked(net):
    client, runs = tables(net, WHOLE, BROKEN)
    outcome = yield from net.outcome(client.run(Fragile()))
    assert 'run() did not run' in str(outcome)
    return outcome, (yield from afterwards(client, runs))


@promise('The peer has no such function')
def test_no_such_function(net):
    client, runs = pair(net)
    outcome = yield from net.outcome(client.running())
    return outcome, (yield from afterwards(client, runs))


@promise('not for this caller')
def test_not_for_this_caller(net):
    restrict('nobody', lambda name, **who: False)
    server, client = net.pair()
    runs = Runs(net, server, domain='nobody')
    outcome = yield from net.outcome(client.run())
    return outcome, (yield from afterwards(client, runs))


@promise('The peer refused the connection')
def test_the_wrong_password(net):
    passwords = {'alice': 'right'}
    server, address = net.serve(security_plugin='plain', passwords=passwords)
    runs = Runs(net, server)
    outcome = yield from net.outcome(net.user(address, 'alice', 'wrong').run())
    alice = net.user(address, 'alice', 'right')
    return outcome, (yield from afterwards(alice, runs))


@promise('could not decide about the call')
def test_nobody_could_decide(net, logs):
    restrict('broken', lambda name, **who: 1 // 0)
    logs.errors_expected = True
    server, client = net.pair()
    runs = Runs(net, server, domain='broken')
    outcome = yield from net.outcome(client.run())
    return outcome, (yield from afterwards(client, runs))


@promise('The connection was lost while the call was under way')
def test_the_server_was_killed(net, program):
    server, address = yield from start_server(net, program)
    client = net.client(address, timeout=None)
    call = client.wait()
    assert (yield net.thread(server.line)) == 'waiting'
    server.signal(signal.SIGKILL)
    return (yield from net.outcome(call)), 1


@promise('the peer stopped and did not wait for it')
def test_the_server_stopped(net):
    server, client = net.pair(timeout=None)
    runs = Runs(net, server)
    call = client.wait()
    yield from net.until(lambda: runs.count)
    yield server.stop(grace=0)
    return (yield from net.outcome(call)), runs.count


@promise('No answer within the timeout')
def test_no_answer_in_time(net):
    client, runs = pair(net)
    hurried = client.with_options(timeout=SHORT)
    error = yield from times_out(net, hurried.wait, lambda: runs.count)
    return error, (yield from afterwards(client, runs))


@promise('The result can not be packed there')
def test_results_that_can_not_be_packed(net):
    client, runs = pair(net)
    outcome = yield from net.outcome(client.make(None))
    return outcome, (yield from afterwards(client, runs))


@promise('not unpacked here')
def test_results_that_can_not_be_unpacked(net):
    client, runs = tables(net, BROKEN, WHOLE)
    outcome = yield from net.outcome(client.run(Fragile()))
    return outcome, (yield from afterwards(client, runs))


@promise('The result is larger than this side accepts')
def test_results_that_are_too_large(net):
    server, address = net.serve()
    runs = Runs(net, server)
    client = net.client(address, limits=SMALL)
    outcome = yield from net.outcome(client.make(100_001))
    return outcome, (yield from afterwards(client, runs))


@promise('The result was dropped, as too many bytes wait for this side there')
def test_results_that_nobody_reads(net):
    server, address = net.serve(limits=pseud.Limits(max_queue=100_000))
    runs = Runs(net, server)
    client = net.client(address)
    outcome = yield from net.outcome(client.make(100_001))
    return outcome, (yield from afterwards(client, runs))


@promise(
    'The caller cancelled it',
    raises=lambda net: net.driver.result_cancelled,
    needs=('results',),
)
def test_it_was_cancelled(net):
    client, runs = pair(net)
    call = client.wait()
    yield from net.until(lambda: runs.count)
    call.cancel()
    return (yield from net.outcome(call)), (yield from afterwards(client, runs))


# ---------------------------------------------------------------- below the table


only_asyncio = pytest.mark.parametrize('backend', ['tornado'], indirect=True)


@only_asyncio
@scenario
def test_tasks_have_the_deadline_of_their_function(net):
    """As long as its call is under way; then they are on their own."""
    server, alice = net.users('alice', timeout=None)
    fate = waiting(net, alice)
    alice.register_rpc(len)
    tasks, ended = [], net.event()

    async def call_back():
        to_alice = server.send_to('alice')
        with pytest.raises(pseud.PseudError, match='within'):
            await to_alice.wait()
        await ended.wait()
        return await to_alice.len('abc')

    @server.register_rpc
    async def outer():
        tasks.append(asyncio.create_task(call_back()))
        await net.event().wait()

    while not fate['started']:  # again, if the machine was too slow
        call = alice.with_options(timeout=SHORT).outer()
        yield from net.raises(pseud.TimeoutError, call)
    ended.set()
    for task in tasks:
        assert (yield task) == 3


@only_asyncio
@pytest.mark.parametrize('how', ['wait_for', 'timeout'])
@scenario
def test_ways_to_cancel_on_asyncio(net, how):
    server, client = net.pair(timeout=None)
    fate = waiting(net, server)

    async def give_up():
        if how == 'wait_for':
            await asyncio.wait_for(client.wait(), 4 * SHORT)
        else:
            async with asyncio.timeout(4 * SHORT):
                await client.wait()

    while not fate['started']:
        yield from net.outcome(asyncio.ensure_future(give_up()))
    yield from net.until(lambda: len(fate['ended']) == fate['started'])
    assert set(fate['ended']) == {asyncio.CancelledError}


@only_asyncio
@scenario
def test_a_gen_coroutine_goes_on(net):
    """Nobody gets its result any more."""
    from tornado import gen

    server, client = net.pair(timeout=None)
    runs = Runs(net, server)
    done = []

    @server.register_rpc
    @gen.coroutine
    def stubborn():
        done.append('begun')
        yield runs.go.wait()
        done.append('ended')

    call = client.stubborn()
    yield from net.until(lambda: done)
    call.cancel()
    yield from afterwards(client, runs)
    assert done == ['begun']
    runs.go.set()
    yield from net.until(lambda: done == ['begun', 'ended'])
    yield from net.raises(asyncio.CancelledError, call)
