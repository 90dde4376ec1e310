"""Training on recordings of a real car: the recipe that is shipped, and the paper's to the letter."""

from __future__ import annotations

from collections.abc import Sequence

from dto_agents.rc_car.logs import Log
from dto_agents.rc_car.networks import RECIPES
from dto_agents.rc_car.preparing import prepare
from dto_agents.rc_car.reading import LogError
from dto_agents.rc_car.training import Recipe, Report, train
from dto_envs.rc_car.learned import CarNetwork

REAL = RECIPES["real"]

# Koehler et al.: velocities rather than their change, the present action alone, the relative loss, smoothed poses.
PAPER = Recipe(actions=1, residual=False, loss="relative", smoothing_s=0.17, mirror=False, epochs=160, start="torch")


def train_network(
    logs: Sequence[Log], recipe: Recipe, *, seed: int, report: Report = lambda step, loss: None
) -> CarNetwork:
    """Train a network on uninterrupted drives, at their own rate.

    Raises:
        ValueError: the logs have different rates, or are too short.
        dto_agents.rc_car.training.TrainingError: the loss is no longer finite.
    """
    if len({round(log.dt, 6) for log in logs}) > 1:
        rates = ", ".join(f"{1 / log.dt:.4g}" for log in logs)
        raise LogError(f"the logs have different rates ({rates} Hz); resample them to one")
    dt = logs[0].dt
    windows = prepare(logs, dt=dt, actions=recipe.actions, steps=recipe.steps, smoothing_s=recipe.smoothing_s)
    return train(windows, dt, recipe, seed=seed, report=report)
