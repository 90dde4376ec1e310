"""Projection in commands and positions: optimal, and nearer to where the chunk leads than Euclid's projection."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_envs.filters import make_filter, optimize_trajectory
from dto_envs.layouts import PUSHT_LAYOUT, ROBOMIMIC_LAYOUT

HORIZON = 12
MOVING = list(ROBOMIMIC_LAYOUT.trajectory)


def jerky(seed, batch=3):
    rng = np.random.default_rng(seed)
    chunk = np.clip(np.cumsum(0.25 * rng.normal(size=(batch, HORIZON, 7)), axis=1), -1, 1)
    return chunk, np.clip(chunk[:, 0] + 0.2 * rng.normal(size=(batch, 7)), -1, 1)


def objective(y, wanted, metric, alpha):
    """What is minimised, for one dimension of every sample (B, T, 1)."""
    strayed = (y - wanted)[:, :, 0]
    rough = np.square(np.diff(y[:, :, 0], axis=1)).sum(axis=1)
    return 0.5 * np.einsum("bi,ij,bj->b", strayed, metric, strayed) + 0.5 * alpha * rough


@given(seed=st.integers(0, 2**31), alpha=st.sampled_from([0.0, 0.5, 4.0]), weight=st.floats(0.01, 30))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_it_is_the_optimum_that_another_solver_finds(seed, alpha, weight):
    chunk, previous = jerky(seed)
    tamed = make_filter("tracking", ROBOMIMIC_LAYOUT, alpha=alpha, weight=weight)(chunk, previous)
    summed = np.tril(np.ones((HORIZON, HORIZON)))
    metric = np.eye(HORIZON) + weight * summed.T @ summed
    for dim in MOVING:
        expected = optimize_trajectory(
            metric @ chunk[:, :, [dim]],
            *(metric, -0.1, 0.1),
            alpha=alpha,
            trajectory_dims=(0,),
            previous=previous[:, [dim]],
            solver="proxqp",
        )
        # The other solver stops at a residual of its own, so its optimum is compared by its worth too.
        np.testing.assert_allclose(tamed[:, :, [dim]], expected, atol=1e-3)
        ours, theirs = (objective(y, chunk[:, :, [dim]], metric, alpha) for y in (tamed[:, :, [dim]], expected))
        assert (ours <= theirs + 1e-4 * (1 + np.abs(theirs))).all()


@given(seed=st.integers(0, 2**31))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_it_leads_nearer_to_where_the_chunk_leads_than_projection(seed):
    chunk, previous = jerky(seed)

    def strays(name, **options):
        tamed = make_filter(name, ROBOMIMIC_LAYOUT, **options)(chunk, previous)
        return np.square(np.cumsum(tamed - chunk, axis=1)[:, :, MOVING]).sum()

    assert strays("tracking", alpha=0.0) <= strays("projection") + 1e-9


def test_commands_that_are_positions_are_optimised_as_with_static_q():
    rng = np.random.default_rng(0)
    chunk = np.cumsum(0.1 * rng.normal(size=(4, HORIZON, 2)), axis=1)
    expected = make_filter("static-q", PUSHT_LAYOUT)(chunk, chunk[:, 0])
    np.testing.assert_allclose(make_filter("tracking", PUSHT_LAYOUT)(chunk, chunk[:, 0]), expected, atol=1e-10)


def test_tensors_agree_and_have_the_gradient_of_differences():
    chunk, previous = jerky(5, batch=1)
    action_filter = make_filter("tracking", ROBOMIMIC_LAYOUT, alpha=0.5)
    tensor = torch.from_numpy(chunk).requires_grad_()
    tamed = action_filter(tensor, torch.from_numpy(previous))
    np.testing.assert_allclose(tamed.detach().numpy(), action_filter(chunk, previous), atol=1e-7)
    tamed.square().sum().backward()
    assert tensor.grad is not None
    step = 1e-5 * np.random.default_rng(1).normal(size=chunk.shape)
    ends = [np.square(action_filter(chunk + side * step, previous)).sum() for side in (1, -1)]
    assert np.sum(tensor.grad.numpy() * step) == pytest.approx((ends[0] - ends[1]) / 2, rel=1e-3)


@pytest.mark.parametrize("option", [{"weight": -1.0}, {"alpha": -0.1}, {"weight": float("nan")}])
def test_weights_that_mean_nothing_are_refused(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))} must be a finite number >= 0"):
        make_filter("tracking", ROBOMIMIC_LAYOUT, **option)


@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize("horizon", [8, 12, 15])
def test_what_goes_on_as_it_was_is_left_as_it_is(horizon, tensors):
    """The whole problem vanishes: its scale is 0 at the solution, and next to nothing beside it."""
    values = np.linspace(-1, 1, 65)[:, None]
    previous = np.repeat(values, 7, axis=1)
    chunk = np.repeat(previous[:, None], horizon, axis=1)
    arguments = (chunk, previous) if not tensors else map(torch.from_numpy, (chunk, previous))
    tamed = make_filter("tracking", ROBOMIMIC_LAYOUT)(*arguments)
    np.testing.assert_allclose(np.asarray(tamed), chunk, atol=1e-12)
