"""The dual active-set method: optimality conditions on random problems, thin and empty feasible sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_envs.filters import active_set, general
from dto_envs.filters.leto import LeTOLayer
from dto_envs.registry import row

LAYOUT = row("dto/Square-v0").layout


def check_optimal(h, a, c, low, high, y, duals, tolerance=1e-8):
    values = c @ y
    scale = max(1.0, np.abs(a).max())
    assert np.maximum(values - high, low - values).max(initial=0.0) <= 1e-9
    assert np.abs(h @ y - a + c.T @ duals).max() <= tolerance * scale
    assert (duals[duals > 1e-9 * scale] > 0).all()
    for dual, value, lo, hi in zip(duals, values, low, high, strict=True):
        if dual > 1e-7 * scale:
            assert hi - value < 1e-8
        elif dual < -1e-7 * scale:
            assert value - lo < 1e-8


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(0, 14), st.sampled_from([0.0, 0.2, 2.0]))
def test_answers_are_optimal(seed, size, count, width):
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(size, size))
    h = factor @ factor.T + 0.1 * np.eye(size)
    a, c = 3 * rng.normal(size=size), rng.normal(size=(count, size))
    inside = rng.normal(size=size)
    low, high = c @ inside - width * rng.random(count), c @ inside + width * rng.random(count)
    if width:
        low[rng.random(count) < 0.3] = -np.inf
        high[rng.random(count) < 0.3] = np.inf
        y, duals = active_set.solve(h, a, c, low, high)
        assert y is not None
        check_optimal(h, a, c, low, high, y, duals, 1e-6)
    elif count < size:
        y, _ = active_set.solve(h, a, c, low, high)
        assert y is not None
        np.testing.assert_allclose(c @ y, low, atol=1e-8)


def test_what_nothing_satisfies_is_recognised():
    c = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    y, _ = active_set.solve(np.eye(2), np.zeros(2), c, np.array([1.0, 1.0, -9.0]), np.array([2.0, 2.0, 1.5]))
    assert y is None


def test_without_limits_it_is_a_linear_system():
    h = np.array([[2.0, 0.5], [0.5, 1.0]])
    y, duals = active_set.solve(h, np.array([1.0, 2.0]), np.zeros((0, 2)), np.zeros(0), np.zeros(0))
    assert y is not None and len(duals) == 0
    np.testing.assert_allclose(h @ y, [1.0, 2.0])


@pytest.mark.parametrize("edge", [1.0, -1.0, 1.0 + 5e-8])
def test_letos_layer_answers_where_the_iterative_solver_gives_up(edge, monkeypatch):
    rng = np.random.default_rng(0)
    layer = LeTOLayer(6, LAYOUT, alpha=1.0, bound=0.1)
    embedding = np.arctanh(np.clip(edge + 0.3 * rng.normal(size=(3, 6, 7)), -0.99, 0.99)) * 3
    previous = np.full((3, 7), edge)
    expected = layer(embedding, previous)
    monkeypatch.setattr(general, "proxqp", lambda h, a, c, low, high: (None, np.zeros(len(c))))
    found = layer(embedding, previous)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    steps = np.diff(found[:, :, :6], axis=1, prepend=previous[:, None, :6])
    assert np.abs(steps).max() <= 0.1 + 1e-6 and np.abs(found[:, :, :6]).max() <= 1 + 1e-6
