"""Bounds are positive whole numbers."""

import dataclasses

import pytest

from pseud._core.limits import Limits

NAMES = [field.name for field in dataclasses.fields(Limits)]


def test_defaults_are_finite():
    assert all(0 < getattr(Limits(), name) < 1 << 40 for name in NAMES)


@pytest.mark.parametrize('name', NAMES)
def test_each_can_be_set(name):
    assert getattr(Limits(**{name: 1}), name) == 1


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('value', [0, -1, 1.5, True, None, '5', float('inf')])
def test_nothing_else_is_a_limit(name, value):
    with pytest.raises(ValueError, match=f'{name} must be a positive int'):
        Limits(**{name: value})


def test_they_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().max_calls = 5
