"""What every action filter has in common, and what is particular to clipping, penalty and projection."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_envs.actions import PenaltyParameters, plain_layout
from dto_envs.filters import FILTERS, ActionFilter, InfeasibleLimitsError, make_filter, violation
from dto_envs.layouts import PUSHT_LAYOUT, ROBOMIMIC_LAYOUT

EXACT = ("clipping", "projection", "tracking", "static-q")


def chunk_of(layout, seed=0, batch=3, horizon=15):
    rng = np.random.default_rng(seed)
    chunk = np.clip(np.cumsum(0.2 * rng.normal(size=(batch, horizon, layout.size)), axis=1), -1, 1)
    return chunk, np.clip(chunk[:, 0] + 0.3 * rng.normal(size=(batch, layout.size)), -1, 1)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("linked", [True, False])
@given(seed=st.integers(0, 2**31), horizon=st.integers(1, 20), batch=st.integers(0, 4))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_filters_keep_limits_shape_and_the_other_dimensions(name, linked, seed, horizon, batch):
    chunk, previous = chunk_of(ROBOMIMIC_LAYOUT, seed, batch, horizon)
    last = previous if linked else None
    action_filter = make_filter(name, ROBOMIMIC_LAYOUT)
    assert isinstance(action_filter, ActionFilter)
    before = chunk.copy()
    for dtype in (np.float64, np.float32):
        tamed = action_filter(chunk.astype(dtype), last)
        assert tamed.dtype == dtype and tamed.shape == chunk.shape
        allowed = ROBOMIMIC_LAYOUT.penalty.tolerance if name == "penalty" else 0.0
        allowed += 1e-12 if dtype == np.float64 else 1e-6
        assert violation(tamed, last, ROBOMIMIC_LAYOUT).max(initial=0.0) <= allowed
        np.testing.assert_allclose(tamed[:, :, 6], chunk[:, :, 6].astype(dtype), atol=1e-12)
    assert np.array_equal(chunk, before)


@pytest.mark.parametrize("name", FILTERS)
def test_rows_do_not_depend_on_the_batch(name):
    chunk, previous = chunk_of(PUSHT_LAYOUT, batch=7)
    action_filter = make_filter(name, PUSHT_LAYOUT)
    together = action_filter(chunk, previous)
    assert np.array_equal(together[::-1], action_filter(chunk[::-1], previous[::-1]))
    for b in range(7):
        assert np.array_equal(together[b : b + 1], action_filter(chunk[b : b + 1], previous[b : b + 1]))


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("linked", [True, False])
def test_tensors_and_arrays_agree_and_tensors_are_differentiable(name, linked):
    chunk, previous = chunk_of(PUSHT_LAYOUT, seed=4)
    action_filter = make_filter(name, PUSHT_LAYOUT)
    expected = action_filter(chunk, previous if linked else None)
    tensor = torch.from_numpy(chunk).requires_grad_()
    tamed = action_filter(tensor, torch.from_numpy(previous) if linked else None)
    np.testing.assert_allclose(tamed.detach().numpy(), expected, atol=1e-7)
    tamed.sum().backward()
    assert tensor.grad is not None and torch.isfinite(tensor.grad).all() and tensor.grad.abs().sum() > 0


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy])
def test_nan_is_refused_before_anything_is_solved(name, wrap):
    chunk, previous = chunk_of(PUSHT_LAYOUT)
    action_filter = make_filter(name, PUSHT_LAYOUT)
    chunk[1, 2, 0] = np.nan
    with pytest.raises(ValueError, match="sample 1, step 2, dimension 0"):
        action_filter(wrap(chunk), wrap(previous))
    with pytest.raises(ValueError, match="2 action dimensions"):
        action_filter(wrap(np.zeros((1, 4, 3))))


@pytest.mark.parametrize("name", FILTERS)
def test_bounds_may_be_asymmetric_infinite_and_vary_in_time(name):
    chunk, previous = chunk_of(PUSHT_LAYOUT, seed=2)
    upper = np.linspace(0.02, 0.3, 15)[:, None] * np.array([1.0, 2.0])
    upper[4] = np.inf
    tamed = make_filter(name, PUSHT_LAYOUT, bound=(-0.05, upper))(chunk, previous)
    allowed = PUSHT_LAYOUT.penalty.tolerance if name == "penalty" else 1e-12
    assert violation(tamed, previous, PUSHT_LAYOUT, (-0.05, upper)).max() <= allowed
    with pytest.raises(InfeasibleLimitsError, match=r"dimension 0 \(x\) at step 0"):
        make_filter(name, PUSHT_LAYOUT, bound=(0.1, 0.05))


@pytest.mark.parametrize("name", FILTERS)
def test_filters_travel_to_other_processes(name):
    chunk, previous = chunk_of(PUSHT_LAYOUT)
    action_filter = make_filter(name, PUSHT_LAYOUT, bound=0.07)
    copy = pickle.loads(pickle.dumps(action_filter))
    assert np.array_equal(copy(chunk, previous), action_filter(chunk, previous))


@pytest.mark.parametrize("name", ["clipping", "penalty", "projection"])
def test_what_satisfies_the_limits_comes_back_unchanged(name):
    rng = np.random.default_rng(1)
    previous = rng.normal(size=(4, 2))
    chunk = previous[:, None] + np.cumsum(rng.uniform(-0.049, 0.049, (4, 12, 2)), axis=1)
    np.testing.assert_allclose(make_filter(name, PUSHT_LAYOUT)(chunk, previous), chunk, atol=1e-13)


def test_clipping_is_greedy():
    layout = plain_layout(1, bound=0.1)
    chunk = np.array([0.0, 0.5, 0.5, 0.15, 0.2])[None, :, None]
    clip = make_filter("clipping", layout)
    np.testing.assert_allclose(clip(chunk)[0, :, 0], [0.0, 0.1, 0.2, 0.15, 0.2])
    np.testing.assert_allclose(clip(chunk, np.array([[-0.3]]))[0, :, 0], [-0.2, -0.1, 0.0, 0.1, 0.2], atol=1e-15)


@given(seed=st.integers(0, 2**31), linked=st.booleans())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_projection_is_the_nearest_trajectory(seed, linked):
    """Nearer than clipping, and at an obtuse angle to every other trajectory within the limits."""
    chunk, previous = chunk_of(PUSHT_LAYOUT, seed)
    last = previous if linked else None
    nearest = make_filter("projection", PUSHT_LAYOUT)(chunk, last)
    others = make_filter("clipping", PUSHT_LAYOUT)(chunk_of(PUSHT_LAYOUT, seed + 1)[0], last)
    clipped = make_filter("clipping", PUSHT_LAYOUT)(chunk, last)
    for other in (others, clipped):
        assert (((chunk - nearest) * (other - nearest)).sum((1, 2)) <= 1e-12).all()
    assert (np.square(nearest - chunk).sum((1, 2)) <= np.square(clipped - chunk).sum((1, 2)) + 1e-12).all()


def test_static_q_without_smoothing_is_the_projection():
    chunk, previous = chunk_of(ROBOMIMIC_LAYOUT)
    static = make_filter("static-q", ROBOMIMIC_LAYOUT, alpha=0.0)
    projection = make_filter("projection", ROBOMIMIC_LAYOUT)
    np.testing.assert_allclose(static(chunk, previous), projection(chunk, previous), atol=1e-11)


def test_penalty_takes_the_steps_of_the_paper():
    layout = plain_layout(1, bound=0.1)
    chunk = np.array([0.0, 0.5, 0.2])[None, :, None]
    once = PenaltyParameters(step_size=0.1, tolerance=1e-9, max_iterations=1)
    # v_max = (0, 0.4, 0) and v_min = (0, 0, 0.2): c falls by 0.04 at step 1 and rises by 0.02 at step 2.
    penalty = make_filter("penalty", layout, parameters=once)
    np.testing.assert_allclose(penalty(chunk)[0, :, 0], [0.0, 0.46, 0.22])
    # With a previous action step 0 breaks its limit too: v_min = 0.2 there.
    np.testing.assert_allclose(penalty(chunk, np.array([[0.3]]))[0, :, 0], [0.02, 0.46, 0.22])


def test_penalty_that_runs_out_of_iterations_says_how_much_is_left():
    chunk, previous = chunk_of(ROBOMIMIC_LAYOUT, batch=2)
    few = PenaltyParameters(step_size=0.03, tolerance=0.004, max_iterations=20)
    left = violation(
        make_filter("penalty", ROBOMIMIC_LAYOUT, parameters=few)(chunk, previous), previous, ROBOMIMIC_LAYOUT
    )
    assert (left > 0.004).all() and (left < violation(chunk, previous, ROBOMIMIC_LAYOUT)).all()
    with pytest.raises(ValueError, match="step size"):
        make_filter("penalty", ROBOMIMIC_LAYOUT, parameters=PenaltyParameters(1.5, 0.004, 10))


def test_unknown_filter_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'clipping'"):
        make_filter("cliping", PUSHT_LAYOUT)


def test_import_loads_neither_torch_nor_numba():
    code = "import sys, dto_envs.filters; print(sorted({'torch', 'numba', 'scipy', 'proxsuite'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
