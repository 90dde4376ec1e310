"""From a recording to a network on disk: ``<root>/<car>/seed<k>.safetensors`` and its card."""

from __future__ import annotations

import importlib.metadata
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from dto_agents.rc_car.preparing import Windows, prepare
from dto_agents.rc_car.real import REAL, read_data
from dto_agents.rc_car.training import Recipe, Report, train
from dto_envs.rc_car.car import CONTROL_STEP
from dto_envs.rc_car.learned import write_network

Car = Literal["simulated", "real"]
RECIPES: dict[Car, Recipe] = {"simulated": Recipe(), "real": REAL}


@dataclass(frozen=True)
class Training:
    """A recording made ready to train on.

    Attributes:
        car: whose recording it is.
        recipe: how to train.
        windows: what to train on.
        dt: control step in s.
        data: what a card says about the recording.
    """

    car: Car
    recipe: Recipe
    windows: Windows
    dt: float
    data: dict[str, Any]

    @property
    def steps(self) -> int:
        """Number of optimiser steps."""
        shown = len(self.windows) * (2 if self.recipe.mirror else 1)
        return self.recipe.epochs * math.ceil(shown / self.recipe.batch_size)


def read_training(data: Path, car: Car, recipe: Recipe | None = None) -> Training:
    """Read a recording; the simulated car's is decimated to its control rate, a real car's is kept at its own.

    Args:
        data: a log that :func:`dto_agents.rc_car.reading.read_log` reads.
        car: which recipe fits.
        recipe: another recipe than the car's.

    Raises:
        ValueError: the recording does not fit.
        OSError: it cannot be opened.
    """
    recipe = recipe or RECIPES[car]
    logs, described = read_data(data)
    dt = CONTROL_STEP if car == "simulated" else logs[0].dt
    windows = prepare(logs, dt=dt, actions=recipe.actions, steps=recipe.steps, smoothing_s=recipe.smoothing_s)
    return Training(car, recipe, windows, dt, described)


def claim(root: Path, car: Car, seed: int) -> Path:
    """Where a network belongs; raises FileExistsError where one is."""
    path = root / car / f"seed{seed}.safetensors"
    if path.exists():
        raise FileExistsError(f"{path} is already trained; pass another --out or --seed, or delete it")
    return path


def train_and_write(training: Training, *, seed: int, root: Path, report: Report = lambda step, loss: None) -> Path:
    """Train a network and write it with its card; returns the file.

    Args:
        training: see :func:`read_training`.
        seed: of the initial weights and the batches.
        root: folder of models; ``dto_envs.rc_car.learned.list_models(car, root)`` finds the network there.
        report: told the number of finished optimiser steps and the loss.

    Raises:
        FileExistsError: the result is already there.
        dto_agents.rc_car.training.TrainingError: the loss is no longer finite.
    """
    path = claim(root, training.car, seed)
    network = train(training.windows, training.dt, training.recipe, seed=seed, report=report)
    write_network(path, network, make_card(training, seed))
    return path


def make_card(training: Training, seed: int, measured: dict[str, float] | None = None) -> dict[str, Any]:
    """What a network's card says, without the hash that :func:`dto_envs.rc_car.learned.write_network` adds."""
    return {
        "agent": "rc-car-dynamics",
        "car": training.car,
        "seed": seed,
        "steps": training.steps,
        "recipe": asdict(training.recipe),
        "data": training.data,
        "versions": {package: importlib.metadata.version(package) for package in ("torch", "numpy", "scipy")},
        "measured": measured,
    }
