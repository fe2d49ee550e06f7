"""Checks pseud as an environment has it: with tornado, gevent, both or none.

    python check.py FLAVOUR [--server PYTHON]...

It needs nothing but pseud, and is run by the environment's own interpreter; each check
runs in a process of its own, where nothing is imported yet, and nothing comes from the
working directory or PYTHONPATH (``-I``). ``--server`` names
interpreters to run servers with where this one can not. `tests/binding/run.py` makes
the environments.
"""

import argparse
import contextlib
import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))

import examples

FLAVOURS = {
    'tornado': {'tornado'},
    'gevent': {'gevent'},
    'both': {'tornado', 'gevent'},
    'none': set(),
}
SOURCES = Path(__file__).resolve().parent.parent.parent / 'pseud'
PATIENCE = 60  # seconds until a check that still runs has failed

CHECKS = {}  # name: (function, arguments, environment, flavours)


def check(flavours, *arguments, **environment):
    """Run this function in these flavours, with these arguments and NO_TORNADO."""

    def register(function):
        name = ' '.join([function.__name__, *map(str, arguments)])
        name += ''.join(f' {key}={value!r}' for key, value in environment.items())
        CHECKS[name] = (function, arguments, environment, flavours.split())
        return function

    return register


# ---------------------------------------------------------------- what is there


@check('tornado', 'tornado')
@check('gevent', 'gevent')
@check('both', 'both')
@check('none', 'none')
def installed_is(flavour):
    """Exactly the backends of the flavour, and pseud from its wheel."""
    import pseud

    for name in ('tornado', 'gevent'):
        found = importlib.util.find_spec(name) is not None
        assert found == (name in FLAVOURS[flavour]), f'{name} is there: {found}'
    package = Path(pseud.__file__).parent
    assert package.is_relative_to(sys.prefix), f'{package} is not what was installed'
    assert (package / 'py.typed').is_file()
    # neither too little nor what an earlier build left behind
    assert modules_in(package) == modules_in(SOURCES)
    absent = {
        f'{package_of}._{name}'
        for package_of in ('pseud', 'pseud.testing')
        for name in ('tornado', 'gevent')
        if name not in FLAVOURS[flavour]
    }
    modules = [module.name for module in pkgutil.walk_packages([package], 'pseud.')
               if not module.name.startswith(tuple(absent))]  # fmt: skip
    assert len(modules) > 30
    for module in modules:
        importlib.import_module(module)


@check('tornado gevent both none')
def importing_pseud_loads_no_event_loop():
    importlib.import_module('zmq.utils.monitor')  # for what it loads itself
    importlib.import_module('zope.interface.registry')
    before = loaded()
    import pseud.interfaces
    import pseud.utils  # noqa: F401

    assert not (loaded() - before) & {'tornado', 'gevent', 'greenlet', 'asyncio'}
    assert not loaded() & {'tornado', 'gevent', 'greenlet'}


# ---------------------------------------------------------------- which is taken


@check('tornado both')
@check('tornado both', NO_TORNADO='')
def tornado_is_taken():
    import asyncio

    from pseud import Client, Server

    async def main():
        server = Server('service', security_plugin='trusted_peer')
        client = Client('service', security_plugin='plain', user_id='a', password='')
        server.register_rpc(lambda: server.send_to('a').name(), name='ask')
        client.register_rpc(lambda: 'alice', name='name')
        client.connect(server.bind('tcp://127.0.0.1:*'))
        assert await client.ask() == 'alice'
        await client.stop()
        await server.stop()

    assert Client.__module__.startswith('pseud._tornado')
    assert Server.__module__.startswith('pseud._tornado')
    asyncio.run(main())
    assert 'tornado' in loaded()
    assert not loaded() & {'gevent', 'greenlet'}


@check('gevent')
@check('gevent', NO_TORNADO='')
@check('gevent both', NO_TORNADO='1')
@check('gevent both', NO_TORNADO='0')
def gevent_is_taken():
    import asyncio  # only to see that nobody uses it

    def refuse(*args, **kwargs):
        raise AssertionError('an asyncio event loop is made')

    asyncio.BaseEventLoop.__init__ = refuse
    asyncio.new_event_loop = asyncio.events.new_event_loop = refuse

    from pseud import Client, Server

    assert Client.__module__.startswith('pseud._gevent')
    assert Server.__module__.startswith('pseud._gevent')
    server = Server('service', security_plugin='trusted_peer')
    client = Client('service', security_plugin='plain', user_id='a', password='')
    server.register_rpc(lambda: server.send_to('a').name().get(), name='ask')
    client.register_rpc(lambda: 'alice', name='name')
    address = server.bind('tcp://127.0.0.1:*')
    server.start()
    client.connect(address)
    assert client.ask().get() == 'alice'
    client.stop()
    server.stop()
    assert 'gevent' in loaded()
    assert 'tornado' not in loaded()


@check('none')
@check('none', NO_TORNADO='1')
@check('tornado', NO_TORNADO='1')
def nothing_is_taken():
    """And all that can be had without a backend still can."""
    import pseud

    for name in ('Client', 'Server'):
        for ask in (
            lambda name=name: getattr(pseud, name),
            lambda name=name: exec(f'from pseud import {name}'),
        ):
            text = str(raised(ImportError, ask))
            assert 'pip install "pseud[Tornado]"' in text, text
            assert 'pip install "pseud[Gevent]"' in text, text
            assert ('NO_TORNADO' in text) == ('NO_TORNADO' in os.environ), text
    assert not loaded() & {'tornado', 'gevent'}
    assert set(pseud.__all__) - set(dir(pseud)) == {'Client', 'Server'}
    assert 'SyncClient' in dict(inspect.getmembers(pseud))


# ---------------------------------------------------------------- broken, or not it

BROKEN = {
    'raises': ('raise ImportError("broken on purpose")', 'broken on purpose'),
    'lacks': ('import something_that_is_not_there', 'something_that_is_not_there'),
    'is_old': ('', "from 'NAME|'NAME\\."),  # has nothing of what is wanted
}


@check('tornado both none', 'tornado', 'raises')
@check('tornado both none', 'tornado', 'lacks')
@check('tornado both none', 'tornado', 'is_old')
@check('gevent both none', 'gevent', 'raises', NO_TORNADO='1')
@check('gevent both none', 'gevent', 'lacks', NO_TORNADO='1')
@check('gevent both none', 'gevent', 'is_old', NO_TORNADO='1')
def broken_is_not_absent(name, how):
    """What is there and can not be imported is not called absent, nor passed over."""
    source, expected = BROKEN[how]
    with in_front_of_all() as directory:
        (directory / name).mkdir()
        (directory / name / '__init__.py').write_text(source)
        import pseud

        for _ in range(2):
            text = str(raised(ImportError, lambda: pseud.Client))
            assert re.search(expected.replace('NAME', name), text), text
            assert 'pip install' not in text


@check('none', 'tornado', None)
@check('none', 'gevent', None)
@check('gevent', 'tornado', 'gevent')
@check('tornado', 'gevent', 'tornado')
def a_directory_is_not_a_backend(name, expected):
    with in_front_of_all() as directory:
        (directory / name).mkdir()
        import pseud

        if expected is None:
            assert 'pip install' in str(raised(ImportError, lambda: pseud.Client))
        else:
            assert pseud.Client.__module__.startswith(f'pseud._{expected}')


# ---------------------------------------------------------------- programs


def run_example(server, client, output, interpreter):
    """Run both as users do, but for the address; the client prints ``output``."""
    with serving(server, interpreter) as address:
        done = subprocess.run(
            [sys.executable, '-I', '-c', client.replace(examples.ADDRESS, address)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.stdout, done.stderr, done.returncode) == (output, '', 0), done


@check('tornado both', 'tornado')
@check('tornado both', 'coroutine')
@check('tornado both', 'tornado calls back')
@check('gevent', 'gevent')
@check('gevent', 'gevent calls back')
@check('both', 'gevent', NO_TORNADO='1')
@check('both', 'gevent calls back', NO_TORNADO='1')
def example(name):
    run_example(*examples.EXAMPLES[name], sys.executable)


@check('tornado gevent both none', 'blocking')
def example_elsewhere(name):
    for interpreter in servers():
        run_example(*examples.EXAMPLES[name], interpreter)


@check('tornado both', 'tornado')
@check('gevent', 'gevent')
@check('both', 'gevent', NO_TORNADO='1')
@check('both none', 'none')
def readme(backend):
    """What README.md shows for this backend, or for SyncClient."""
    found = list(examples.of_readme(backend))
    assert found, 'README.md shows nothing'
    for server, client, output in found:
        run_example(server, client, output, servers()[0])


@check('tornado gevent both none')
def sync_client_works_and_loads_no_event_loop():
    from pseud import NotSentError, ServiceNotFoundError, SyncClient

    for interpreter in servers():
        with serving(examples.SERVER, interpreter) as address, SyncClient() as client:
            client.connect(address)
            assert client.hello('Charly') == 'Hello Charly'
            raised(ServiceNotFoundError, client.nothing)
            raised(TypeError, lambda client=client: client.hello(1, 2, 3))
            client.disconnect(address)
    with SyncClient(timeout=0.01) as client:
        client.connect('tcp://127.0.0.1:1')
        raised(NotSentError, client.hello)
    assert not loaded() & {'tornado', 'gevent', 'greenlet'}


# ---------------------------------------------------------------- tools

# Servers listen at a free port, and say where.
SERVE = """
import pseud
bind = pseud.Server.bind
def bind_and_tell(self, endpoint):
    print(bind(self, 'tcp://127.0.0.1:*'), flush=True)
pseud.Server.bind = bind_and_tell
"""


def loaded():
    """The top-level packages that are imported."""
    return {name.partition('.')[0] for name in sys.modules}


def modules_in(package):
    """The files of its modules."""
    return {str(path.relative_to(package)) for path in package.rglob('*.py')}


def raised(expected, function):
    """The exception that this function raises."""
    try:
        function()
    except expected as error:
        return error
    raise AssertionError(f'{expected.__name__} was not raised')


@contextlib.contextmanager
def in_front_of_all():
    """A directory that is searched first for what is imported."""
    with tempfile.TemporaryDirectory() as directory:
        sys.path.insert(0, directory)
        yield Path(directory)


@contextlib.contextmanager
def serving(source, interpreter):
    """Run a server; its address."""
    process = subprocess.Popen(
        [interpreter, '-I', '-c', SERVE + source],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = process.stdout.readline().strip()
        assert address, 'the server has ended'
        yield address
    finally:
        process.kill()
        process.communicate()


def servers():
    """The interpreters that run servers."""
    return os.environ['SERVERS'].split(os.pathsep)


def run(name, interpreters):
    """Run a check in a process of its own; None, or what went wrong."""
    environment = {k: v for k, v in os.environ.items() if k != 'NO_TORNADO'}
    environment |= CHECKS[name][2]
    environment['SERVERS'] = os.pathsep.join(interpreters)
    process = subprocess.Popen(
        [sys.executable, '-I', '-W', 'error', __file__, '--only', name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # and its servers
        return f'{process.communicate()[0]}no end after {PATIENCE} s'
    return output or 'it failed' if process.returncode else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('flavour', nargs='?', choices=FLAVOURS)
    parser.add_argument('--server', action='append', metavar='PYTHON')
    parser.add_argument('--only', choices=CHECKS, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.only:
        function, arguments, *_ = CHECKS[wanted.only]
        return function(*arguments)
    if wanted.flavour is None:
        parser.error('name a flavour')
    if wanted.flavour == 'none' and not wanted.server:
        parser.error('there is no Server without a backend: name a --server')
    names = [name for name, (*_, where) in CHECKS.items() if wanted.flavour in where]
    failed = 0
    for name in names:
        problem = run(name, wanted.server or [sys.executable])
        print(f'{wanted.flavour}: {name}: {"FAILED" if problem else "right"}')
        if problem:
            failed += 1
            print(problem)
    print(f'{wanted.flavour}: {len(names) - failed} of {len(names)} checks are right')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
