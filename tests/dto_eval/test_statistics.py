import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dto_eval.statistics import mean_interval, paired_difference, proportion_interval, table, wilson

MATRICES = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-5, 5))


def exact_quantiles(values, probabilities):
    """Quantiles of the resampled mean by enumeration of every possible resample."""
    members, inits = values.shape
    means = []
    for rows in itertools.product(range(members), repeat=members - 1):
        for columns in itertools.product(range(inits), repeat=inits - 1):
            means.append(values[np.ix_(rows, columns)].mean())
    return np.quantile(means, probabilities)


def test_the_bootstrap_draws_what_enumeration_draws():
    values = np.random.default_rng(3).normal(size=(3, 5))
    interval = mean_interval(values, resamples=40_000)
    np.testing.assert_allclose([interval.lo, interval.hi], exact_quantiles(values, [0.025, 0.975]), atol=0.03)
    assert interval.mean == pytest.approx(values.mean())


def test_absent_episodes_neither_count_nor_weigh():
    values = np.random.default_rng(4).normal(size=(3, 40))
    with_gap = np.concatenate([values, np.full((3, 1), np.nan)], axis=1)
    with_gap[0, -1] = values.mean()
    interval = mean_interval(with_gap)
    assert interval.mean == pytest.approx(values.mean())
    assert np.isfinite([interval.lo, interval.hi]).all()


@given(MATRICES)
@settings(max_examples=40, deadline=None)
def test_an_interval_holds_its_mean_and_lies_within_the_values(values):
    interval = mean_interval(values, resamples=200)
    assert interval.lo <= interval.mean <= interval.hi
    assert values.min() - 1e-12 <= interval.lo and interval.hi <= values.max() + 1e-12


@given(MATRICES, st.floats(-3, 3))
@settings(max_examples=40, deadline=None)
def test_a_constant_difference_is_certain(values, shift):
    interval = paired_difference(values, values + shift, resamples=200)
    np.testing.assert_allclose([interval.mean, interval.lo, interval.hi], shift, atol=1e-12)


@pytest.mark.parametrize("members, inits, spread", [(3, 200, 0.1), (10, 50, 0.3)])
def test_coverage_with_random_members_and_inits(members, inits, spread):
    """Crossed random effects with true mean 0: about 95 % of the intervals hold it, and a naive one would not."""
    rng = np.random.default_rng(0)
    hits, naive = 0, 0
    for seed in range(200):
        values = (
            spread * rng.normal(size=(members, 1)) + rng.normal(size=(1, inits)) + rng.normal(size=(members, inits))
        )
        interval = mean_interval(values, resamples=400, seed=seed)
        hits += interval.lo <= 0 <= interval.hi
        naive += abs(values.mean()) <= 1.96 * values.std() / math.sqrt(values.size)
    assert 0.90 <= hits / 200 <= 1.0
    assert naive / 200 < 0.9


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(case):
    successes, trials = case
    expected = scipy.stats.binomtest(successes, trials).proportion_ci(method="wilson")
    interval = wilson(successes, trials)
    np.testing.assert_allclose([interval.lo, interval.hi], [expected.low, expected.high], atol=1e-12)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_equal_outcomes_do_not_claim_certainty(outcome):
    interval = proportion_interval(np.full((3, 20), outcome))
    assert interval.mean == outcome and interval == wilson(round(20 * outcome), 20)


def test_the_order_of_episodes_does_not_matter():
    values = {(member, init): float(hash((member, init)) % 7) for member in ("b", "a") for init in (9, 3, 5)}
    backwards = dict(reversed(values.items()))
    assert mean_interval(table(values)) == mean_interval(table(backwards))


def test_nothing_to_average_is_an_error():
    with pytest.raises(ValueError, match="no episodes"):
        mean_interval(np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="one shape"):
        paired_difference(np.zeros((2, 2)), np.zeros((2, 3)))
