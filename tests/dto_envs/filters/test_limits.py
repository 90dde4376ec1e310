"""Reading, checking and measuring limits on differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_envs.actions import plain_layout
from dto_envs.filters import InfeasibleLimitsError
from dto_envs.filters.limits import (
    check_bound,
    check_chunk,
    layout_limits,
    round_within,
    step_limits,
    symmetric_pair,
    violation,
)

LAYOUT = plain_layout(3, bound=0.2)


@pytest.mark.parametrize(
    ("bound", "lower", "upper"),
    [
        (None, -0.2, 0.2),
        (0.5, -0.5, 0.5),
        ((-0.1, np.inf), -0.1, np.inf),
        ([0.1, 0.2, 0.3], [-0.1, -0.2, -0.3], [0.1, 0.2, 0.3]),
        ((-0.1, np.arange(6.0).reshape(2, 3)), -0.1, np.arange(6.0).reshape(2, 3)),
    ],
)
def test_bounds_come_in_several_forms(bound, lower, upper):
    for limit, expected in zip(layout_limits(LAYOUT, bound, 2), (lower, upper), strict=True):
        assert limit.shape == (2, 3)
        assert np.array_equal(limit, np.broadcast_to(expected, (2, 3)))


def test_contradicting_bounds_name_limit_dimension_and_step():
    lower = np.full((4, 3), -0.1)
    lower[2, 1] = 0.3
    with pytest.raises(InfeasibleLimitsError, match=r"difference limit.*dimension 1 \(action1\) at step 2"):
        layout_limits(LAYOUT, (lower, 0.2), 4)
    with pytest.raises(InfeasibleLimitsError, match=r"dimension 1 \(action1\) at step 2"):
        check_bound(LAYOUT, (lower, 0.2))
    with pytest.raises(InfeasibleLimitsError, match="negative"):
        symmetric_pair(-0.1)


@pytest.mark.parametrize("bound", [(0.1,), (0.1, 0.2, 0.3), np.zeros((5, 3)), np.zeros(4), np.nan, (np.nan, 1.0)])
def test_bounds_that_make_no_sense_are_refused(bound):
    with pytest.raises(ValueError):
        layout_limits(LAYOUT, bound, 4)


def test_step_limits_accept_one_row_per_difference():
    full = np.arange(1.0, 13.0).reshape(4, 3)
    low, high = step_limits(-full, full, (2, 4, 3), linked=True)
    assert np.array_equal(high[0], full)
    _, free = step_limits(-full, full, (2, 4, 3), linked=False)
    assert np.isinf(free[0, 0]).all() and np.array_equal(free[0, 1:], full[1:])
    _, short = step_limits(-full[1:], full[1:], (2, 4, 3), linked=False)
    assert np.array_equal(short, free)
    with pytest.raises(ValueError, match="does not fit"):
        step_limits(-full[1:], full[1:], (2, 4, 3), linked=True)


@pytest.mark.parametrize(
    ("chunk", "previous", "message"),
    [
        (np.zeros((2, 3)), None, "shape"),
        (np.zeros((2, 0, 3)), None, "shape"),
        (np.zeros((2, 4, 2)), None, "3 action dimensions"),
        (np.full((2, 4, 3), np.nan), None, "sample 0, step 0, dimension 0"),
        (np.zeros((2, 4, 3)), np.zeros((1, 3)), "previous"),
        (np.zeros((2, 4, 3)), np.array([[0, 0, 0], [0, np.inf, 0]]), "sample 1, dimension 1"),
    ],
)
def test_bad_chunks_are_refused(chunk, previous, message):
    with pytest.raises(ValueError, match=message):
        check_chunk(chunk, previous, 3)


def test_violation_is_the_largest_excess():
    chunk = np.zeros((3, 4, 3))
    chunk[1, 2:, 1] = 0.5
    chunk[2, 0] = 0.45
    previous = np.zeros((3, 3))
    np.testing.assert_allclose(violation(chunk, previous, LAYOUT), [0.0, 0.3, 0.25])
    np.testing.assert_allclose(violation(chunk, None, LAYOUT), [0.0, 0.3, 0.25])
    np.testing.assert_allclose(violation(chunk[:, :1], None, LAYOUT), [0.0, 0.0, 0.0])


@given(
    seed=st.integers(0, 2**31),
    size=st.sampled_from([0.5, 30.0, 500.0]),
    linked=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64, np.int64]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_rounding_breaks_no_limit(seed, size, linked, dtype):
    rng = np.random.default_rng(seed)
    steps = rng.choice([-0.1, 0.03, 0.1], size=(3, 20, 4))
    actions = np.cumsum(steps, axis=1) + size
    previous = actions[:, 0] - steps[:, 0] if linked else None
    upper = np.full((20, 2), 0.1)
    rounded = round_within(actions, dtype, -upper, upper, (0, 2), previous)
    assert rounded.dtype == (np.float32 if dtype == np.float32 else np.float64)
    chosen = rounded[:, :, [0, 2]].astype(np.float64)
    start = previous[:, None, [0, 2]] if linked else chosen[:, :1]
    assert np.abs(np.diff(chosen, axis=1, prepend=start)).max() <= 0.1 + 1e-7 + (1e-12 if dtype != np.float32 else 0)
    np.testing.assert_allclose(rounded, actions, rtol=4e-6)


def test_rounding_one_sample_leaves_the_others():
    rng = np.random.default_rng(0)
    actions = np.cumsum(rng.choice([-0.1, 0.1], size=(2, 20, 3)), axis=1) + np.array([0.0, 700.0])[:, None, None]
    upper = np.full((20, 3), 0.1)
    together = round_within(actions, np.float32, -upper, upper, (0, 1, 2), None)
    for b in range(2):
        alone = round_within(actions[b : b + 1], np.float32, -upper, upper, (0, 1, 2), None)
        assert np.array_equal(together[b : b + 1], alone)
