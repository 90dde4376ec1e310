"""What the plans of derendering networks depend on: one group of their mechanical parameters at a time made true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dto_agents import zoo
from dto_agents.planar import dataset
from dto_agents.planar.learning import ENV_ID, Lessons, load_network
from dto_agents.planar.networks import LAYER, MechanicsNetwork, targets_of
from dto_agents.planar.qp_layer import Mechanics, inverse_dynamics
from dto_agents.planar.simulator import simulate, trajectory_loss
from dto_envs.planar_push.tasks import make_task, task_set

SETS = ("test", "family")
# Groups of parameters by what the page calls them.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "facets": ("facets",),
    "friction cones": ("cones",),
    "poses": ("poses",),
    "ground contact": ("external_point", "external_cone"),
}
COLUMNS = ["parameters", *(f"{agent}, {name}" for agent in ("MDR", "CVX") for name in SETS)]


def rows(weights: Path | None, count: int | None = None) -> list[list]:
    """Rows of a table: median losses in cm^2 in the differentiable simulator, means over members.

    Args:
        weights: root of the zoo, None for the shipped one.
        count: number of tasks of each set, None for all.

    Raises:
        dto_agents.zoo.MissingWeightsError: no MDR or CVX in the zoo.
    """
    lessons = {name: _lessons(name, count) for name in SETS}
    columns = []
    for agent in ("mdr", "cvx"):
        for name in SETS:
            entries = zoo.list_members(agent, ENV_ID, weights)
            found = [_medians(load_network(agent, entry.path), lessons[name]) for entry in entries]
            columns.append({case: float(np.mean([each[case] for each in found])) for case in found[0]})
    return [[case, *(column[case] for column in columns)] for case in columns[0]]


def _lessons(name: str, count: int | None) -> Lessons:
    size = task_set(name).size
    return Lessons.of([dataset.solve_example(make_task(name, index)) for index in range(min(count or size, size))])


@torch.no_grad()
def _medians(network: torch.nn.Module, lessons: Lessons) -> dict[str, float]:
    """Median losses of the layer's plans, by what it was given."""
    assert isinstance(network, MechanicsNetwork)
    predicted = network.parameters_of(lessons.views)
    true = replace(lessons.mechanics, poses=lessons.poses)
    cases = {"all predicted": predicted}
    cases |= {f"true {name}, the others predicted": _with(predicted, true, names) for name, names in GROUPS.items()}
    cases |= {f"predicted {name}, the others true": _with(true, predicted, names) for name, names in GROUPS.items()}
    return {case: _median(targets_of(inverse_dynamics(given, LAYER)), lessons) for case, given in cases.items()}


def _with(mechanics: Mechanics, other: Mechanics, names: Sequence[str]) -> Mechanics:
    return replace(mechanics, **{name: getattr(other, name) for name in names})


def _median(targets: Tensor, lessons: Lessons) -> float:
    losses = trajectory_loss(simulate(lessons.scene, targets), lessons.poses)
    return float(np.median(losses.numpy()))
