"""How near the differentiable simulator is to pymunk as its contacts grow sharper, and what the layer leaves over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from dto_agents.planar.dataset import Example
from dto_agents.planar.qp_layer import Mechanics, inverse_dynamics
from dto_agents.planar.simulator import Scene, SimulatorOptions, simulate
from dto_envs.planar_push import physics
from dto_envs.planar_push.constants import POSITION_STIFFNESS

KAPPAS = (100.0, 300.0, 1000.0, SimulatorOptions.kappa, 10_000.0)
NOISES_CM = (0.0, 0.3, 1.0)
COLUMNS = ["kappa [1/m]", *(f"gap at {noise:g} cm of noise [cm]" for noise in NOISES_CM)]


def gaps(examples: Sequence[Example]) -> list[list]:
    """Rows of a table: a sharpness, then for every noise on the expert's targets the gap.

    The gap is the largest distance over the keyframes between the object's positions in the differentiable simulator
    and in pymunk, in cm; the median over tasks.
    """
    tasks = [example.task for example in examples]
    scene = Scene.of(tasks)
    exact = np.stack([example.fingers + example.forces / POSITION_STIFFNESS for example in examples])
    noise = 0.01 * np.random.default_rng(0).standard_normal(exact.shape)
    targets = [exact + size * noise for size in NOISES_CM]
    hard = [
        np.stack([physics.simulate(task, each).poses for task, each in zip(tasks, some, strict=True)])
        for some in targets
    ]
    rows = []
    for kappa in KAPPAS:
        options = SimulatorOptions(kappa=kappa)
        soft = [simulate(scene, torch.from_numpy(some), options=options).numpy() for some in targets]
        distances = [np.linalg.norm((a - b)[..., :2], axis=-1).max(axis=1) for a, b in zip(soft, hard, strict=True)]
        rows.append([round(kappa), *(100.0 * float(np.median(each)) for each in distances)])
    return rows


@torch.no_grad()
def layer_sentence(examples: Sequence[Example]) -> str:
    """What the inverse-dynamics layer does with true parameters: forces that carry the object, and no slack."""
    mechanics = Mechanics.of(examples)
    actions = inverse_dynamics(mechanics)
    slack = actions.slack[..., :2].norm(dim=-1).flatten()
    upward = float(actions.forces.sum(2)[..., 1].mean())
    expert = np.mean([example.forces.sum(axis=1)[:, 1].mean() for example in examples])
    return (
        f"Given the true parameters of {len(examples)} training tasks, whose objects weigh 9.8 N, the inverse-dynamics "
        f"layer leaves a slack of {float(slack.median()):.1e} N in Newton's equations (median over keyframes; at most "
        f"{float(slack.max()):.2f} N), and its fingers lift with {upward:.2f} N on average, the expert's with "
        f"{expert:.2f} N: the forces carry the objects."
    )
