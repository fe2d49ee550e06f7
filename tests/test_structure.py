"""Who imports whom, what importing pseud loads, and what it exports."""

import ast
import pathlib
import types

import pytest

import pseud
from pseud import errors, interfaces

ROOT = pathlib.Path(pseud.__file__).parent

# From the bottom up. A module imports from the lines above its own, and nothing else of
# pseud; modules of one package import each other, without circles.
LAYERS = [
    'errors _version exposure native seldom turns users',
    '_core',
    '_values',
    'packer keys passwords',
    'packer_v1 interfaces peers settings guard raisable',
    'describe',
    'registry remote caller hooks signals monitor roster sender transit zap',
    'current link proxy',
    'admission plugins pump dispatch many',
    'client_link server_link sync_link predicate heartbeat auth utils',
    'ending expel sync_engine watch',
    'logins sync',
    'engine',
    'rpc',
    'client server',
    '_tornado _gevent',
    '_binding',
    'testing',
    '__init__ commands',
    '__main__',
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names.split()}

# Who may use what does I/O, knows a clock, an event loop or threads.
EXTERNAL = {
    'zmq': 'engine pump client_link server_link monitor zap auth sender sync_engine '
    'sync_link keys testing',
    'tornado': '_tornado',
    'asyncio': '_tornado testing',
    'gevent': '_gevent testing',
    'greenlet': '_gevent',
    'time': '_gevent _tornado sync_engine sync_link testing zap',
    'threading': 'native signals',
    '_thread': 'native',
    'concurrent': '_gevent',
    'socket': 'server_link',
    '_socket': 'testing',
    'select': 'testing',
    'selectors': '',
    'pickle': '',
    'marshal': '',
    'subprocess': '',
}
CORE_MAY = {
    'collections',
    'copy',
    'dataclasses',
    'itertools',
    'math',
    'msgpack',
    'typing',
}

MODULES = {
    '.'.join(path.relative_to(ROOT).with_suffix('').parts): path
    for path in sorted(ROOT.rglob('*.py'))
}


def top(module):
    return module.partition('.')[0]


def imports(module):
    """What a module imports when it is loaded or run: (names in pseud, other names)."""
    path = MODULES[module]
    package = path.relative_to(ROOT).parts[:-1]
    inside, outside = set(), set()

    def visit(node):
        if isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            outside.update(top(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            outside.add(top(node.module))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            base += tuple(node.module.split('.')) if node.module else ()
            for alias in node.names:
                name = '.'.join((*base, alias.name))
                inside.add(name if is_module(name) else '.'.join(base))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return inside, outside


def is_module(name):
    return name in MODULES or f'{name}.__init__' in MODULES


@pytest.mark.parametrize('module', MODULES)
def test_imports_point_down(module):
    inside, outside = imports(module)
    assert 'pseud' not in outside, 'imports inside pseud are relative'
    assert top(module) in RANK, f'put {module} in its place in LAYERS'
    for imported in inside:
        if top(imported) != top(module):
            assert RANK[top(imported)] < RANK[top(module)], f'{imported} is not below'


@pytest.mark.parametrize('module', MODULES)
def test_imports_of_what_does_io(module):
    _, outside = imports(module)
    for name in outside & set(EXTERNAL):
        assert top(module) in EXTERNAL[name].split(), f'{name} has no place here'
    if top(module) == '_core':
        assert outside <= CORE_MAY


def test_packages_have_no_circles():
    def reach(module, above):
        assert module not in above, f'a circle: {" -> ".join((*above, module))}'
        for imported in imports(module)[0] if module in MODULES else ():
            if top(imported) == top(module):
                reach(imported, (*above, module))

    for module in MODULES:
        reach(module, ())


def test_the_table_has_no_dead_entries():
    assert set(RANK) == {top(module) for module in MODULES}


# ---------------------------------------------------------------- what is loaded

LOADED = """
import IMPORTS
say(' '.join(sorted(sys.modules)))
"""


def loaded(program, what, **env):
    process = program(LOADED.replace('import IMPORTS', what), env=env)
    lines = process.rest()
    assert process.wait() == 0, process.stderr
    return set(lines[-1].split())


def test_importing_pseud_loads_no_event_loop(program):
    ours = loaded(program, 'import pseud, pseud.utils, pseud.interfaces')
    theirs = loaded(program, 'import zmq, zmq.utils.monitor, zope.interface.registry')
    assert not {'tornado', 'gevent', 'greenlet'} & ours
    assert 'asyncio' not in ours - theirs


def test_tornado_is_the_first_choice(program):
    pytest.importorskip('tornado')
    modules = loaded(program, 'from pseud import Client, Server', NO_TORNADO=None)
    assert 'tornado' in modules
    assert 'gevent' not in modules


def test_no_tornado_means_none_of_it(program):
    source = """
    try:
        from pseud import Client, Server
    except ImportError as error:
        assert 'NO_TORNADO' in str(error), error
    """
    lines = program(
        source + '\n    say(*sorted(sys.modules))', env={'NO_TORNADO': '1'}
    ).rest()
    assert lines
    modules = set(lines[-1].split())
    assert 'pseud' in modules
    assert not any(top(name) == 'tornado' for name in modules)


# ---------------------------------------------------------------- what is exported


def test_exports():
    for name in pseud.__all__:
        if name not in ('Client', 'Server'):  # there may be no backend
            assert getattr(pseud, name) is not None
    public = {
        name
        for name, value in vars(pseud).items()
        if not name.startswith('_') and not isinstance(value, types.ModuleType)
    }
    assert public - {'TYPE_CHECKING', 'Any'} <= set(pseud.__all__)
    assert sorted(pseud.__all__) == sorted({*dir(pseud), 'Client', 'Server'})
    with pytest.raises(AttributeError, match='no attribute'):
        pseud.Clinet  # noqa: B018


def test_every_exception_can_be_had_everywhere():
    found = {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert len(found) > 15
    for name, value in found.items():
        assert issubclass(value, pseud.PseudError)
        for module in (pseud, errors, interfaces):
            assert name in module.__all__
            assert getattr(module, name) is value
        assert f'── {name}' in errors.__doc__, f'draw {name} in the tree'


def test_the_tree_in_the_docstring_is_true():
    """Each class stands below one of its bases."""
    above = {}
    for line in errors.__doc__.splitlines():
        branch, mark, rest = line.partition('── ')
        if not mark:
            continue
        depth = len(branch)
        name = rest.split()[0]
        above[depth] = name
        parents = [above[d] for d in sorted(above) if d < depth]
        if parents:
            assert issubclass(getattr(errors, name), getattr(errors, parents[-1]))
    assert issubclass(pseud.TimeoutError, TimeoutError)


def test_every_module_says_what_it_is_for():
    for module, path in MODULES.items():
        assert ast.get_docstring(ast.parse(path.read_text())), module
        assert len(path.read_text().splitlines()) < 500, f'{module} is too long'
