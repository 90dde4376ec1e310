"""What the networks that push objects learn from, and the losses of every stage (the DLM paper, sections 4 and 5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from dto_agents.planar.dataset import Example
from dto_agents.planar.networks import LENGTH, Views, stack
from dto_agents.planar.qp_layer import Mechanics, layer_loss
from dto_agents.planar.recipe import Recipe
from dto_agents.planar.simulator import Scene, simulate, trajectory_loss
from dto_envs.planar_push.constants import POSITION_STIFFNESS
from dto_envs.planar_push.video import task_video

SLACK_WEIGHT = 0.1  # of newtons of slack against squared centimetres: the paper's q
FORCE_SCALE = 5.0  # N, counts as much as a centimetre
T = TypeVar("T")


@dataclass(frozen=True)
class Lessons:
    """Examples as training uses them; rows belong together.

    Attributes:
        views: what the network sees.
        mechanics: true parameters, with angles that begin at zero.
        fingers: (N, T, 2, 2) the expert's, m.
        forces: (N, T, 2, 2) the expert's, N.
        scene: where the tasks begin.
        poses: (N, T, 3) the desired motion.
    """

    views: Views
    mechanics: Mechanics
    fingers: Tensor
    forces: Tensor
    scene: Scene
    poses: Tensor

    @staticmethod
    def of(examples: Sequence[Example]) -> Lessons:
        """Draw the videos of ``examples`` and gather their labels."""
        tasks = [example.task for example in examples]
        mechanics = Mechanics.of(examples)
        poses = mechanics.poses
        start = torch.zeros_like(poses)
        start[..., 2] = poses[:, :1, 2]
        return Lessons(
            views=stack([task_video(task) for task in tasks]),
            mechanics=replace(mechanics, poses=poses - start),
            fingers=torch.from_numpy(np.stack([example.fingers for example in examples])),
            forces=torch.from_numpy(np.stack([example.forces for example in examples])),
            scene=Scene.of(tasks),
            poses=poses,
        )

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.poses)

    def __getitem__(self, rows: Tensor) -> Lessons:
        """Some of the lessons, by their numbers."""
        return _rows(self, rows)


def _rows(batch: T, rows: Tensor) -> T:
    """Rows of everything in a dataclass that has them."""
    changed = {}
    for field in fields(batch):  # type: ignore[arg-type]
        value = getattr(batch, field.name)
        if isinstance(value, Tensor):
            changed[field.name] = value[rows]
        elif hasattr(value, "__dataclass_fields__"):
            changed[field.name] = _rows(value, rows)
    return replace(batch, **changed)  # type: ignore[type-var]


def action_loss(network: nn.Module, lessons: Lessons) -> Tensor:
    """L_NN: squared distance from the expert's targets, in (10 cm)^2."""
    wanted = lessons.fingers + lessons.forces / POSITION_STIFFNESS
    return ((network(lessons.views) - wanted) ** 2).mean() / LENGTH**2


def parameter_loss(network: Any, lessons: Lessons, facet_weight: float = Recipe.facet_weight) -> Tensor:
    """L_P, equation 5: squared errors of all parameters; lengths in 10 cm, positions of the object in 1 cm.

    The more facets weigh against the others, the less do those: the product of the two weights is one.
    """
    found, true = network.parameters_of(lessons.views), lessons.mechanics
    facets = (((found.facets - true.facets) / LENGTH) ** 2).mean()
    others = [
        (found.cones - true.cones),
        (found.external_point - true.external_point) / LENGTH,
        (found.external_cone - true.external_cone),
        (found.poses[..., :2] - true.poses[..., :2]) / (0.1 * LENGTH),
        (found.poses[..., 2] - true.poses[..., 2]),
    ]
    weight = math.sqrt(facet_weight)
    return weight * facets + torch.stack([(error**2).mean() for error in others]).sum() / weight


def actuation_loss(network: Any, lessons: Lessons) -> Tensor:
    """L_QP, equation 7, in (10 cm)^2."""
    actions = network.solve(lessons.views)
    losses = layer_loss(actions, lessons.fingers, lessons.forces, slack_weight=SLACK_WEIGHT, force_scale=FORCE_SCALE)
    return losses.mean() * (0.01 / LENGTH) ** 2


def simulation_loss(network: nn.Module, lessons: Lessons) -> Tensor:
    """L_sim, equation 10: the root of the trajectory loss, in cm; no labels enter."""
    losses = trajectory_loss(simulate(lessons.scene, network(lessons.views)), lessons.poses)
    return (losses + 1e-6).sqrt().mean()


LOSSES: Mapping[str, Callable[[Any, Lessons], Tensor]] = {
    "nn": action_loss,
    "nnm": simulation_loss,
    "mdr": parameter_loss,
    "cvx": actuation_loss,
    "dlm": simulation_loss,
}
