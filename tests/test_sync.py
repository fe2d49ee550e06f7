"""`SyncClient` against a server in a process of its own."""

import contextlib
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from backends import PATIENCE, scenario
from service import Service
from test_failure import SHORT, nobody, times_out, waiting

import pseud
from pseud import SyncClient


@pytest.fixture(scope='module')
def service():
    pytest.importorskip('tornado')
    service = Service()
    yield service
    service.close()


@pytest.fixture
def connect():
    """Makes SyncClients; closes them."""
    with contextlib.ExitStack() as stack:

        def connect(*addresses, **settings):
            settings = {'timeout': PATIENCE, **settings}
            client = stack.enter_context(SyncClient('service', **settings))
            for address in addresses:
                client.connect(address)
            return client

        yield connect


def in_thread(function, *args):
    """What a function that runs in a thread will return, as a future."""
    executor = ThreadPoolExecutor(1)
    future = executor.submit(function, *args)
    executor.shutdown(wait=False)
    return future


# ---------------------------------------------------------------- time


def test_a_timeout_leaves_it_usable(service, connect):
    client = connect(service.address)
    assert client.same('up') == 'up'
    for number in range(3):
        with pytest.raises(pseud.TimeoutError, match='may have run') as caught:
            client.with_options(timeout=SHORT).wait()
        assert not isinstance(caught.value, pseud.NotSentError)
        assert client.same(number) == number


def test_no_late_answer_is_taken_for_that_of_another_call(service, connect):
    """Answers come at about the time when their callers give up."""
    client = connect(service.address)
    hurried = client.with_options(timeout=0.004)
    assert client.same('up') == 'up'
    numbers = itertools.count()

    def calls():
        for _ in range(50):
            number = next(numbers)
            with contextlib.suppress(pseud.TimeoutError):
                assert hurried.after(0.003, number) == number
            assert client.same(-number) == -number

    threads = [in_thread(calls) for _ in range(4)]
    for thread in threads:
        thread.result(PATIENCE)


def test_without_a_server(connect):
    with nobody() as address:
        client = connect(address, timeout=SHORT)
        began = time.monotonic()
        for _ in range(2):
            with pytest.raises(
                pseud.NotSentTimeoutError, match='did not run'
            ) as caught:
                client.f()
            assert address in str(caught.value)
        assert time.monotonic() - began >= 2 * SHORT


@scenario
def test_clients_in_functions_inherit_the_deadline(net):
    back, back_address = net.serve()
    fate = waiting(net, back)
    inner = net.client(back_address, timeout=None)
    front, address = net.serve()

    @front.register_rpc
    @net.handler
    def outer():
        yield inner.wait()

    hurried = net.client(address).with_options(timeout=SHORT)
    yield from times_out(net, hurried.outer, lambda: fate['started'])
    yield from net.until(lambda: len(fate['ended']) == fate['started'])


# ---------------------------------------------------------------- several servers


def test_a_server_that_is_dead_from_the_start(service, connect):
    with nobody() as address:
        for addresses in ([address, service.address], [service.address, address]):
            client = connect(*addresses)
            for number in range(5):
                assert client.same(number) == number


def test_one_of_two_servers_is_killed_and_comes_back(connect):
    pytest.importorskip('tornado')
    with contextlib.ExitStack() as stack:

        def start(address=''):
            return stack.enter_context(contextlib.closing(Service(address=address)))

        servers = {server.process.pid: server for server in (start(), start())}
        client = connect(*(server.address for server in servers.values()))
        while len({client.pid() for _ in range(4)}) < 2:
            pass  # until both are connected
        call = in_thread(client.wait)
        called = servers.keys()
        while len(called) > 1:  # until it is under way: then the other is less busy
            called = {client.pid() for _ in range(4)}
        other = servers.pop(*called)
        (first,) = servers.values()
        assert first.line() == 'waiting'
        first.kill()
        with pytest.raises(pseud.PeerLostError, match=first.address):
            call.result(PATIENCE)
        assert {client.pid() for _ in range(5)} == {other.process.pid}
        again = start(first.address)
        other.kill()
        answers = set()
        while again.process.pid not in answers:  # until the other's loss is noticed
            with contextlib.suppress(pseud.PeerLostError):
                answers.add(client.pid())
        assert answers <= {other.process.pid, again.process.pid}


def test_connect_and_disconnect(service, connect):
    client = connect()
    with pytest.raises(
        pseud.UsageError, match=r'f\(\) .*connect\(\) to a server first'
    ):
        client.f()
    client.connect(service.address)
    client.connect(service.address)  # is so already
    assert client.same(1) == 1
    with pytest.raises(ValueError, match='not connected'):
        client.disconnect('tcp://127.0.0.1:1')
    client.disconnect(service.address)
    with pytest.raises(ValueError, match='not connected'):
        client.disconnect(service.address)
    with pytest.raises(pseud.UsageError, match='first'):
        client.same(2)
    client.connect(service.address)
    assert client.same(3) == 3


def test_disconnect_lets_the_call_of_another_thread_end(service, connect):
    client, other = connect(service.address), connect(service.address)
    peers = other.peers()
    call = in_thread(client.meet, 2)
    while other.peers() == peers:  # until it has arrived
        pass
    client.disconnect(service.address)
    with pytest.raises(pseud.UsageError, match='first'):
        client.same(1)
    assert other.meet(2) == 2
    assert call.result(PATIENCE) == 2


def test_bad_addresses_are_not_kept(service, connect):
    client = connect()
    for bad in ('', 'nonsense', 'tcp://127.0.0.1', 'carrier-pigeon://roof'):
        with pytest.raises(ValueError, match='can not connect'):
            client.connect(bad)
    client.connect(service.address)
    assert client.same(1) == 1
    assert repr(client) == f"<SyncClient 'service' ['{service.address}']>"


# ---------------------------------------------------------------- life


def test_context_manager(service):
    with SyncClient() as client:
        client.connect(service.address)
        client.start()  # needless, and allowed
        assert client.same('any service') == 'any service'
    for use in (lambda: client.same(1), lambda: client.connect(service.address)):
        with pytest.raises(pseud.UsageError, match='was closed: make a new one'):
            use()
    client.stop()
    client.close()


def test_close_lets_the_call_of_another_thread_end(service, connect):
    client, other = connect(service.address), connect(service.address)
    peers = other.peers()
    call = in_thread(client.meet, 2)
    while other.peers() == peers:  # until it has arrived
        pass
    client.close()
    with pytest.raises(pseud.UsageError, match='was closed'):
        client.same(1)
    assert other.meet(2) == 2
    assert call.result(PATIENCE) == 2
    while other.peers() > peers:  # and nothing stays open
        pass


def test_close_ends_waiting_for_a_server(connect):
    with nobody() as address:
        client = connect(address, timeout=None)
        calls = [in_thread(client.f) for _ in range(3)]
        client.close()
        for call in calls:
            # those that came later find it closed
            with pytest.raises((pseud.NotSentError, pseud.UsageError), match='closed'):
                call.result(PATIENCE)


def test_what_it_is_not(connect):
    client = connect()
    with pytest.raises(pseud.UsageError, match='connects to servers'):
        client.bind('tcp://127.0.0.1:*')
    with pytest.raises(pseud.UsageError, match='no event loop'):
        client.register_rpc(len)
    with pytest.raises(AttributeError, match=r"call\('_f'"):
        client._f()


def test_dir(service, connect):
    client = connect(service.address)
    assert {'connect', 'with_options', 'call'} <= set(dir(client))
    assert 'same' not in dir(client)
    assert client.same(1) == 1
    with pytest.raises(pseud.ServiceNotFoundError):
        client.draw.me.a.sheep()
    assert 'same' in dir(client)
    assert 'draw' not in dir(client)  # there is no such function


def test_options_make_a_view(service, connect):
    client = connect(service.address)
    assert client.same('up') == 'up'
    view = client.with_options(timeout=SHORT)
    with pytest.raises(pseud.TimeoutError, match=f'{SHORT} s'):
        view.wait()
    assert client.after(2 * SHORT, 'patient') == 'patient'
    assert view.with_options(timeout=PATIENCE).after(2 * SHORT, 1) == 1
    assert client.with_options().same(2) == 2


# ---------------------------------------------------------------- threads


def test_threads_get_their_own_answers(connect):
    pytest.importorskip('tornado')
    count = 32
    with contextlib.closing(Service()) as service:
        client = connect(service.address)
        start = threading.Barrier(count)

        def calls(thread):
            start.wait(PATIENCE)
            for number in range(40):
                value = [thread, number, 'x' * (number * 100)]
                assert client.same(value) == value
                with pytest.raises(ValueError, match=f'^{thread}-{number}$'):
                    client.fail(f'{thread}-{number}')

        threads = [in_thread(calls, thread) for thread in range(count)]
        for thread in threads:
            thread.result(PATIENCE)
        assert 1 <= client.peers() <= count
        # all at once: each has a connection, which is used again
        meetings = [in_thread(client.meet, count) for _ in range(count)]
        assert [meeting.result(PATIENCE) for meeting in meetings] == [count] * count
        assert client.peers() == count


def test_threads_one_after_the_other_share_a_connection(connect):
    pytest.importorskip('tornado')
    with contextlib.closing(Service()) as service:
        client = connect(service.address)
        for number in range(20):
            assert in_thread(client.same, number).result(PATIENCE) == number
        assert client.peers() == 1
