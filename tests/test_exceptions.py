"""What functions raise, where their callers see it."""

import copy
import pickle
import traceback

import msgpack
import pytest
from backends import failing, scenario
from peers import ERROR, RESULT, RawServer

import pseud
from pseud import errors


class OutOfMilk(Exception):
    pass


class Renamed(pseud.PseudError):
    pass


BUILTINS = [
    ValueError('bad'),
    KeyError('key'),
    KeyError(('a', 1)),
    IndexError(),
    ZeroDivisionError('by zero'),
    FileNotFoundError(2, 'No such file', '/nowhere'),
    OSError(13, 'Permission denied'),
    OSError(18, 'Invalid cross-device link', '/from', None, '/to'),
    BlockingIOError(11, 'would block', 7),
    UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'invalid'),
    NotImplementedError(),
    TimeoutError('of the function'),
    ConnectionResetError('of the function'),
    RuntimeWarning('of little use'),
    Exception('plain', 1, None, [2]),
]


@scenario
def test_builtins_arrive_as_themselves(net):
    fail = failing(net)
    for error in BUILTINS:
        got = yield from net.raises(type(error), fail(error))
        assert type(got) is type(error)
        assert got.args == error.args
        assert str(got) == str(error)
        if isinstance(error, OSError):
            assert (got.filename, got.filename2) == (error.filename, error.filename2)


@scenario
def test_from_functions_that_wait(net):
    server, client = net.pair()

    @server.register_rpc
    @net.handler
    def late():
        yield net.sleep(0)
        raise LookupError('late')

    error = yield from net.raises(LookupError, client.late())
    assert error.args == ('late',)
    assert 'in late' in ''.join(traceback.format_exception(error))


@scenario
def test_others_arrive_under_their_name(net):
    fail = failing(net)
    error = yield from net.raises(pseud.RemoteError, fail(OutOfMilk('none left', 3)))
    assert type(error).__name__ == 'OutOfMilk'
    assert error.type_name == f'{__name__}.OutOfMilk'
    assert error.message == "('none left', 3)"
    assert str(error) == error.message
    assert error.args == ('none left', 3)
    assert repr(error) == f'<RemoteError {__name__}.OutOfMilk: {error.message}>'
    assert not isinstance(error, OutOfMilk)


@scenario
def test_a_remote_error_can_be_pickled(net):
    fail = failing(net)
    error = yield from net.raises(pseud.RemoteError, fail(OutOfMilk('none left', 3)))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert (repr(again), str(again)) == (repr(error), str(error))
        assert again.args == error.args
        assert isinstance(again, pseud.RemoteError)
        assert type(again).__name__ == 'OutOfMilk'


@scenario
def test_a_remote_error_can_be_copied_with_its_notes(net):
    fail = failing(net)
    sent = OutOfMilk('none left', [3])
    sent.add_note('try soy')
    error = yield from net.raises(pseud.RemoteError, fail(sent))
    error.shelf = 7
    copies = [copy.copy(error), copy.deepcopy(error)]
    copies += [pickle.loads(pickle.dumps(error, n)) for n in range(6)]
    for each in copies:
        assert (repr(each), str(each), each.args) == (
            repr(error),
            str(error),
            ('none left', [3]),
        )
        assert type(each) is type(error)
        assert each.type_name == error.type_name
        assert (each.__notes__, each.shelf) == (['try soy'], 7)
    assert copies[1].args[1] is not error.args[1]


def test_the_repr_of_a_remote_error_is_short():
    error = errors.make_remote_error('shop.OutOfMilk', 'x' * 1000)
    assert len(repr(error)) < 300
    assert repr(error).endswith('…>')
    assert repr(pseud.RemoteError()) == '<RemoteError RemoteError: >'


@scenario
def test_a_remote_error_is_told_by_its_name(net):
    fail = failing(net)
    try:
        yield fail(OutOfMilk())
    except pseud.RemoteError as error:
        found = error.type_name
    assert found == f'{__name__}.OutOfMilk'


@scenario
def test_an_exception_may_go_on_to_the_next_peer(net):
    """What a proxy re-raises keeps its first name."""
    backend, address = net.serve()

    @backend.register_rpc
    def buy():
        raise OutOfMilk('none')

    to_backend = net.client(address)
    front, client = net.pair()

    @front.register_rpc(name='buy')
    @net.handler
    def pass_on():
        return (yield to_backend.buy())

    error = yield from net.raises(pseud.RemoteError, client.buy())
    assert error.type_name == f'{__name__}.OutOfMilk'
    text = ''.join(traceback.format_exception(error))
    assert 'in buy' in text
    assert 'in pass_on' in text


@scenario
def test_the_remote_traceback_shows_in_the_local_one(net):
    fail = failing(net)
    error = yield from net.raises(ValueError, fail(ValueError('look there')))
    assert isinstance(error.__cause__, pseud.RemoteTraceback)
    text = ''.join(traceback.format_exception(error))
    assert text.count('look there') == 2
    assert 'in raise_' in text
    assert failing.__code__.co_filename in error.__cause__.text
    # it begins in the user's code, not in pseud's
    assert '/pseud/' not in error.__cause__.text


@scenario
def test_tracebacks_can_be_kept_back(net):
    fail = failing(net, show_tracebacks=False)
    error = yield from net.raises(ValueError, fail(ValueError('nothing to see')))
    assert error.__cause__ is None
    assert 'in raise_' not in ''.join(traceback.format_exception(error))
    assert error.args == ('nothing to see',)
    error = yield from net.raises(pseud.RemoteError, fail(OutOfMilk()))
    assert error.__cause__ is None


@scenario
def test_arguments_that_can_not_travel_become_text(net):
    fail = failing(net)
    error = yield from net.raises(ValueError, fail(ValueError('at', object(), 3)))
    assert error.args[::2] == ('at', 3)
    assert error.args[1].startswith('<object object at')


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError('no words')

    __repr__ = __str__


@scenario
def test_exceptions_without_words(net):
    fail = failing(net)
    error = yield from net.raises(pseud.RemoteError, fail(Unspeakable(Unspeakable())))
    assert type(error).__name__ == 'Unspeakable'
    assert 'whose text failed with RuntimeError' in str(error)


@scenario
def test_classes_that_take_other_arguments(net):
    """The arguments of these are not those of their class."""
    fail = failing(net)
    odd = UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'invalid')
    odd.args = ('one',)
    error = yield from net.raises(pseud.RemoteError, fail(odd))
    assert type(error).__name__ == 'UnicodeDecodeError'


@scenario
def test_long_messages_are_cut(net):
    fail = failing(net)
    error = yield from net.raises(pseud.RemoteError, fail(OutOfMilk(b'x' * 10**6)))
    assert len(str(error)) < 10_000


@pytest.mark.parametrize('kind', [StopIteration, StopAsyncIteration, GeneratorExit])
@scenario
def test_classes_with_a_meaning_of_their_own_never_arrive(net, kind):
    fail = failing(net)
    error = yield from net.raises(pseud.RemoteError, fail(kind('x')))
    assert error.type_name == kind.__name__
    assert not isinstance(error, kind)


@pytest.mark.parametrize(
    'name',
    [
        'SystemExit',
        'KeyboardInterrupt',
        'StopIteration',
        'StopAsyncIteration',
        'GeneratorExit',
        'BaseException',
        'BaseExceptionGroup',
        'builtins.SystemExit',
        'asyncio.CancelledError',
        'print',
        'exit',
        'os.system',
        'pseud.errors.make_remote_error',
        'pseud.RemoteTraceback',
        'pseud.Client',
        'not an identifier',
        '__import__',
        '',
        'naïve.Größe',
        'x' * 10_000,
    ],
)
@scenario
def test_a_peer_can_not_choose_what_is_raised(net, name):
    server = RawServer(net)
    client = net.client(server.address)
    call = client.f()
    yield net.thread(
        lambda: server.answer_error(
            type=name, message='now!', args=msgpack.packb(['args'])
        )
    )
    error = yield from net.raises(pseud.RemoteError, call)
    assert error.type_name == name[:256]
    assert error.message == 'now!'
    assert isinstance(error, Exception)


@pytest.mark.parametrize(
    'body',
    [
        b'',
        b'\xc1',
        msgpack.packb(None),
        msgpack.packb([]),
        msgpack.packb({}),
        msgpack.packb({'message': 'no type'}),
        msgpack.packb({'type': 'ValueError'})[:-3],
    ],
)
@scenario
def test_errors_that_can_not_be_read(net, body):
    server = RawServer(net)
    client = net.client(server.address)
    call = client.f()
    yield net.thread(server.answer, lambda call_id, name: [ERROR, call_id, 0, body])
    yield from net.raises(pseud.RemoteProtocolError, call, match='can not be read')


@scenario
def test_odd_fields_of_errors(net):
    server = RawServer(net)
    client = net.client(server.address)
    odd = [
        {'type': 'ValueError', 'message': None, 'args': 3, 'traceback': 7},
        {'type': 'ValueError', 'message': ['x'], 'args': b'\xc1'},
        {'type': 'ValueError', 'args': msgpack.packb(5), 'unknown': 'field'},
    ]
    for fields in odd:
        call = client.f()
        yield net.thread(lambda fields=fields: server.answer_error(**fields))
        yield from net.raises(ValueError, call)


@scenario
def test_a_result_that_can_not_be_read(net):
    server = RawServer(net)
    client = net.client(server.address)
    call = client.f()
    yield net.thread(server.answer, lambda call_id, name: [RESULT, call_id, 0, b'\xc1'])
    yield from net.raises(pseud.SerializationError, call, match='can not be unpacked')


@pytest.mark.parametrize(
    'error',
    [
        pseud.NotSentError('of another call'),
        pseud.OverloadedError('of another call'),
        pseud.NotSentTimeoutError('of another call'),
        pseud.PeerLostError('of another call'),
        pseud.TimeoutError('of another call'),
    ],
    ids=lambda error: type(error).__name__,
)
@scenario
def test_the_fate_of_another_call_is_not_that_of_this_one(net, error):
    """A function that ran may raise NotSentError; its caller must not believe it."""
    fail = failing(net)
    got = yield from net.raises(pseud.RemoteError, fail(error))
    assert got.type_name == f'pseud.errors.{type(error).__name__}'
    assert got.message == 'of another call'


@scenario
def test_errors_of_pseud_that_functions_raise_themselves(net):
    fail = failing(net)
    for kind in (pseud.UnauthorizedError, pseud.PseudError, pseud.SerializationError):
        error = yield from net.raises(kind, fail(kind('says the function')))
        assert type(error) is kind
        assert str(error) == 'says the function'
    error = yield from net.raises(pseud.RemoteError, fail(Renamed('mine')))
    assert type(error).__name__ == 'Renamed'


@scenario
def test_a_traceback_is_each_calls_own(net):
    fail = failing(net)
    first = yield from net.raises(ValueError, fail(ValueError('first')))
    second = yield from net.raises(ValueError, fail(ValueError('second')))
    assert 'second' not in ''.join(traceback.format_exception(first))
    assert 'first' not in ''.join(traceback.format_exception(second))
