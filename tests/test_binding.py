"""Which backend is taken, and what is said when there is none.

What is installed is pretended here; tests/binding tries it in environments that hold
one backend, both and none.
"""

import inspect
import sys

import pytest

import pseud
from pseud import _binding


@pytest.fixture
def pretend(monkeypatch, tmp_path):
    """``pretend(installed, no_tornado)``: these packages are there, and broken."""
    monkeypatch.setattr(_binding, '_module', None)
    for name in ('Client', 'Server'):
        monkeypatch.delitem(vars(pseud), name, raising=False)

    def pretend(installed, no_tornado=None):
        for name in ('tornado', 'gevent'):
            monkeypatch.setitem(sys.modules, name, None)
            if name in installed:
                monkeypatch.delitem(sys.modules, name)
                (tmp_path / name).mkdir()
                (tmp_path / name / '__init__.py').write_text(
                    f'raise ImportError("a broken {name}")'
                )
            # another test may have imported the real one
            for module in list(sys.modules):
                if module.startswith((f'{name}.', f'pseud._{name}')):
                    monkeypatch.delitem(sys.modules, module)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delenv('NO_TORNADO', raising=False)
        if no_tornado is not None:
            monkeypatch.setenv('NO_TORNADO', no_tornado)

    return pretend


@pytest.mark.parametrize('no_tornado', [None, '', '0', '1'])
@pytest.mark.parametrize('installed', ['tornado gevent', 'tornado', 'gevent', ''])
def test_which(pretend, installed, no_tornado):
    pretend(installed.split(), no_tornado)
    expected = None
    if 'tornado' in installed and not no_tornado:
        expected = 'tornado'
    elif 'gevent' in installed:
        expected = 'gevent'
    assert _binding.find_backend() == expected


@pytest.mark.parametrize('name', ['tornado', 'gevent'])
def test_a_directory_is_no_package(pretend, tmp_path, monkeypatch, name):
    pretend([])
    (tmp_path / name).mkdir()
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])  # whatever is installed
    assert _binding.find_backend() is None


@pytest.mark.parametrize('name', ['Client', 'Server'])
def test_with_none_it_says_what_to_do(pretend, name):
    pretend([])
    with pytest.raises(ImportError) as caught:
        getattr(pseud, name)
    text = str(caught.value)
    assert 'pip install "pseud[Tornado]"' in text
    assert 'pip install "pseud[Gevent]"' in text
    assert 'SyncClient' in text
    assert 'NO_TORNADO' not in text
    with pytest.raises(ImportError) as again:
        exec(f'from pseud import {name}')
    assert str(again.value) == text


def test_it_says_why_tornado_is_not_taken(pretend):
    pretend(['tornado'], no_tornado='1')
    with pytest.raises(ImportError, match='NO_TORNADO is set') as caught:
        pseud.Client  # noqa: B018
    assert str(caught.value).index('Gevent') < str(caught.value).index('Tornado')


@pytest.mark.parametrize(('name', 'no_tornado'), [('tornado', None), ('gevent', '1')])
def test_what_is_broken_is_not_taken_for_absent(pretend, name, no_tornado):
    pretend(['tornado', 'gevent'], no_tornado)
    with pytest.raises(ImportError, match=f'a broken {name}'):
        pseud.Client  # noqa: B018


def test_only_what_can_be_had_is_listed(pretend):
    pretend([])
    assert set(pseud.__all__) - set(dir(pseud)) == {'Client', 'Server'}
    assert dict(inspect.getmembers(pseud))['SyncClient'] is pseud.SyncClient
    pretend(['gevent'])
    assert dir(pseud) == sorted(pseud.__all__)
