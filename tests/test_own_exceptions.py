"""Exception classes that users register, and those that make it hard to tell of them."""

import dataclasses
import sys

import msgpack
import pytest
from backends import failing, scenario
from peers import RawServer
from test_old_peers import ERROR, V1Server

import pseud
from pseud import raisable, remote, utils
from pseud.packer import PackerV2
from pseud.packer_v1 import PackerV1

PACKER = PackerV2()


@pseud.register_exception
class OutOfStock(Exception):
    """Its arguments are not those of its `__init__`."""

    def __init__(self, article, *, shelf):
        super().__init__(f'no {article} on shelf {shelf}')
        self.article = article
        self.shelf = shelf


@pseud.register_exception(name='shop.till')
class TillError(OSError):
    def __init__(self, code):
        super().__init__(code, 'the till is stuck', '/dev/till')
        self.code = code


@pseud.register_exception
class Garbled(UnicodeDecodeError):
    pass


@pseud.register_exception
@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    degrees: int


@pseud.register_exception
class Several(ExceptionGroup):
    """As Python's documentation shows groups with more arguments."""

    def __new__(cls, message, errors, code):
        self = super().__new__(cls, message, errors)
        self.code = code
        return self

    def derive(self, errors):
        return Several(self.message, errors, self.code)


@pseud.register_exception
class Picky(Exception):
    def __init__(self):
        raise RuntimeError('nobody makes me')


@pseud.register_exception(name='of two names')
@pseud.register_exception(name='of one name')
class Renamed(Exception):
    pass


class Unregistered(OutOfStock):
    pass


def sent_and_read(error, protocol=2):
    packer = PackerV1() if protocol == 1 else PACKER
    return remote.load(
        remote.dump(error, packer, protocol, show=True), packer, protocol
    )


@pytest.fixture
def register():
    """To register classes for one test."""
    before = dict(raisable._registered), dict(raisable._registered_names)
    yield pseud.register_exception
    for now, then in zip(
        (raisable._registered, raisable._registered_names), before, strict=True
    ):
        now.clear()
        now.update(then)


# ---------------------------------------------------------------- registered ones


@scenario
def test_a_registered_class_arrives(net):
    fail = failing(net)
    sent = OutOfStock('milk', shelf=3)
    sent.add_note('try soy')
    sent.__cause__ = KeyError('milk')
    error = yield from net.raises(OutOfStock, fail(sent))
    assert type(error) is OutOfStock
    assert error is not sent
    assert (error.article, error.shelf) == ('milk', 3)
    assert error.args == ('no milk on shelf 3',)
    assert str(error) == 'no milk on shelf 3'
    assert error.__notes__ == ['try soy']
    assert type(error.__cause__) is KeyError


@scenario
def test_registered_subclasses_of_builtins(net):
    fail = failing(net)
    error = yield from net.raises(TillError, fail(TillError(5)))
    assert (error.code, error.errno, error.filename) == (5, 5, '/dev/till')
    assert str(error) == str(TillError(5))
    garbled = Garbled('utf-8', b'\xff', 0, 1, 'no')
    error = yield from net.raises(Garbled, fail(garbled))
    assert (error.object, error.reason) == (b'\xff', 'no')


@scenario
def test_registered_groups(net):
    fail = failing(net)
    sent = Several('several', [OutOfStock('tea', shelf=1), ValueError()], 7)
    error = yield from net.raises(Several, fail(sent))
    assert type(error) is Several
    assert (error.message, error.code) == ('several', 7)
    assert not hasattr(error, '__notes__')
    values, rest = error.split(ValueError)
    assert (type(values), values.code) == (Several, 7)
    assert rest.exceptions[0].article == 'tea'


@scenario
def test_classes_that_let_nothing_be_set(net):
    fail = failing(net)
    sent = ValueError()
    sent.__cause__ = Frozen(5)
    error = yield from net.raises(ValueError, fail(sent))
    assert error.__cause__ == Frozen(5)
    assert isinstance(error.__cause__.__cause__, pseud.RemoteTraceback)
    sent = Frozen(6)
    BaseException.__cause__.__set__(sent, KeyError('k'))
    error = sent_and_read(sent)
    assert (type(error), type(error.__cause__)) == (Frozen, KeyError)


@scenario
def test_only_the_class_itself_is_registered(net):
    fail = failing(net)
    sent = Unregistered('milk', shelf=3)
    error = yield from net.raises(pseud.RemoteError, fail(sent))
    assert error.type_name == f'{__name__}.Unregistered'
    assert not isinstance(error, OutOfStock)
    assert not hasattr(error, 'shelf')


def test_no_init_of_users_is_called():
    sent = Picky.__new__(Picky, 'x')
    assert type(sent_and_read(sent)) is Picky
    assert sent_and_read(sent).args == ('x',)


def test_the_last_name_goes_out_and_each_comes_in():
    assert raisable.name_of(Renamed()) == 'of two names'
    for name in ('of one name', 'of two names'):
        body = msgpack.packb({'type': name})
        assert type(remote.load(body, PACKER, 2)) is Renamed


def test_attributes_that_can_not_travel_stay():
    sent = OutOfStock('milk', shelf=object())
    sent.__dict__.update({5: 'odd', '__odd__': 1, 'big': 'x' * 10**5, 'add_note': 'no'})
    sent.small = 'x' * 10_000
    error = sent_and_read(sent)
    assert vars(error) == {'article': 'milk', 'small': 'x' * 10_000}
    sent.__dict__.clear()
    assert vars(sent_and_read(sent)) == {}


def test_attributes_are_bounded_together():
    sent = OutOfStock('milk', shelf=1)
    sent.__dict__.update({f'a{n}': 'x' * 1000 for n in range(1000)})
    assert len(remote.dump(sent, PACKER, 2, show=True)) < 80 << 10
    assert sent_and_read(sent).a5 == 'x' * 1000


HOSTILE = {
    'no arguments': {'args': PACKER.pack_inline(())},
    'text for arguments': {'args': PACKER.pack_inline('text')},
    'no map': {'attributes': PACKER.pack_inline([1])},
    'not packed': {'attributes': {'article': 'x'}},
    'broken': {'attributes': b'\xc1', 'args': b'\xc1'},
    'keys': {'attributes': msgpack.packb({1: 2, b'x': 1, None: 3})},
    'pythons own': {
        'attributes': PACKER.pack_inline(
            {
                '__class__': 1,
                '__dict__': {},
                '__notes__': 7,
                '__traceback__': 1,
                'args': 5,
                'with_traceback': 1,
                'add_note': 1,
            }
        )
    },
}


@pytest.mark.parametrize('fields', HOSTILE.values(), ids=HOSTILE)
@scenario
def test_hostile_attributes(net, fields):
    server = RawServer(net)
    client = net.client(server.address)
    call = client.f()
    name = f'{__name__}.OutOfStock'
    yield net.thread(lambda: server.answer_error(type=name, message='m', **fields))
    error = yield from net.raises(OutOfStock, call)
    assert vars(error) == {}
    assert error.with_traceback(None) is error


@pytest.mark.parametrize('name', ['ValueError', 'pseud.PseudError', 'a.B'])
def test_only_registered_classes_get_attributes(name):
    body = msgpack.packb({'type': name, 'attributes': PACKER.pack_inline({'a': 1})})
    assert not hasattr(remote.load(body, PACKER, 2), 'a')


@pytest.mark.parametrize('name', [f'{__name__}.Garbled', f'{__name__}.Several'])
def test_what_does_not_fit_arrives_as_a_name(name):
    body = msgpack.packb(
        {'type': name, 'message': 'm', 'args': PACKER.pack_inline((1,))}
    )
    error = remote.load(body, PACKER, 2)
    assert isinstance(error, pseud.RemoteError)
    assert (error.type_name, error.args) == (name, (1,))


# ---------------------------------------------------------------- version 1


@scenario
def test_registered_classes_by_version_1(net):
    server, address = net.serve()
    client = net.client(address, protocol=1)

    @server.register_rpc
    def buy():
        raise OutOfStock('milk', shelf=3)

    error = yield from net.raises(OutOfStock, client.buy())
    assert error.args == ('no milk on shelf 3',)
    assert vars(error) == {}


@scenario
def test_registered_classes_of_an_old_server(net, register):
    for name in ('a.Twice', 'b.Twice'):
        register(type('Twice', (Exception,), {}), name=name)
    server = V1Server(net)
    client = net.client(server.address, protocol=1)
    for name, kind in (
        ('OutOfStock', OutOfStock),
        ('Renamed', Renamed),
        ('Twice', pseud.RemoteError),
        ('Garbled', pseud.RemoteError),
    ):
        call = client.f()
        yield net.thread(server.answer, ERROR, msgpack.packb([name, 'why', '']))
        error = yield from net.raises(kind, call)
        assert error.args == ('why',)


# ---------------------------------------------------------------- registering


def test_register_exception_returns_the_class(register):
    class Mine(Exception):
        pass

    assert register(Mine) is Mine
    assert register()(Mine) is Mine
    assert register(name='mine')(Mine) is Mine
    assert register(Mine, name='mine') is Mine  # again
    assert utils.register_exception is pseud.register_exception


def test_a_class_defined_again_takes_the_place(register):
    """As when its module is loaded again."""

    def define():
        class Mine(Exception):
            pass

        return register(Mine)

    old, new = define(), define()
    assert type(sent_and_read(new('x'))) is new
    assert type(sent_and_read(old('x'))) is new
    assert not raisable.is_registered(old)


class Leave(SystemExit):
    pass


@pytest.mark.parametrize(
    ('cls', 'name', 'error', 'text'),
    [
        ('shop.OutOfStock', None, TypeError, 'a name goes by keyword'),
        (ValueError('x'), None, TypeError, 'takes a class'),
        (int, None, TypeError, 'not a subclass of Exception'),
        (Leave, None, TypeError, 'not a subclass of Exception'),
        (KeyboardInterrupt, None, TypeError, 'not a subclass of Exception'),
        (ValueError, None, ValueError, 'needs no registering'),
        (ValueError, 'mine', ValueError, 'needs no registering'),
        (pseud.PseudError, 'mine', ValueError, 'needs no registering'),
        (pseud.TimeoutError, 'mine', ValueError, 'needs no registering'),
        (StopIteration, 'mine', ValueError, 'needs no registering'),
        (type('A', (StopIteration,), {}), None, ValueError, 'ends a generator'),
        (type('A', (StopAsyncIteration,), {}), None, ValueError, 'ends a generator'),
        (type('A', (SyntaxError,), {}), None, ValueError, 'derive it from another'),
        (type('A', (pseud.NotSentError,), {}), None, ValueError, 'kind of NotSent'),
        (type('A', (pseud.TimeoutError,), {}), None, ValueError, 'whether its call'),
        (type('A', (pseud.RemoteError,), {}), None, ValueError, 'not known here'),
        (Unregistered, 7, TypeError, 'name must be a str'),
        (Unregistered, '', ValueError, '1 to 256 characters'),
        (Unregistered, 'x' * 257, ValueError, '1 to 256 characters'),
        (Unregistered, 'ValueError', ValueError, "a builtin's name"),
        (Unregistered, 'SystemExit', ValueError, "a builtin's name"),
        (Unregistered, 'print', ValueError, "a builtin's name"),
        (Unregistered, 'builtins.X', ValueError, "a builtin's name"),
        (Unregistered, 'pseud.NotSentError', ValueError, "pseud's own"),
        (Unregistered, 'shop.till', ValueError, 'TillError already'),
    ],
)
def test_what_can_not_be_registered(register, cls, name, error, text):
    before = dict(raisable._registered)
    with pytest.raises(error, match=text):
        register(cls, name=name)
    assert raisable._registered == before


# ---------------------------------------------------------------- arguments


def test_large_arguments_are_cut():
    big = 100_000
    sent = ValueError('x' * big, b'x' * big, [1] * big, 7, 'x' * 10_000)
    text, data, other, number, small = sent_and_read(sent).args
    assert text == 'x' * 8192 + '… (100000 characters)'
    assert data == b'x' * 8192 + '… (100000 bytes)'.encode()
    assert (other[:6], other[-1], len(other)) == ('[1, 1,', '…', 8192)
    assert number == 7
    assert small.endswith('… (10000 characters)')


def test_arguments_that_are_not_too_large_together():
    sent = ValueError('x' * 20_000, object())
    assert sent_and_read(sent).args[0] == 'x' * 20_000


def test_many_arguments_are_cut():
    args = sent_and_read(ValueError(*['x' * 5000] * 1000)).args
    assert len(args) == 13
    assert len(remote.dump(ValueError(*['é' * 9000] * 99), PACKER, 2, show=False)) < (
        90 << 10
    )


# ---------------------------------------------------------------- classes with faults


def exits(*_):
    sys.exit('no words')


class Exits(Exception):
    """Whatever is asked of it."""

    args = __notes__ = __cause__ = property(exits)
    __str__ = __repr__ = exits


class OddNames(Exception):
    pass


OddNames.__module__ = 7
OddNames.__qualname__ = 'x' * 1000


class Meta(type):
    def __getattribute__(cls, name):
        if name in ('__module__', '__name__', '__qualname__'):
            exits()
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=Meta):
    pass


class MetaHash(type):
    __hash__ = exits


class Unhashable(Exception, metaclass=MetaHash):
    pass


@pseud.register_exception
class NoDict(Exception):
    __dict__ = property(exits)


class NoTruth(Exception):
    __bool__ = __len__ = __eq__ = exits
    __hash__ = None


class OddText(str):
    __len__ = __getitem__ = exits


def faults():
    chained = ValueError('outer')
    chained.__cause__ = NoTruth('inner')
    renamed = pseud.RemoteError('m', type_name=7)
    odd = OSError(1, 'x', 'file')
    odd.args = (1, 2)
    return {
        'exits': Exits('a', 1),
        'exits in arguments': ValueError(Exits()),
        'exits as key': ValueError({'a': object(), Exits(): 1}),
        'odd names': OddNames('x'),
        'nameless': Nameless('x'),
        'no truth': chained,
        'no attributes': NoDict('x'),
        'no hash': Unhashable('x'),
        'in a group': ExceptionGroup('x', [Exits(), Nameless(), NoTruth()]),
        'odd text': ValueError(OddText('x' * 10**5)),
        'renamed': renamed,
        'odd error of the system': odd,
        'surrogates': ValueError('\udcff', OSError('\ud800')),
    }


@pytest.mark.parametrize('which', faults())
@scenario
def test_classes_with_faults(net, which):
    fail = failing(net)
    error = yield from net.raises(Exception, fail(faults()[which]))
    assert not isinstance(error, pseud.RemoteProtocolError)
    assert not isinstance(error, (pseud.TimeoutError, pseud.PeerLostError))


def test_what_arrives_of_classes_with_faults():
    error = sent_and_read(Exits('a', 1))
    assert error.type_name == f'{__name__}.Exits'
    assert error.message == '<Exits, whose text failed with SystemExit>'
    assert error.args == ('a', 1)
    assert sent_and_read(OddNames('x')).type_name == '7.' + 'x' * 254
    assert sent_and_read(Nameless('x')).type_name == 'Nameless'
    assert sent_and_read(Nameless('x')).args == ('x',)
    chained = faults()['no truth']
    assert type(sent_and_read(chained).__cause__).__name__ == 'NoTruth'


@pytest.mark.parametrize('protocol', [1, 2])
def test_there_is_always_a_description(protocol):
    error = sent_and_read(Unhashable('x'), protocol)
    assert error.type_name == 'Unhashable'
    assert 'no description: making it failed with SystemExit' in error.message


def test_a_class_that_hides_its_attributes():
    sent = NoDict('x')
    sent.price = 3
    sent.add_note('a note')
    error = sent_and_read(sent)
    assert type(error) is NoDict
    assert (error.price, error.__notes__) == (3, ['a note'])


def test_ctrl_c_passes():
    class Interrupted(Exception):
        def __str__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remote.dump(Interrupted(), PACKER, 2, show=True)


def test_a_translation_table_with_faults():
    class Thing:
        pass

    packer = PackerV2({1: (Thing, exits, exits)})
    error = remote.load(
        remote.dump(ValueError(Thing(), 1), packer, 2, show=True), packer, 2
    )
    assert error.args[1] == 1
    assert 'Thing object' in error.args[0]
