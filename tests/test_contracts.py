"""Contracts, by machine: what is declared is provided, and only that is used."""

import ast
import importlib
import pathlib
import pkgutil
import socket
import sys

import pytest
import zmq
from backends import scenario
from zope.interface import implementedBy
from zope.interface.verify import verifyClass, verifyObject

import pseud
from pseud import interfaces
from pseud.utils import registry

ROOT = pathlib.Path(pseud.__file__).parent
NEEDS = {'_tornado': 'tornado', '_gevent': 'gevent'}
OURS = [
    value
    for value in vars(interfaces).values()
    if isinstance(value, type(interfaces.IBackend))
    and value.__module__ == interfaces.__name__
]


def modules():
    """Every module of pseud that can be imported here."""
    for _, name, _ in pkgutil.walk_packages([str(ROOT)], 'pseud.', onerror=str):
        needs = next((NEEDS[part] for part in name.split('.') if part in NEEDS), None)
        try:
            if needs:
                importlib.import_module(needs)
        except ImportError:
            continue
        yield importlib.import_module(name)


CLAIMS = [
    pytest.param(interface, value, id=f'{value.__qualname__}-{interface.__name__}')
    for module in modules()
    for value in vars(module).values()
    if isinstance(value, type) and value.__module__ == module.__name__
    for interface in implementedBy(value).flattened()
    # the bases of clients and servers are not complete; `now` of a backend is its loop's
    if interface in OURS
    and interface is not interfaces.IBackend
    and not value.__name__.startswith('Base')
]
PLUGINS = [
    pytest.param(each, id=f'{each.factory.__name__}-{each.name}')
    for each in registry.registeredAdapters()
    if each.provided in OURS and each.factory.__module__.startswith('pseud.')
]


@pytest.mark.parametrize(('interface', 'claimed'), CLAIMS)
def test_classes_keep_what_they_declare(interface, claimed):
    assert verifyClass(interface, claimed)


def test_the_important_ones_declare_it():
    claimed = {(claim.values[1].__name__, claim.values[0].__name__) for claim in CLAIMS}
    expected = {
        ('Job', 'IJob'),
        ('RPCCallable', 'IRPCCallable'),
        ('RPCRoute', 'IRPCRoute'),
        ('SyncClient', 'IClient'),
    }
    if any(name in sys.modules for name in NEEDS.values()):  # modules() imported it
        expected |= {
            ('Client', 'IClient'),
            ('Server', 'IServer'),
            ('Result', 'IResult'),
        }
    if 'gevent' in sys.modules:
        expected |= {(name, 'IHandle') for name in ('Handler', 'Soon', 'Watcher')}
    assert expected <= claimed


@scenario(needs=('loop',))
def test_backends(net):
    client = net.client()
    yield client.start()
    backend = client._engine.backend
    assert verifyObject(interfaces.IBackend, backend)
    assert backend.name == net.driver.name
    assert verifyObject(interfaces.IResult, backend.result(print))
    ran = []
    here, there = socket.socketpair()
    with here, there:
        there.send(b'something to read')
        handles = [
            backend.call_soon(lambda: ran.append('soon')),
            backend.call_soon_threadsafe(lambda: ran.append('threadsafe')),
            backend.call_at(backend.now(), lambda: ran.append('at')),
            backend.watch(here.fileno(), lambda: ran.append('watch')),
        ]
        for handle in handles:
            handle.cancel()
            handle.cancel()  # harmless
        yield net.sleep(0.01)
    assert ran == []


@pytest.mark.parametrize('plugin', PLUGINS)
def test_plugins(backend, plugin):
    assert verifyClass(plugin.provided, plugin.factory)
    public, secret = zmq.curve_keypair()
    settings = {'name': 'x', 'user_id': 'alice', 'password': '', 'secret_key': secret}
    server = backend.Server(**settings, passwords={}, authorized_keys={})
    client = backend.Client(**settings, peer_public_key=public)
    if plugin.provided is interfaces.IPredicate:
        adapted = [None]
    else:
        wanted = plugin.required[0]
        adapted = [rpc for rpc in (server, client) if wanted.providedBy(rpc)]
    assert adapted
    for rpc in adapted:
        made = plugin.factory(rpc)
        assert verifyObject(plugin.provided, made)
        assert made.name == plugin.name
    client.stop()
    server.stop()


def test_clients_and_servers(backend):
    client, server = backend.Client('x'), backend.Server('x')
    assert verifyObject(interfaces.IClient, client)
    assert verifyObject(interfaces.IServer, server)
    client.stop()
    server.stop()


# ---------------------------------------------------------------- what is used

INTERFACE_OF = {
    'auth': interfaces.IAuthenticationBackend,
    'heartbeat': interfaces.IHeartbeatBackend,
    'backend': interfaces.IBackend,
}


def uses(path):
    """(what, attribute) for ``backend.now``, ``engine.auth.stop`` and the like."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            owner = node.value
            if isinstance(owner, ast.Attribute) and owner.attr in INTERFACE_OF:
                yield owner.attr, node.attr
            elif isinstance(owner, ast.Name) and owner.id in INTERFACE_OF:
                yield owner.id, node.attr


@pytest.mark.parametrize(
    'path',
    [path for path in sorted(ROOT.glob('*.py')) if path.stem != '__init__'],
    ids=lambda path: path.stem,
)
def test_what_is_used_is_declared(path):
    for what, attribute in uses(path):
        interface = INTERFACE_OF[what]
        assert attribute in interface.names(all=True), (
            f'{path.name} uses {what}.{attribute}, which {interface.__name__} '
            'does not declare'
        )


def test_what_is_used_is_found():
    """The test above looks at what it says it does."""
    found = {use for path in ROOT.glob('*.py') for use in uses(path)}
    assert {
        ('backend', 'now'),
        ('auth', 'socket_options'),
        ('heartbeat', 'stop'),
    } <= found


def test_what_is_declared_is_used():
    """A backend need not supply what nobody asks for."""
    used = {attribute for path in ROOT.rglob('*.py') for _, attribute in uses(path)}
    assert set(interfaces.IBackend.names()) - used <= {'name'}
