"""LeTO's six metrics of a run: mean, largest and standard deviation of accelerations, linear and rotational."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dto_eval.suites.runs import Done

OPTIMAL = 1.1  # of the smallest value of a metric: up to there an indicator is optimal


@dataclass(frozen=True)
class Motion:
    """The metrics of a run, in the order of :data:`dto_eval.suites.leto_paper.METRICS`; normalised.

    Attributes:
        mean: (6,) means over all episodes.
        deviation: (6,) standard deviation between the training seeds' means; NaN for a single one.
        episodes: number of episodes.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    episodes: int


def motion_of(done: Done) -> Motion:
    """The metrics of a run, of commands as they were given, until the one that ended the episode."""
    from dto_envs.smoothness import motion_groups
    from dto_eval.settings import layout_of

    layout = layout_of(done.run.run.protocol)
    groups = motion_groups(layout)
    by_member: dict[str, list[np.ndarray]] = {}
    for (member, _), entry in done.run.actions.items():
        if len(entry.actions) > 1:
            commands = layout.normalize(entry.actions.astype(np.float64))
            parts = [episode_metrics(commands[:, list(groups[name])]) for name in ("linear", "rotational")]
            by_member.setdefault(member, []).append(np.concatenate(parts))
    pooled = np.concatenate([np.array(rows) for rows in by_member.values()])
    members = np.array([np.mean(rows, axis=0) for rows in by_member.values()])
    deviation = members.std(axis=0, ddof=1) if len(members) > 1 else np.full(6, np.nan)
    return Motion(tuple(pooled.mean(axis=0).tolist()), tuple(deviation.tolist()), done.episodes)


def episode_metrics(commands: np.ndarray) -> np.ndarray:
    """(mean, largest, standard deviation) of the magnitudes of accelerations, averaged over dimensions.

    The paper does not say that magnitudes are meant; its means, which are half of its limit, leave no other reading.

    Args:
        commands: (T, D) normalised velocities, T at least 2.
    """
    accelerations = np.abs(np.diff(commands, axis=0))
    return np.array([accelerations.mean(0).mean(), accelerations.max(0).mean(), accelerations.std(0).mean()])


def optimal_indicators(figures: Mapping[str, tuple[float, ...]]) -> dict[str, int]:
    """The number of metrics in which each method is within 10 % of the smallest."""
    if not figures:
        return {}
    smallest = np.min([np.array(values) for values in figures.values()], axis=0)
    return {name: int((np.array(values) <= OPTIMAL * smallest).sum()) for name, values in figures.items()}
