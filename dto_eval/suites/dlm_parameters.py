"""What the plans of derendering networks depend on, parameter by parameter, and where fingers are sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dto_agents import zoo
from dto_agents.planar.dataset import Example, solve_example
from dto_agents.planar.learning import AGENTS, ENV_ID, load_network
from dto_agents.planar.losses import Lessons
from dto_agents.planar.networks import LAYER, MechanicsNetwork, targets_of
from dto_agents.planar.qp_layer import Mechanics, inverse_dynamics
from dto_agents.planar.simulator import simulate, trajectory_loss
from dto_envs.planar_push.constants import POSITION_STIFFNESS
from dto_envs.planar_push.shapes import to_body
from dto_envs.planar_push.tasks import Task, make_task, task_set

SETS = ("test", "family")
# Groups of parameters by what the page calls them.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "facets": ("facets",),
    "friction cones": ("cones",),
    "poses": ("poses",),
    "ground contact": ("external_point", "external_cone"),
}
GEOMETRY_COLUMNS = ["agent", *(f"{what}, {name} [cm]" for name in SETS for what in ("depth", "facet length"))]
COLUMNS = ["parameters", *(f"{agent}, {name}" for agent in ("MDR", "CVX") for name in SETS)]


def rows(weights: Path | None, count: int | None = None) -> list[list]:
    """Rows of a table: median losses in cm^2 in the differentiable simulator, means over members.

    Args:
        weights: root of the zoo, None for the shipped one.
        count: number of tasks of each set, None for all.

    Raises:
        dto_agents.zoo.MissingWeightsError: no MDR or CVX in the zoo.
    """
    lessons = {name: Lessons.of(_examples(name, count)) for name in SETS}
    columns = []
    for agent in ("mdr", "cvx"):
        for name in SETS:
            entries = zoo.list_members(agent, ENV_ID, weights)
            found = [_medians(load_network(agent, entry.path), lessons[name]) for entry in entries]
            columns.append({case: float(np.mean([each[case] for each in found])) for case in found[0]})
    return [[case, *(column[case] for column in columns)] for case in columns[0]]


def geometry(weights: Path | None, count: int | None = None) -> list[list]:
    """Rows of a table, in cm, medians over tasks, keyframes, fingers and members, first those of the expert.

    For each set: how deep below the object's surface targets lie (negative: outside), and how long the facets are that
    fingers are to touch, None for networks that do not predict them.

    Raises:
        dto_agents.zoo.MissingWeightsError: one of the architectures is not in the zoo.
    """
    table: list[list] = [["expert"], *([agent.upper()] for agent in AGENTS)]
    for name in SETS:
        examples = _examples(name, count)
        each = Lessons.of(examples)
        tasks = [example.task for example in examples]
        exact = each.fingers + each.forces / POSITION_STIFFNESS
        table[0] += [_depth(tasks, [exact]), _length([each.mechanics.facets])]
        for line, agent in zip(table[1:], AGENTS, strict=True):
            networks = [load_network(agent, entry.path) for entry in zoo.list_members(agent, ENV_ID, weights)]
            with torch.no_grad():
                facets = [n.parameters_of(each.views).facets for n in networks if isinstance(n, MechanicsNetwork)]
                line += [_depth(tasks, [network(each.views) for network in networks]), _length(facets)]
    return table


def _depth(tasks: Sequence[Task], targets: Sequence[Tensor]) -> float:
    """Median depth of targets (tasks, T, 2, 2) below the surfaces of objects on their way, cm."""
    depths = [
        -task.polygon.distance(to_body(pose, points))
        for some in targets
        for task, each in zip(tasks, some.numpy(), strict=True)
        for pose, points in zip(task.poses, each, strict=True)
    ]
    return 100.0 * float(np.median(depths))


def _length(facets: Sequence[Tensor]) -> float | None:
    """Median length of facets (..., vertex, x or y), cm."""
    lengths = [(each[..., 1, :] - each[..., 0, :]).norm(dim=-1).numpy() for each in facets]
    return 100.0 * float(np.median(lengths)) if lengths else None


def _examples(name: str, count: int | None) -> list[Example]:
    size = task_set(name).size
    return [solve_example(make_task(name, index)) for index in range(min(count or size, size))]


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
