"""The pytest plugin, in runs of pytest of their own: its fixtures, and its silence."""

import os
import pathlib
import re
import textwrap
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PLUGIN = 'pytest_pseud'

ASYNCIO = """
import asyncio, sys, pytest, pseud

def test_what_is_made(pseud_server, pseud_client, pseud_relay):
    async def main():
        server, address = pseud_server('service')
        server.register_rpc(len)
        relay = pseud_relay(address)
        client = pseud_client(relay.endpoint, name='service')
        assert await client.len('abc') == 3
        assert relay.connections == 1
    asyncio.run(main())
    assert 'gevent' not in sys.modules

def test_what_is_kept(pseud_harness):
    async def main():
        client = pseud_harness.keep(pseud.Client())
        client.connect('tcp://127.0.0.1:1')
    asyncio.run(main())

def test_to_end_within_the_loop(pseud_harness, pseud_server, pseud_client):
    async def main():
        async with pseud_harness:
            server, address = pseud_server()
            server.register_rpc(len)
            assert await pseud_client(address).len('abc') == 3
    asyncio.run(main())

@pytest.fixture
def address(pseud_server):
    server, address = pseud_server('service', thread=True)
    server.register_rpc(len)
    return address

def test_a_script(address, pseud_sync_client):
    assert pseud_sync_client(address).len('abc') == 3

def test_in_one_loop_with_a_thread(address, pseud_client):
    async def main():
        assert await pseud_client(address).len('abc') == 3
    asyncio.run(main())
"""

GEVENT = """
import gevent, sys

def test_what_is_made(pseud_server, pseud_client, pseud_relay):
    server, address = pseud_server('service')
    server.register_rpc(len)
    relay = pseud_relay(address)
    client = pseud_client(relay.endpoint, name='service')
    assert client.len('abc').get() == 3
    assert relay.connections == 1
    assert 'tornado' not in sys.modules

def test_a_script(pseud_server, pseud_sync_client):
    server, address = pseud_server('service', thread=True)
    server.register_rpc(len)
    assert pseud_sync_client(address).len('abc') == 3

def test_what_is_under_way_has_a_grace(pseud_server, pseud_client):
    server, address = pseud_server('service')
    server.register_rpc(lambda: gevent.sleep(0.05), name='slow')
    pseud_client(address).slow()
"""

LEAVES = """
import gevent.event, pytest
from pseud.testing import Harness

@pytest.fixture
def pseud_harness():
    with Harness(grace=0) as harness:
        yield harness

def test_leaves_a_call(pseud_server, pseud_client):
    server, address = pseud_server('service')
    server.register_rpc(len)
    server.register_rpc(lambda: gevent.event.Event().wait(), name='wait')
    client = pseud_client(address)
    client.wait()
    assert client.len('abc').get() == 3

def test_is_not_disturbed_by_that(pseud_server, pseud_client):
    server, address = pseud_server('service')
    server.register_rpc(len)
    assert pseud_client(address).len('abc').get() == 3
"""

STRANGER = """
import sys

def test_nothing_is_loaded(request):
    assert request.config.pluginmanager.has_plugin('pytest_pseud')
    for name in ('pseud', 'zmq', 'tornado', 'gevent'):
        assert name not in sys.modules
"""


@pytest.fixture
def run(program, tmp_path):
    """Runs pytest on the text of a test module; what it prints, and its exit status."""

    def run(source, requires, plugin=('-p', PLUGIN), **env):
        pytest.importorskip(requires)
        path = tmp_path / 'test_users.py'
        path.write_text(textwrap.dedent(source))
        # as somebody else's project, which takes no plugin but this
        arguments = ['-c', '/dev/null', '--rootdir', str(tmp_path), '-W', 'error']
        started = program(
            ['-m', 'pytest', *arguments, *plugin, '-q', str(path)],
            cwd=tmp_path,
            env={'PYTEST_DISABLE_PLUGIN_AUTOLOAD': '1', **env},
        )
        lines = started.rest()
        return lines, started.wait()

    return run


def passed(lines, status):
    assert status == 0, '\n'.join(lines)
    return int(re.match(r'(\d+) passed', lines[-1])[1])


def test_on_asyncio(run):
    assert passed(*run(ASYNCIO, 'tornado', NO_TORNADO=None)) == 5


@pytest.mark.parametrize('patched', [False, True], ids=['', 'patched'])
def test_on_gevent(run, patched):
    patch = 'from gevent import monkey; monkey.patch_all()\n'
    count = passed(*run(patch * patched + GEVENT, 'gevent', NO_TORNADO='1'))
    assert count == 3


def test_what_is_left_fails_the_test(run):
    lines, status = run(LEAVES, 'gevent', NO_TORNADO='1')
    assert status == 1
    assert lines[-1].startswith('2 passed, 1 error')
    text = '\n'.join(lines)
    assert "<Client ''> waits for wait(): get the result, or cancel it" in text
    assert "<Server 'service'> runs wait()" in text
    assert 'ERROR at teardown of test_leaves_a_call' in text


def test_who_does_not_use_it_notices_nothing(run):
    assert passed(*run(STRANGER, 'pytest')) == 1


def test_installing_pseud_is_enough(run, tmp_path):
    """What pyproject.toml promises, where that is not what is installed."""
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())
    entries = project['project']['entry-points']['pytest11']
    # by the same name it is loaded once, though -p asks for it as well
    assert entries == {PLUGIN: PLUGIN}
    assert PLUGIN in project['tool']['setuptools']['py-modules']
    info = tmp_path / 'pseud_here-1.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: pseud_here\nVersion: 1'
    )
    (info / 'entry_points.txt').write_text(f'[pytest11]\n{PLUGIN} = {PLUGIN}\n')
    (info / 'RECORD').write_text('pytest_pseud.py,,\npseud/__init__.py,,\n')
    path = os.pathsep.join([str(tmp_path), os.environ.get('PYTHONPATH', '')])
    env = {'PYTEST_DISABLE_PLUGIN_AUTOLOAD': None, 'PYTHONPATH': path}
    for plugin in ((), ('-p', PLUGIN)):
        assert passed(*run(STRANGER, 'pytest', plugin, **env)) == 1
