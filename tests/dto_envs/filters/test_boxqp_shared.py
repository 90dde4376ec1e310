"""The box QP of a batch that shares one Q: the same answers and gradients as the solver that takes any Q."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_envs.filters import boxqp, boxqp_shared, boxqp_torch

HORIZON, DIMS, TRAJECTORY = 6, 4, (0, 1, 2)


def problem(seed: int, spread: float, bound: float, batch: int = 9):
    rng = np.random.default_rng(seed)
    size = HORIZON * DIMS
    factor = np.eye(size) + spread * np.tril(rng.normal(size=(size, size)))
    q = (factor @ factor.T + 1e-4 * np.eye(size))[None]
    linear = rng.normal(size=(batch, HORIZON, DIMS))
    upper = np.full((1, HORIZON, len(TRAJECTORY)), bound)
    previous = rng.uniform(-1, 1, (batch, DIMS))
    return q, linear, -upper, upper, previous


def free_first(lower, upper):
    lower, upper = lower.copy(), upper.copy()
    lower[:, 0], upper[:, 0] = -np.inf, np.inf
    return lower, upper


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.sampled_from([1e-3, 0.1, 3.0]),
    st.sampled_from([0.0, 1.0, 16.0]),
    st.booleans(),
)
def test_answers_and_gradients_are_those_of_the_solver_for_any_q(seed, spread, bound, alpha, linked):
    q, linear, lower, upper, previous = problem(seed, spread, bound)
    options = {"alpha": alpha, "trajectory": TRAJECTORY, "previous": previous if linked else None}
    if not linked:
        lower, upper = free_first(lower, upper)
    expected = boxqp.solve(q, linear, lower, upper, **options)
    found, inverse = boxqp_shared.solve(q, linear, lower, upper, **options)
    assert inverse is not None
    scale = max(1.0, np.abs(expected.actions).max())
    np.testing.assert_allclose(found.actions, expected.actions, atol=1e-8 * scale)
    cotangent = np.random.default_rng(seed).normal(size=linear.shape)
    wanted = boxqp.backward(q, found.active, cotangent, alpha=alpha, trajectory=TRAJECTORY)
    got = boxqp_shared.backward(inverse, found.active, cotangent, TRAJECTORY)
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7 * max(1.0, np.abs(other).max()))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 0.1]))
def test_limits_are_kept(seed, bound):
    q, linear, lower, upper, previous = problem(seed, 1.0, bound)
    found, _ = boxqp_shared.solve(q, 100 * linear, lower, upper, alpha=1.0, trajectory=TRAJECTORY, previous=previous)
    steps = np.diff(found.actions[:, :, TRAJECTORY], axis=1, prepend=previous[:, None, TRAJECTORY])
    assert np.abs(steps).max() <= bound + 1e-12


def test_hard_problems_are_left_to_the_other_solver(monkeypatch):
    q, linear, lower, upper, previous = problem(1, 0.1, 0.1)
    options = {"alpha": 1.0, "trajectory": TRAJECTORY, "previous": previous}
    expected = boxqp.solve(q, linear, lower, upper, **options)

    def solve_none(inverse, slope, low, high):
        return np.zeros_like(slope), np.zeros(slope.shape, dtype=np.int8), np.arange(len(slope)) % 2 == 0

    monkeypatch.setattr(boxqp_shared, "solve_boxes", solve_none)
    found, _ = boxqp_shared.solve(q, linear, lower, upper, **options)
    np.testing.assert_array_equal(found.actions[1::2], expected.actions[1::2])
    np.testing.assert_array_equal(found.active[1::2], expected.active[1::2])
    same, inverse = boxqp_shared.solve(q, linear, upper, upper, **options)
    np.testing.assert_array_equal(same.actions, boxqp.solve(q, linear, upper, upper, **options).actions)
    assert inverse is None


def test_what_cannot_be_inverted_safely_is_recognised():
    assert boxqp_shared.inverse_of(np.diag([1.0, -1.0])) is None
    assert boxqp_shared.inverse_of(np.diag([1.0, 1e-12])) is None
    inverse = boxqp_shared.inverse_of(np.diag([2.0, 4.0]))
    assert inverse is not None
    np.testing.assert_allclose(inverse, np.diag([0.5, 0.25]))
    with pytest.raises(ValueError, match="positive definite"):
        q, linear, lower, upper, _ = problem(0, 0.1, 0.1)
        boxqp_shared.solve(-q, linear, *free_first(lower, upper), alpha=0.0, trajectory=TRAJECTORY)


@pytest.mark.parametrize("linked", [False, True])
def test_torch_takes_it_where_gradients_are_wanted(linked, monkeypatch):
    q, linear, lower, upper, previous = (torch.from_numpy(array) for array in problem(2, 0.3, 0.1, batch=2))
    if not linked:
        lower, upper = (torch.from_numpy(array) for array in free_first(lower.numpy(), upper.numpy()))
    calls = []
    real = boxqp_shared.solve
    monkeypatch.setattr(boxqp_shared, "solve", lambda *args, **options: calls.append(1) or real(*args, **options))

    def answer(q, linear, previous):
        last = previous if linked else None
        return boxqp_torch.solve(q, linear, lower, upper, alpha=1.0, trajectory=TRAJECTORY, previous=last)

    plain = answer(q, linear, previous)
    assert not calls
    inputs = [tensor.clone().requires_grad_() for tensor in (q, linear, previous)]
    torch.testing.assert_close(answer(*inputs), plain, atol=1e-10, rtol=0)
    assert calls
    symmetric = [0.5 * (inputs[0] + inputs[0].mT).detach().requires_grad_(), *inputs[1:]]

    def of_symmetric(half, linear, previous):
        return answer(0.5 * (half + half.mT), linear, previous)

    assert torch.autograd.gradcheck(of_symmetric, symmetric, eps=1e-7, atol=1e-5)
