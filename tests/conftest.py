"""Fixtures: the backend, clients and servers on it, processes, and what gets logged."""

import gc
import logging
import tempfile

import pytest
from backends import Net
from drivers import DRIVERS
from memory import MemoryNet
from programs import Program

from pseud.utils import registry


def pytest_generate_tests(metafunc):
    """A scenario runs on every backend that has what it needs."""
    chosen = any(
        mark.name == 'parametrize' and mark.args[0] == 'backend'
        for mark in metafunc.definition.iter_markers()
    )
    if 'backend' in metafunc.fixturenames and not chosen:
        needs = getattr(metafunc.function, 'needs', frozenset())
        if 'memory' in metafunc.fixturenames:
            needs |= {'loop'}
        able = [name for name, driver in DRIVERS.items() if needs <= driver.abilities]
        metafunc.parametrize('backend', able, indirect=True)


@pytest.fixture
def backend(request):
    """The driver of each backend that is installed."""
    driver = DRIVERS[request.param]
    pytest.importorskip(driver.requires)
    return driver()


@pytest.fixture(params=['tcp', 'ipc', 'inproc'])
def transport(request):
    """Each of the transports, for what could depend on it."""
    return request.param


@pytest.fixture
def net(backend, logs):
    """Makes servers and clients, and stops them; see `backends.Net`."""
    # not tmp_path: that is too long for the address of a unix socket
    with tempfile.TemporaryDirectory() as directory:
        net = Net(backend, directory)
        yield net
        net.close()


@pytest.fixture
def memory(backend, logs):
    """The same without sockets, by a virtual clock; see `memory.MemoryNet`."""
    return MemoryNet(backend)


@pytest.fixture
def program():
    """Starts a process: ``program('source', env={})``; killed at the end."""
    programs = []

    def start(source, **how):
        programs.append(Program(source, **how))
        return programs[-1]

    yield start
    for each in programs:
        each.close()


def pytest_collection_finish():
    """What all tests share is no garbage: the look for that after each of them is short."""
    gc.collect()
    gc.freeze()


class Logs(logging.Handler):
    """Every record of WARNING and above; errors fail the test that does not expect any.

    Attributes:
        records: so far.
        errors_expected: set it to True where user code fails and the log should say so.
    """

    def __init__(self):
        super().__init__(logging.WARNING)
        self.records = []
        self.errors_expected = False

    def emit(self, record):
        self.records.append(record)

    def texts(self, level=logging.WARNING):
        return [r.getMessage() for r in self.records if r.levelno >= level]


@pytest.fixture(autouse=True)
def logs():
    """The log; a bug in pseud shows up as an ERROR there, and so does a lost future."""
    handler = Logs()
    root = logging.getLogger()
    root.addHandler(handler)
    yield handler
    gc.collect()  # asyncio complains about a forgotten exception when it is collected
    root.removeHandler(handler)
    errors = handler.texts(logging.ERROR)
    assert handler.errors_expected or not errors, f'logged: {errors}'


@pytest.fixture(autouse=True)
def global_registry():
    """The global registry; what a test adds is taken away."""
    before = _registered()
    yield registry
    for key, (remove, *what) in _registered().items():
        if key not in before:
            remove(*what)


def _registered():
    found = {}
    for each in registry.registeredUtilities():
        remove = registry.unregisterUtility
        key = (each.provided, each.name)
        found[key] = (remove, each.component, *key)
    for each in registry.registeredAdapters():
        remove = registry.unregisterAdapter
        key = (each.required, each.provided, each.name)
        found[key] = (remove, each.factory, *key)
    return found
