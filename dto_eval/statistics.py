"""Intervals for means and differences of means over members and inits.

Episodes of one run are not independent: those of one member share a policy, those of one init share an initial state.
A binomial interval over all episodes is too narrow, so means get a two-way cluster bootstrap (Owen 2007, the
"pigeonhole" bootstrap): members and inits are resampled with replacement, each on its own, and an episode counts as
often as its member was drawn times its init was drawn. Of n members (inits) n - 1 are drawn, which makes the variance
between them unbiased where there are few (Rao and Wu 1988). Three members remain three: where training seeds differ by
more than the noise of their means, no interval from three of them reaches its nominal 95 % (86 % in the worst of the
cases that were simulated; 94 % and more where they differ by no more than that).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

RESAMPLES = 4000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % confidence interval."""

    mean: float
    lo: float
    hi: float

    def as_dict(self) -> dict[str, float]:
        """As ``{"mean": ..., "lo": ..., "hi": ...}``."""
        return {"mean": self.mean, "lo": self.lo, "hi": self.hi}


def table(values: Mapping[tuple[str, int], float]) -> np.ndarray:
    """Lay out values by (member, init) as a matrix (members, inits) with NaN where there is no episode.

    Rows and columns are sorted, so that equal episodes give equal intervals whatever order they ended in.
    """
    members = {name: row for row, name in enumerate(sorted({member for member, _ in values}))}
    inits = {init: column for column, init in enumerate(sorted({init for _, init in values}))}
    matrix = np.full((len(members), len(inits)), np.nan)
    for (member, init), value in values.items():
        matrix[members[member], inits[init]] = value
    return matrix


def mean_interval(values: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Mean of ``values`` (members, inits), NaN for absent episodes, with a two-way cluster bootstrap interval.

    With a single member, or a single init, only the other way is resampled: the interval then says nothing about
    other training seeds (other initial states).

    Raises:
        ValueError: there is no episode, or a value is infinite.
    """
    values = np.atleast_2d(np.asarray(values, dtype=np.float64))
    present = ~np.isnan(values)
    if not present.any():
        raise ValueError("no episodes to take a mean of")
    if np.isinf(values).any():
        raise ValueError("cannot take the mean of infinite values")
    filled = np.where(present, values, 0.0)
    mean = float(filled.sum() / present.sum())
    member_counts, init_counts = _resample(values.shape, resamples, seed)
    totals = np.einsum("ri,ri->r", member_counts @ filled, init_counts)
    weights = np.einsum("ri,ri->r", member_counts @ present.astype(np.float64), init_counts)
    means = totals[weights > 0] / weights[weights > 0]
    lo, hi = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(mean, min(float(lo), mean), max(float(hi), mean))


def proportion_interval(outcomes: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Mean of ``outcomes`` between 0 and 1 (members, inits; NaN for absent), such as successes, with an interval.

    The bootstrap of :func:`mean_interval`. Where all outcomes are 0, or all are 1, a bootstrap would claim certainty;
    the interval is then Wilson's for as many trials as there are inits, which holds even if members always agree.
    """
    outcomes = np.atleast_2d(np.asarray(outcomes, dtype=np.float64))
    interval = mean_interval(outcomes, resamples=resamples, seed=seed)
    if interval.mean not in (0.0, 1.0):
        return interval
    trials = int((~np.isnan(outcomes)).any(axis=0).sum())
    return wilson(round(interval.mean * trials), trials)


def paired_difference(first: np.ndarray, second: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Mean of ``second - first``, both (members, inits), with an interval; an episode counts where both have it.

    Differences are taken episode by episode before resampling, so that what the two have in common (hard inits, weak
    members) does not widen the interval.
    """
    first, second = np.atleast_2d(first), np.atleast_2d(second)
    if first.shape != second.shape:
        raise ValueError(f"paired values must have one shape, not {first.shape} and {second.shape}")
    return mean_interval(np.asarray(second, np.float64) - np.asarray(first, np.float64), resamples=resamples, seed=seed)


def wilson(successes: int, trials: int) -> Interval:
    """Wilson's score interval of a proportion of independent trials, such as one member's success rate."""
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} successes in {trials} trials")
    z = 1.959963984540054  # the 0.975 quantile of the normal distribution
    p = successes / trials
    centre = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    return Interval(p, min(max(0.0, centre - half), p), max(min(1.0, centre + half), p))


def common_keys(*runs: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """The (member, init) pairs that all ``runs`` have, sorted."""
    sets = [set(keys) for keys in runs]
    return sorted(set.intersection(*sets)) if sets else []


@functools.lru_cache(maxsize=4)
def _resample(shape: tuple[int, ...], resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each member (resamples, members) and each init (resamples, inits) is drawn in every resample.

    Kept, since drawing takes most of an interval's time and boards ask for the same shape again and again.
    """
    rng = np.random.default_rng(seed)
    member_counts, init_counts = (
        rng.multinomial(max(count - 1, 1), np.full(count, 1 / count), size=resamples).astype(np.float64)
        for count in shape
    )
    for counts in (member_counts, init_counts):
        counts.setflags(write=False)
    return member_counts, init_counts
