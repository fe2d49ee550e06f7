"""Causes, contexts, groups and notes: what arrives of the tree that was raised."""

import logging
import traceback

import msgpack
import pytest
from backends import failing, scenario
from hypothesis import example, given, settings
from hypothesis import strategies as st
from peers import RawServer

import pseud
from pseud import remote
from pseud.packer import PackerV2
from pseud.packer_v1 import PackerV1

PACKER = PackerV2()


class OutOfMilk(Exception):
    pass


def shown(error):
    return ''.join(traceback.format_exception(error))


def chained(function):
    """What a function raises, with its context and cause as Python sets them."""
    with pytest.raises(Exception) as caught:
        function()
    return caught.value


# ---------------------------------------------------------------- chains


def from_cause():
    try:
        {}['shelf']
    except KeyError as error:
        raise OutOfMilk('none') from error


def while_handling():
    try:
        {}['shelf']
    except KeyError:
        raise ValueError('none')  # noqa: B904


def from_none():
    try:
        {}['shelf']
    except KeyError:
        raise ValueError('none') from None


def chain(*messages):
    """An exception whose causes say these, one after the other."""
    error = None
    for message in reversed(messages):
        cause, error = error, ValueError(message)
        error.__cause__ = cause
    return error


@scenario
def test_the_cause_arrives(net):
    fail = failing(net)
    error = yield from net.raises(pseud.RemoteError, fail(chained(from_cause)))
    assert error.type_name.endswith('.OutOfMilk')
    cause = error.__cause__
    assert type(cause) is KeyError
    assert cause.args == ('shelf',)
    assert error.__context__ is cause
    assert error.__suppress_context__
    # the text is that of the whole chain: once, where the chain ends
    assert isinstance(cause.__cause__, pseud.RemoteTraceback)
    text = shown(error)
    assert text.count("{}['shelf']") == 1
    assert text.count('in from_cause') == 2


@scenario
def test_the_context_arrives(net):
    fail = failing(net)
    error = yield from net.raises(ValueError, fail(chained(while_handling)))
    assert error.__cause__ is None
    assert not error.__suppress_context__
    assert type(error.__context__) is KeyError
    assert isinstance(error.__context__.__cause__, pseud.RemoteTraceback)
    assert 'During handling of the above' in shown(error)


@scenario
def test_a_suppressed_context_stays_suppressed(net):
    fail = failing(net)
    error = yield from net.raises(ValueError, fail(chained(from_none)))
    assert isinstance(error.__cause__, pseud.RemoteTraceback)
    assert error.__suppress_context__
    assert type(error.__context__) is KeyError
    assert error.__context__.__cause__ is None


@scenario
def test_long_chains_are_cut(net):
    fail = failing(net)
    sent = chain(*map(str, range(10_000)))
    error = yield from net.raises(ValueError, fail(sent))
    length = 1
    while isinstance(error.__cause__, ValueError):
        error = error.__cause__
        length += 1
    assert length == 64
    assert isinstance(error.__cause__, pseud.RemoteTraceback)
    while sent is not None:  # Python would recurse
        sent.__cause__, sent = None, sent.__cause__


@scenario
def test_circles_arrive_cut(net):
    fail = failing(net)
    sent, cause = ValueError('first'), KeyError('second')
    sent.__cause__, cause.__cause__ = cause, sent
    error = yield from net.raises(ValueError, fail(sent))
    assert type(error.__cause__) is KeyError
    assert isinstance(error.__cause__.__cause__, pseud.RemoteTraceback)
    sent.__cause__ = None


@scenario
def test_what_is_shared_arrives_once(net):
    fail = failing(net)
    root = KeyError('root')
    members = [ValueError(1), ValueError(2)]
    for member in members:
        member.__cause__ = root
    error = yield from net.raises(ExceptionGroup, fail(ExceptionGroup('x', members)))
    first, second = error.exceptions
    assert first.__cause__ is second.__cause__
    assert type(first.__cause__) is KeyError


@scenario
def test_chains_go_on_to_the_next_peer(net):
    """Each remote traceback shows, and none arrives as an exception of its own."""
    backend, address = net.serve()
    backend.register_rpc(from_cause, name='buy')
    to_backend = net.client(address)
    front, client = net.pair()

    @front.register_rpc(name='buy')
    @net.handler
    def pass_on():
        try:
            yield to_backend.buy()
        except pseud.RemoteError as error:
            raise LookupError('nothing to drink') from error

    error = yield from net.raises(LookupError, client.buy())
    assert error.__cause__.type_name.endswith('.OutOfMilk')
    assert type(error.__cause__.__cause__) is KeyError
    assert isinstance(error.__cause__.__cause__.__cause__, pseud.RemoteTraceback)
    text = shown(error)
    assert 'in from_cause' in text
    assert 'in pass_on' in text


@scenario
def test_chains_are_kept_back_with_tracebacks(net):
    fail = failing(net, show_tracebacks=False)
    sent = ExceptionGroup('several', [chained(while_handling)])
    sent.add_note('a note')
    sent.__cause__ = chained(from_cause)
    error = yield from net.raises(ExceptionGroup, fail(sent))
    assert (error.__cause__, error.__context__) == (None, None)
    assert error.__notes__ == ['a note']
    (member,) = error.exceptions
    assert (member.args, member.__context__) == (('none',), None)
    for function in (from_none, from_cause, while_handling):
        got = yield from net.outcome(fail(chained(function)))
        assert (got.__cause__, got.__context__) == (None, None)


@pytest.mark.parametrize(
    'fate', [pseud.NotSentTimeoutError, pseud.PeerLostError, pseud.TimeoutError]
)
@scenario
def test_the_fate_of_other_calls_in_trees(net, fate):
    fail = failing(net)
    sent = ExceptionGroup('several', [fate('x')])
    sent.__cause__ = fate('y')
    error = yield from net.raises(ExceptionGroup, fail(sent))
    for each in (*error.exceptions, error.__cause__):
        assert isinstance(each, pseud.RemoteError)
        assert not isinstance(each, TimeoutError)
        assert each.type_name == f'pseud.errors.{fate.__name__}'


# ---------------------------------------------------------------- groups


@scenario
def test_groups_arrive(net):
    fail = failing(net)
    inner = ExceptionGroup('inner', [KeyError('k'), OutOfMilk('none')])
    sent = ExceptionGroup('outer', [ValueError('v', 1), inner])
    caught = {}
    try:
        yield fail(sent)
    except* ValueError as group:
        caught['values'] = group
    except* KeyError as group:
        caught['keys'] = group
    except* pseud.RemoteError as group:
        caught['remote'] = group
    assert type(caught['values']) is ExceptionGroup
    assert caught['values'].message == 'outer'
    assert caught['values'].exceptions[0].args == ('v', 1)
    assert caught['keys'].exceptions[0].message == 'inner'
    assert caught['keys'].exceptions[0].exceptions[0].args == ('k',)
    (milk,) = caught['remote'].exceptions[0].exceptions
    assert milk.type_name.endswith('.OutOfMilk')
    assert not hasattr(caught['values'], '__notes__')


class Several(ExceptionGroup):
    pass


@scenario
def test_other_groups_arrive_as_plain_ones(net):
    fail = failing(net)
    error = yield from net.raises(ExceptionGroup, fail(Several('x', [ValueError()])))
    assert type(error) is ExceptionGroup
    assert error.__notes__ == [f'remote class: {__name__}.Several']


@scenario
def test_groups_of_what_is_not_to_be_raised(net):
    fail = failing(net)
    sent = BaseExceptionGroup(
        'worse', [KeyboardInterrupt('k'), SystemExit(3), ValueError()]
    )
    error = yield from net.raises(ExceptionGroup, fail(sent))
    assert type(error) is ExceptionGroup
    assert error.__notes__ == ['remote class: BaseExceptionGroup']
    first, second, third = error.exceptions
    assert isinstance(first, pseud.RemoteError)
    assert (first.type_name, first.args) == ('KeyboardInterrupt', ('k',))
    assert (second.type_name, second.args) == ('SystemExit', (3,))
    assert type(third) is ValueError


@scenario
def test_large_groups_are_cut(net):
    fail = failing(net)
    sent = ExceptionGroup('many', [ValueError(n) for n in range(1000)])
    error = yield from net.raises(ExceptionGroup, fail(sent))
    assert [each.args for each in error.exceptions] == [(n,) for n in range(63)]
    assert error.__notes__ == ['937 more sub-exceptions']


@scenario
def test_deep_groups_are_cut(net):
    fail = failing(net)
    sent = ValueError('deep')
    for _ in range(500):
        sent = ExceptionGroup('nested', [sent])
    error = yield from net.raises(ExceptionGroup, fail(sent))
    depth = 1
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
        depth += 1
    assert depth == 64
    # the last group has no member that came
    assert isinstance(error, pseud.RemoteError)
    assert error.type_name == 'ExceptionGroup'


# ---------------------------------------------------------------- notes


@scenario
def test_notes_arrive(net):
    fail = failing(net)
    for sent in (ValueError('x'), OutOfMilk('x')):
        sent.add_note('while shopping')
        sent.add_note('on Monday')
        error = yield from net.raises(Exception, fail(sent))
        assert error.__notes__ == ['while shopping', 'on Monday']
        assert 'on Monday' in shown(error)


@scenario
def test_notes_are_bounded(net):
    fail = failing(net)
    sent = ValueError()
    for _ in range(100):
        sent.add_note('x' * 100_000)
    error = yield from net.raises(ValueError, fail(sent))
    assert len(error.__notes__) == 32
    assert {len(note) for note in error.__notes__} == {8 << 10}
    assert error.__notes__[0].endswith('x…')


@pytest.mark.parametrize('notes', [7, None, {'a': 1}, 'text'])
def test_notes_that_are_none(notes):
    sent = ValueError('x')
    sent.__notes__ = notes
    error = sent_and_read(sent)
    assert not hasattr(error, '__notes__')


def test_notes_that_are_no_text():
    sent = ValueError('x')
    sent.__notes__ = ['a', 7, None]
    assert sent_and_read(sent).__notes__ == ['a', '7', 'None']


def sent_and_read(error, protocol=2):
    packer = PackerV1() if protocol == 1 else PACKER
    return remote.load(
        remote.dump(error, packer, protocol, show=True), packer, protocol
    )


# ---------------------------------------------------------------- hostile bodies


def entry(name='ValueError', **fields):
    return {'type': name, 'message': 'm', **fields}


HOSTILE = {
    'itself': entry(cause=0, context=0, group=[0]),
    'out of range': entry(cause=1, context=-1, group=[2**63, -(2**63), 5]),
    'not indices': entry(cause='1', context=True, group=[1.0, None, [1], True, b'1']),
    'not a list': entry('ExceptionGroup', group={'1': 1}, others=[entry()]),
    'others no list': entry(cause=1, others={'1': entry()}),
    'others no maps': entry(cause=1, context=2, others=[1, [2], 'x']),
    'others no types': entry(cause=1, context=2, others=[{}, {'type': 3}]),
    'circle': entry(cause=1, others=[entry(cause=2), entry(cause=1, context=0)]),
    'circle of groups': entry(
        'ExceptionGroup',
        group=[1],
        others=[
            entry('ExceptionGroup', group=[2, 0]),
            entry('ExceptionGroup', group=[1], cause=1, context=0),
        ],
    ),
    'member of itself': entry('ExceptionGroup', group=[0, 1], others=[entry(cause=0)]),
    'thousands': entry(cause=1, others=[entry(cause=n + 2) for n in range(5000)]),
    'one member a million times': entry(
        'ExceptionGroup', group=[1] * 10**6, others=[entry()]
    ),
    'odd fields': entry(
        notes='text', attributes=7, suppress='yes', others=None, traceback=[1]
    ),
    'odd notes': entry(notes=[1, None, b'x', ['y']] * 5000),
    'deep': entry(others=msgpack.unpackb(b'\x91' * 500 + b'\xc0')),
    'deep type': {'type': msgpack.unpackb(b'\x91' * 500 + b'\xc0')},
    'a group of none': entry('ExceptionGroup', group=[]),
    'a group that is none': entry('ValueError', group=[1], others=[entry()]),
    # each is a member twice: those who walk through it would walk 2⁶⁰ times
    'doubled': entry(
        'ExceptionGroup',
        group=[1, 1],
        others=[entry('ExceptionGroup', group=[n, n]) for n in range(2, 61)]
        + [entry()],
    ),
    'doubled by two names': entry(
        'ExceptionGroup',
        group=[1, 2],
        others=[
            entry('ExceptionGroup', group=[n - n % 2 + 3, n - n % 2 + 4])
            for n in range(1, 61)
        ]
        + [entry()] * 2,
    ),
    'group and cause': entry(
        'ExceptionGroup',
        group=[1],
        cause=1,
        context=1,
        others=[
            entry('ExceptionGroup', group=[n], cause=n, context=n) for n in range(2, 61)
        ]
        + [entry()],
    ),
}


def check(error):
    """It is an exception that programs can handle in reasonable time."""
    assert isinstance(error, Exception)
    shown(error)
    logging.Formatter().formatException((type(error), error, None))
    # as contextlib.ExitStack follows them
    for field in ('__cause__', '__context__'):
        length, each = 0, error
        while each is not None:
            each, length = getattr(each, field), length + 1
        assert length <= 65
    if isinstance(error, ExceptionGroup):
        error.split(OutOfMilk)
        assert len(list(members(error))) <= 64


def members(error):
    """The members of a group, and theirs; the suite's timeout ends it."""
    ways = [error]
    while ways:
        each = ways.pop()
        yield each
        if isinstance(each, BaseExceptionGroup):
            ways += each.exceptions


@pytest.mark.timeout(20)
@pytest.mark.parametrize('fields', HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize('trace', ['Traceback…', None])
def test_hostile_trees(fields, trace):
    body = msgpack.packb({'traceback': trace, **fields})
    check(remote.load(body, PACKER, 2))


@scenario
def test_hostile_trees_from_a_peer(net):
    server = RawServer(net)
    client = net.client(server.address)
    for name, fields in HOSTILE.items():
        call = client.f()
        yield net.thread(lambda fields=fields: server.answer_error(**fields))
        error = yield from net.raises(Exception, call)
        check(error)
        if name != 'deep type':
            assert not isinstance(error, pseud.RemoteProtocolError)


def test_what_is_left_of_hostile_trees():
    def load(name):
        return remote.load(msgpack.packb(HOSTILE[name]), PACKER, 2)

    error = load('itself')
    assert (error.__cause__, error.__context__) == (None, None)
    error = load('circle')
    assert error.__cause__.__cause__.__cause__ is None
    assert type(load('a group that is none')) is ValueError
    assert load('a group of none').type_name == 'ExceptionGroup'
    assert len(load('one member a million times').exceptions) == 1
    assert not hasattr(load('odd notes'), '__notes__')
    assert load('odd fields').__suppress_context__ is False


def test_bounds_hold_whatever_is_sent():
    long = 'x' * 10**6
    body = msgpack.packb(
        {
            'type': long,
            'message': long,
            'notes': [long] * 100,
            'traceback': long,
            'cause': 1,
            'others': [entry('a.B', message=long, notes=[long] * 100)],
        }
    )
    error = remote.load(body, PACKER, 2)
    cause = error.__cause__
    for each in (error, cause):
        assert len(each.type_name) <= 256
        assert len(str(each)) == 8 << 10
        assert [len(note) for note in each.__notes__] == [8 << 10] * 32
    assert len(cause.__cause__.text) == 32 << 10


@pytest.mark.parametrize('name', ['NotSentError', 'TimeoutError', 'PeerLostError'])
def test_a_peer_can_not_tell_the_fate_of_calls_within_trees(name):
    others = [entry(f'pseud.{name}'), entry()]
    body = msgpack.packb(entry('ExceptionGroup', group=[1, 2], others=others))
    error = remote.load(body, PACKER, 2).exceptions[0]
    assert error.type_name == f'pseud.errors.{name}'
    assert isinstance(error, pseud.RemoteError)


INDEX = st.integers(-1, 8) | st.none() | st.text(max_size=2)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
    | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
NAMES = st.sampled_from(
    ['ValueError', 'OSError', 'UnicodeDecodeError', 'ExceptionGroup', 'KeyError',
     'BaseExceptionGroup', 'SystemExit', 'a.B', 'pseud.TimeoutError', 'pseud.RemoteError',
     'ImportError', 'SyntaxError', 'pseud.RemoteTraceback', 'test.Several', '']
)  # fmt: skip
ENTRY = st.fixed_dictionaries(
    {'type': NAMES},
    optional={
        'message': st.text(max_size=5) | JUNK,
        'args': JUNK.map(msgpack.packb) | st.lists(JUNK).map(PACKER.pack) | JUNK,
        'notes': st.lists(st.text(max_size=5) | JUNK) | JUNK,
        'attributes': JUNK.map(msgpack.packb) | JUNK,
        'cause': INDEX,
        'context': INDEX,
        'suppress': st.booleans() | JUNK,
        'group': st.lists(INDEX) | JUNK,
    },
)
TREE = st.builds(
    lambda fields, others, trace: {**fields, 'others': others, 'traceback': trace},
    ENTRY,
    st.lists(ENTRY | JUNK, max_size=8) | JUNK,
    st.text(max_size=5) | JUNK,
)


@settings(max_examples=400, deadline=None)
@given(TREE | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), JUNK))
@example({'type': 'ValueError', 'group': [0]})
def test_reading_never_fails(fields):
    body = msgpack.packb(fields)
    for protocol, packer in ((1, PackerV1()), (2, PACKER)):
        check(remote.load(body, packer, protocol))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=30) | JUNK.map(msgpack.packb))
def test_reading_anything_never_fails(body):
    for protocol, packer in ((1, PackerV1()), (2, PACKER)):
        check(remote.load(body, packer, protocol))
