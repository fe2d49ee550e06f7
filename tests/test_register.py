"""Registering functions, and which one a call means."""

import functools

import pytest
from backends import scenario
from zope.interface import implementer

import pseud
from pseud.auth import AuthenticationBackend
from pseud.interfaces import (
    IAuthenticationBackend,
    IPredicate,
    IRPCCallable,
    IServer,
)
from pseud.plugins import adapter
from pseud.utils import (
    create_local_registry,
    get_rpc_callable,
    register_auth_backend,
    register_predicate,
    register_rpc,
)


class Cat:
    def meow(self, times=1):
        return 'meow ' * times

    @classmethod
    def kind(cls):
        return cls.__name__

    def __call__(self):
        return 'purr'


# ---------------------------------------------------------------- ways to register


@scenario
def test_decorators_of_a_server(net):
    server, client = net.pair()

    @server.register_rpc
    def bare():
        return 'bare'

    @server.register_rpc()
    def empty():
        return 'empty'

    @server.register_rpc(name='some.other.name')
    def named():
        return 'named'

    assert (bare(), empty(), named()) == ('bare', 'empty', 'named')  # still functions
    assert (yield client.bare()) == 'bare'
    assert (yield client.empty()) == 'empty'
    assert (yield client.some.other.name()) == 'named'
    yield from net.raises(pseud.ServiceNotFoundError, client.named())


@scenario
def test_whatever_can_be_called(net):
    server, client = net.pair()
    cat = Cat()
    server.register_rpc(cat.meow)
    server.register_rpc(Cat.kind)
    server.register_rpc(functools.partial(functools.partial(cat.meow), 2), name='two')
    server.register_rpc(functools.partial(pow, 2))
    server.register_rpc(lambda: 'lambda', name='anonymous')
    server.register_rpc(cat, name='cat')
    server.register_rpc(len)
    server.register_rpc(dict, name='a.dict')
    assert (yield client.meow(times=1)) == 'meow '
    assert (yield client.kind()) == 'Cat'
    assert (yield client.two()) == 'meow meow '
    assert (yield client.pow(10)) == 1024
    assert (yield client.anonymous()) == 'lambda'
    assert (yield client.cat()) == 'purr'
    assert (yield client.len([1, 2])) == 2
    assert (yield client.a.dict(b=1)) == {'b': 1}


@scenario
def test_functions_that_wait(net):
    server, client = net.pair()

    @server.register_rpc
    @net.handler
    def patient(value):
        yield net.sleep(0)
        return value

    server.register_rpc(functools.partial(patient, 'partial'), name='partial')
    assert (yield client.patient('x')) == 'x'
    assert (yield client.partial()) == 'partial'


def test_what_can_not_be_registered():
    for bad in ('a name', 3, []):
        with pytest.raises(TypeError, match='takes a callable'):
            register_rpc(bad)
    for nameless in (lambda: 1, Cat(), functools.partial(lambda: 1)):
        with pytest.raises(TypeError, match='has no name'):
            register_rpc(nameless)
    for bad in ('', 3, b'hello'):
        with pytest.raises(TypeError, match='name must be a str'):
            register_rpc(len, name=bad)


# ---------------------------------------------------------------- registries


@scenario
def test_the_global_registry_is_everybodys(net):
    @register_rpc
    def everywhere():
        return 'here'

    @register_rpc(name='and.there')
    def elsewhere():
        return 'there'

    for _ in range(2):
        _, client = net.pair()
        assert (yield client.everywhere()) == 'here'
        assert (yield client.call('and.there')) == 'there'


@scenario
def test_what_is_nearer_wins(net):
    register_rpc(lambda: 'global', name='where')
    shared = create_local_registry('shared')
    register_rpc(lambda: 'shared', name='where', registry=shared)
    plain, client_of_plain = net.pair()
    server, address = net.serve(registry=shared)
    client = net.client(address)
    assert (yield client_of_plain.where()) == 'global'
    assert (yield client.where()) == 'shared'
    plain.register_rpc(lambda: 'local', name='where')
    assert (yield client_of_plain.where()) == 'local'
    assert (yield client.where()) == 'shared'
    server.register_rpc(lambda: 'newer', name='where')
    assert (yield client.where()) == 'newer'
    assert get_rpc_callable('where')() == 'global'
    assert get_rpc_callable('where', registry=shared)() == 'newer'


@scenario
def test_functions_of_one_server_are_not_anothers(net):
    server, _ = net.pair()
    _, other_client = net.pair()
    server.register_rpc(len)
    yield from net.raises(pseud.ServiceNotFoundError, other_client.len([]))


@scenario
def test_registered_while_running(net):
    server, client = net.pair()
    yield from net.raises(pseud.ServiceNotFoundError, client.late())
    server.register_rpc(lambda: 'now', name='late')
    assert (yield client.late()) == 'now'


def test_get_rpc_callable():
    register_rpc(pow, name='power')
    found = get_rpc_callable('power')
    assert found(2, 3) == 8
    assert (found.name, found.func, found.domain) == ('power', pow, 'default')
    with pytest.raises(pseud.ServiceNotFoundError, match='nothing'):
        get_rpc_callable('nothing')


# ---------------------------------------------------------------- who may call


@scenario
def test_with_identity(net):
    server, alice, bob = net.users('alice', 'bob')

    @server.register_rpc(with_identity=True)
    def whoami(user_id, *args, **kwargs):
        return user_id, args, kwargs

    assert (yield alice.whoami()) == ('alice', (), {})
    assert (yield bob.whoami(1, x=2)) == ('bob', (1,), {'x': 2})
    # what a caller says about itself counts for nothing
    error = yield from net.raises(TypeError, bob.whoami(user_id='alice'))
    assert 'multiple values' in str(error)


@scenario
def test_with_identity_where_nobody_has_one(net):
    server, client = net.pair()
    server.register_rpc(lambda user_id: user_id, name='whoami', with_identity=True)
    assert (yield client.whoami()) is None


def restrict(domain, allow):
    """Register a predicate for a domain."""

    @register_predicate
    @implementer(IPredicate)
    @adapter(IRPCCallable)
    class Restricted:
        name = domain

        def __init__(self, rpc_callable):
            self.rpc_callable = rpc_callable

        def test(self, *args, **kw):
            return allow(self.rpc_callable.name, *args, **kw)


@scenario
def test_domains(net):
    asked = []

    def allow(name, user_id):
        asked.append((name, user_id))
        return user_id == 'alice'

    restrict('admins', allow)
    server, alice, bob = net.users('alice', 'bob')
    server.register_rpc(lambda: 'secret', name='secret', domain='admins')
    server.register_rpc(lambda: 'full', name='menu', domain='admins')
    server.register_rpc(lambda: 'public', name='menu')
    assert (yield alice.secret()) == 'secret'
    # does not tell that there is such a function
    hidden = yield from net.raises(pseud.ServiceNotFoundError, bob.secret())
    asked_of_bob = asked[1:]
    missing = yield from net.raises(pseud.ServiceNotFoundError, bob.nothing())
    assert type(hidden) is type(missing)
    assert str(hidden) == str(missing).replace('nothing', 'secret')
    assert 'no function' in str(hidden)
    assert hidden.args == (str(hidden),)
    assert (asked[0], asked_of_bob) == (('secret', 'alice'), [('secret', 'bob')])
    # one name, a function for each domain: the restricted one where it is allowed
    for _ in range(2):
        assert (yield alice.menu()) == 'full'
        assert (yield bob.menu()) == 'public'


@scenario
def test_two_restricted_domains_of_one_name(net):
    """Permission chooses; who has neither can not tell the name from any other."""
    restrict('admins', lambda name, user_id: user_id == 'alice')
    restrict('staff', lambda name, user_id: user_id == 'bob')
    server, alice, bob, eve = net.users('alice', 'bob', 'eve')
    server.register_rpc(lambda: 'of admins', name='door', domain='admins')
    server.register_rpc(lambda: 'of staff', name='door', domain='staff')
    assert (yield alice.door()) == 'of admins'
    assert (yield bob.door()) == 'of staff'
    hidden = yield from net.raises(pseud.ServiceNotFoundError, eve.door())
    missing = yield from net.raises(pseud.ServiceNotFoundError, eve.hatch())
    assert str(hidden) == str(missing).replace('hatch', 'door')


@scenario
def test_get_rpc_callable_asks_predicates(net):
    restrict('adults', lambda name, age: age >= 18)
    register_rpc(lambda: 'wine', name='drink', domain='adults')
    assert get_rpc_callable('drink', age=18)() == 'wine'
    with pytest.raises(pseud.ServiceNotFoundError):
        get_rpc_callable('drink', age=17)
    yield from ()


@implementer(IAuthenticationBackend)
class Colours(AuthenticationBackend):
    """An authentication plugin of the user's own; tells predicates a colour."""

    name = 'colours'
    needs_zap = False
    identifies = False
    stopped = False

    def __init__(self, rpc=None):
        self.colour = 'red'

    def socket_options(self):
        return {}

    def authenticate(self, credentials):
        raise AssertionError('is not asked')

    def get_predicate_arguments(self, user_id):
        return {'colour': self.colour}

    def stop(self):
        self.stopped = True


@scenario
def test_predicate_arguments_come_from_the_authentication_plugin(net):
    restrict('only-red', lambda name, colour: colour == 'red')
    plugin = Colours()
    server, address = net.serve(security_plugin=plugin)
    client = net.client(address)
    server.register_rpc(lambda: 'wine', name='drink', domain='only-red')
    assert (yield client.drink()) == 'wine'
    plugin.colour = 'green'
    yield from net.raises(pseud.ServiceNotFoundError, client.drink())
    yield server.stop()
    assert plugin.stopped


@scenario
def test_a_plugin_of_ones_own_by_name(net):
    register_auth_backend(adapter(pseud.interfaces.IServer)(Colours))
    server, address = net.serve(security_plugin='colours')
    server.register_rpc(len)
    assert (yield net.client(address).len('abc')) == 3
    with pytest.raises(pseud.UnknownPluginError, match="'colours' for a Client"):
        net.client(security_plugin='colours')


@scenario
def test_bad_plugins(net):
    with pytest.raises(pseud.UnknownPluginError, match=r'there are: .*plain'):
        net.server(security_plugin='nonsense')
    with pytest.raises(LookupError, match='there are: noop_heartbeat_backend'):
        net.server(heartbeat_plugin='nonsense')
    with pytest.raises(TypeError, match='implementer'):
        net.server(security_plugin=object())
    with pytest.raises(TypeError, match='needs a `name`'):
        register_auth_backend(Cat)
    yield from ()


@scenario
def test_a_domain_without_predicate_is_closed(net, logs):
    server, client = net.pair()
    server.register_rpc(len, domain='forgotten')
    server.register_rpc(abs)
    yield from net.raises(pseud.UnauthorizedError, client.len([]), match='did not run')
    assert (yield client.abs(-1)) == 1
    logs.errors_expected = True  # a mistake of whoever wrote the server
    assert 'len()' in logs.texts()[-1]


@scenario
def test_a_predicate_that_fails_refuses(net, logs):
    restrict('broken', lambda name, **kw: 1 // 0)
    server, client = net.pair()
    server.register_rpc(len, domain='broken')
    yield from net.raises(pseud.UnauthorizedError, client.len([]), match='did not run')
    logs.errors_expected = True


@scenario
def test_a_predicate_decides_at_once(net, logs):
    """A coroutine would be true, whatever comes out of it."""

    @register_predicate
    @implementer(IPredicate)
    @adapter(IRPCCallable)
    class Later:
        name = 'later'

        def __init__(self, function):
            pass

        async def test(self, user_id):
            return False

    server, client = net.pair()
    server.register_rpc(len, domain='later')
    logs.errors_expected = True
    yield from net.raises(pseud.UnauthorizedError, client.len(''))
    assert any('asking whether len() may be called failed' in t for t in logs.texts())


@scenario
def test_plugins_that_lack_something_are_named(net):
    @register_auth_backend
    @implementer(IAuthenticationBackend)
    @adapter(IServer)
    class Lacking:
        """As they were before there was `challenges`."""

        name = 'lacking'
        needs_zap = identifies = False

        def __init__(self, rpc):
            pass

    for plugin in ('lacking', Lacking(None)):
        with pytest.raises(TypeError, match='AuthenticationBackend promises'):
            net.server(security_plugin=plugin)
    yield from ()


@scenario
def test_passwords_are_checked_at_once(net):
    async def passwords(user_id, password):
        return True

    with pytest.raises(ValueError, match='async def authenticate'):
        net.server(security_plugin='plain', passwords=passwords)
    yield from ()
