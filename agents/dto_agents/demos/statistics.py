"""How demonstrations move: counts, lengths, and first differences beside those of people's demonstrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from dto_agents.demos.dataset import Demonstrations
from dto_envs.registry import row
from dto_envs.smoothness import VIOLATION_TOLERANCE, batch_metrics, motion_groups

# LeTO's tables (IV to VII) on people's demonstrations with a space mouse, normalised: per-episode maximum, then mean.
HUMAN = MappingProxyType({"linear": ((0.6, 0.8), (0.05, 0.10)), "rotational": ((0.1, 0.25), (0.006, 0.01))})


@dataclass(frozen=True)
class GroupFigures:
    """First differences of the normalised actions in one group of dimensions.

    Attributes:
        max_difference: per dimension the largest absolute first difference of an episode, averaged over the dimensions,
            then over the episodes (LeTO's "max").
        mean_difference: the same with the mean absolute first difference (LeTO's "mean").
        exceeding: share of all first differences that exceed the layout's bound.
        human_max: lowest and highest ``max_difference`` of people's demonstrations; None where none are published.
        human_mean: lowest and highest ``mean_difference`` of people's demonstrations; None where none are published.
    """

    max_difference: float
    mean_difference: float
    exceeding: float
    human_max: tuple[float, float] | None
    human_mean: tuple[float, float] | None


@dataclass(frozen=True)
class Description:
    """What demonstrations are like.

    Attributes:
        env_id: the environment.
        episodes: number of episodes.
        steps: number of steps of all episodes.
        lengths: shortest, median and longest episode, in steps.
        groups: name -> figures of each group of dimensions, such as linear and rotational.
    """

    env_id: str
    episodes: int
    steps: int
    lengths: tuple[int, float, int]
    groups: Mapping[str, GroupFigures]


def describe(demonstrations: Demonstrations) -> Description:
    """Describe ``demonstrations``."""
    layout = row(demonstrations.env_id).layout
    metrics = batch_metrics([episode.actions for episode in demonstrations.episodes], layout)
    differences = pooled_differences(demonstrations)
    human = HUMAN if layout.difference == "acceleration" else {}
    lengths = [len(episode) for episode in demonstrations.episodes]
    groups = {}
    for name, dimensions in motion_groups(layout).items():
        human_max, human_mean = human.get(name, (None, None))
        groups[name] = GroupFigures(
            max_difference=float(metrics[f"{name}/max_difference"].mean()),
            mean_difference=float(metrics[f"{name}/mean_abs_difference"].mean()),
            exceeding=float((np.abs(differences[:, list(dimensions)]) > layout.bound + VIOLATION_TOLERANCE).mean()),
            human_max=human_max,
            human_mean=human_mean,
        )
    return Description(
        env_id=demonstrations.env_id,
        episodes=len(lengths),
        steps=sum(lengths),
        lengths=(min(lengths), float(np.median(lengths)), max(lengths)),
        groups=groups,
    )


def pooled_differences(demonstrations: Demonstrations) -> np.ndarray:
    """First differences (N, D_a) of the normalised actions of all episodes, none across two episodes."""
    layout = row(demonstrations.env_id).layout
    return np.concatenate(
        [np.diff(layout.normalize(episode.actions), axis=0) for episode in demonstrations.episodes], axis=0
    )
