"""What README, docs and examples show is run, as it stands there.

In README.md the ``python`` blocks between two ``text`` blocks are the programs of one
example, each beginning with its file's name: ``# server.py`` runs while ``# client.py``
does; the text is what the client prints.  ``# client.py (NO_TORNADO=1)`` runs with that in
its environment.  Other addresses only are put in, free ones.
docs/ includes files of examples/; those that say ``Run it: python name.py`` are run, and
so are the tests among them.
"""

import doctest
import importlib
import pathlib
import re
import socket

import pytest

ROOT = pathlib.Path(__file__).parent.parent
README = ROOT / 'README.md'
EXAMPLES = ROOT / 'examples'
# whatever the environment says: programs choose the backend themselves
PLAIN = {'NO_TORNADO': None}
DOCS = [*sorted((ROOT / 'docs').rglob('*.rst')), *sorted((ROOT / 'docs').rglob('*.md'))]
DOCS = [path for path in DOCS if '_build' not in path.parts]
TESTS = [path.name for path in sorted(EXAMPLES.glob('test_*.py'))]
DOCUMENTED = [
    'admission', 'auth', 'caller', 'current', 'describe', 'dispatch', 'engine', 'errors',
    'expel', 'exposure', 'guard', 'heartbeat', 'hooks', 'interfaces', 'keys', 'logins',
    'many', 'packer', 'passwords', 'peers', 'plugins', 'predicate', 'raisable', 'registry',
    'remote', 'rpc', 'settings', 'sync', 'sync_engine', 'sync_link', 'users', 'utils',
    'zap',
]  # fmt: skip


def fenced(text):
    """(language, content) of each fenced block."""
    return re.findall(r'^```(\w+)\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)


def examples_of_readme():
    """Lists of programs, each with what the last one prints."""
    programs, examples = [], []
    for language, content in fenced(README.read_text()):
        if language == 'python':
            programs.append(content)
        elif language == 'text':
            examples.append((programs, content.splitlines()))
            programs = []
    assert not programs, 'a program without its output'
    return examples


def free_address():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return f'tcp://127.0.0.1:{probe.getsockname()[1]}'


def named(programs, name):
    """The program of that name, and what it wants in its environment."""
    first = re.compile(rf'# {name}\.py(?: \((\w+)=(\w+)\))?\n')
    found = [(text, first.match(text)) for text in programs if first.match(text)]
    assert len(found) == 1, f'one program of an example is {name}.py'
    text, match = found[0]
    return text, dict([match.groups()] if match[1] else [])


def skip_without_backend(source, env=()):
    """Skip if the backend is not installed that a program wants."""
    if 'NO_TORNADO' in env or 'NO_TORNADO' in source:
        pytest.importorskip('gevent')
    elif re.search(
        r'import .*\b(Client|Server|Harness)\b|tornado|hello_server', source
    ):
        pytest.importorskip('tornado')


@pytest.mark.parametrize('example', range(len(examples_of_readme())))
def test_readme(program, example):
    programs, output = examples_of_readme()[example]
    assert len(programs) == 2
    address = free_address()
    started = []
    for name in ('server', 'client'):
        source, env = named(programs, name)
        skip_without_backend(source, env)
        assert 'tcp://127.0.0.1:5555' in source
        source = source.replace('tcp://127.0.0.1:5555', address)
        started.append((['-c', source], {**PLAIN, **env}))
    (server, server_env), (client, client_env) = started
    program(server, env=server_env)
    client = program(client, env=client_env)
    assert client.rest() == output
    assert client.wait() == 0, client.stderr
    assert client.stderr == ''


def test_the_readme_has_examples():
    assert len(examples_of_readme()) >= 5


def runnable():
    """The examples that run by themselves."""
    for path in sorted(EXAMPLES.glob('*.py')):
        if f'python {path.name}' in path.read_text():
            alone = re.search(r'Run it: python \S+\.py\s*($|;)', path.read_text(), re.M)
            yield pytest.param(path, id=path.stem), bool(alone)


@pytest.mark.parametrize('path', [param for param, alone in runnable() if alone])
def test_examples(program, path):
    skip_without_backend(path.read_text())
    example = program([str(path)], cwd=EXAMPLES, env=PLAIN)
    assert example.rest(), 'says nothing'
    assert example.wait() == 0, example.stderr
    assert 'Traceback' not in example.stderr


def test_the_demo(program):
    pytest.importorskip('tornado')
    demo = program([str(EXAMPLES / 'demo.py')], env=PLAIN)
    assert demo.rest()
    assert demo.wait() == 0, demo.stderr


def test_hello(program):
    pytest.importorskip('tornado')
    address = free_address()
    program([str(EXAMPLES / 'hello_server.py'), address])
    client = program([str(EXAMPLES / 'hello_client.py'), address])
    assert any('Hello' in line for line in client.rest())
    assert client.wait() == 0, client.stderr


@pytest.mark.parametrize('name', TESTS)
def test_tests(program, name):
    """Also where the plugin is not installed, but can be imported."""
    source = (EXAMPLES / name).read_text()
    env, command = re.search(
        r'^Run it: (?:(\w+=\w+) )?python (.*)', source, re.M
    ).groups()
    assert command == f'-m pytest {name}'
    settings = dict([env.split('=')]) if env else PLAIN
    pytest.importorskip('gevent' if env else 'tornado')
    run = program(
        [*command.split(), '-p', 'pytest_pseud', '-q'], cwd=EXAMPLES, env=settings
    )
    lines = run.rest()
    assert run.wait() == 0, lines
    assert f'{source.count("def test_")} passed' in lines[-1]


def test_every_example_is_run():
    run = {param.values[0].name for param, alone in runnable() if alone} | set(TESTS)
    others = {'demo.py', 'demo_server.py', 'demo_client.py', 'demo_gevent.py'}
    others |= {'demo_sync.py'}
    others |= {'hello_server.py', 'hello_client.py'}
    assert run | others == {path.name for path in EXAMPLES.glob('*.py')}


@pytest.mark.parametrize('path', DOCS, ids=lambda path: path.stem)
def test_docs_show_files_that_are_run(path):
    """Python in docs/ is included from a file, or it is text that nobody runs."""
    text = path.read_text()
    assert not re.search(r'code-block:: *python', text), 'include an example instead'
    for _, content in fenced(text):
        compile(content, str(path), 'exec')
    for included in re.findall(r'literalinclude:: *(\S+)', text):
        assert (path.parent / included).resolve().is_file(), included


@pytest.mark.parametrize('name', DOCUMENTED)
def test_docstrings(name):
    outcome = doctest.testmod(importlib.import_module(f'pseud.{name}'))
    assert outcome.failed == 0
