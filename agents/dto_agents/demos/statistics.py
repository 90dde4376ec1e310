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


@dataclass(frozen=True)
class OperatorFigures:
    """How one person moves.

    Attributes:
        name: the person.
        episodes: number of episodes.
        length: median episode, in steps.
        still: share of the steps in which the hand commands next to nothing along any axis.
        turns: how often in an episode a linear command changes its sign, small ones not counted: corrections.
        speed: mean norm of the linear commands, normalised, in the steps that are not still.
        max_difference: see :class:`GroupFigures`, of the linear group.
        mean_difference: likewise.
    """

    name: str
    episodes: int
    length: float
    still: float
    turns: float
    speed: float
    max_difference: float
    mean_difference: float


STILL = 0.15  # of the full deflection; the hand's tremor stays below it nearly always
SMALL = 0.1


def operator_figures(name: str, demonstrations: Demonstrations) -> OperatorFigures:
    """Describe how the person called ``name`` moves, who made ``demonstrations``, of a task with a linear group."""
    layout = row(demonstrations.env_id).layout
    linear = list(motion_groups(layout)["linear"])
    commands = [layout.normalize(episode.actions)[:, linear] for episode in demonstrations.episodes]
    pooled = np.concatenate(commands)
    still = (np.abs(pooled) < STILL).all(axis=1)
    turns = sum(_turns(one) for one in commands)
    figures = describe(demonstrations)
    return OperatorFigures(
        name=name,
        episodes=figures.episodes,
        length=figures.lengths[1],
        still=float(still.mean()),
        turns=turns / len(commands),
        speed=float(np.linalg.norm(pooled[~still], axis=1).mean()) if not still.all() else 0.0,
        max_difference=figures.groups["linear"].max_difference,
        mean_difference=figures.groups["linear"].mean_difference,
    )


def _turns(commands: np.ndarray) -> int:
    """How often a dimension of (T, D_c) changes sides, not counting what lies between -SMALL and SMALL."""
    count = 0
    for column in commands.T:
        sides = np.sign(column[np.abs(column) > SMALL])
        count += int((np.diff(sides) != 0).sum())
    return count


def pooled_differences(demonstrations: Demonstrations) -> np.ndarray:
    """First differences (N, D_a) of the normalised actions of all episodes, none across two episodes."""
    layout = row(demonstrations.env_id).layout
    return np.concatenate(
        [np.diff(layout.normalize(episode.actions), axis=0) for episode in demonstrations.episodes], axis=0
    )
