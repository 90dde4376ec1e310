"""From a recording to a network on disk: ``<root>/<car>/seed<k>.safetensors`` and its card."""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

from dto_agents.rc_car.preparing import Windows, prepare
from dto_agents.rc_car.reading import read_log
from dto_agents.rc_car.training import Recipe, Report, train
from dto_envs.rc_car.car import CONTROL_STEP
from dto_envs.rc_car.learned import write_network

Car = Literal["simulated", "real"]
RECIPES: Mapping[Car, Recipe] = MappingProxyType(
    {
        "simulated": Recipe(epochs=40, batch_size=128, learning_rate=1.5e-3),
        # Chosen by the errors on two fifths of the recording, each left out of training.
        "real": Recipe(depth=4, width=96, actions=10, smoothing_s=0.0, mirror=False, steps=6, epochs=60, start="torch"),
    }
)

# SHA-256 -> where a recording comes from, for the cards of networks trained on it.
SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "628eaea08cdd6d4c874d9e1b9fe0c6f3a6fac1220a1aca8b4d25830df3dec49e": (
            "a real RC car driven by hand, recorded by ETH Zurich (lasgroup/simulation_transfer), MIT licence"
        )
    }
)


class Reporting(Protocol):
    """Shows the progress of a training of ``steps`` optimiser steps while its context is open."""

    def __call__(self, title: str, steps: int) -> AbstractContextManager[Report]:
        """Open the display; it yields the function to report to."""
        ...


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
    data: Mapping[str, Any]


def read_training(path: Path, car: Car, recipe: Recipe | None = None) -> Training:
    """Read a recording; the simulated car's is decimated to its control rate, a real car's is kept at its own.

    Args:
        path: a log that :func:`dto_agents.rc_car.reading.read_log` reads.
        car: whose recording it is.
        recipe: another recipe than the car's.

    Raises:
        ValueError: the recording does not fit.
        OSError: it cannot be opened.
    """
    recipe = recipe or RECIPES[car]
    recording = read_log(path)
    rate = 1 / recording.pieces[0].dt
    dt = CONTROL_STEP if car == "simulated" else 1 / rate
    windows = prepare(
        recording.pieces, dt=dt, actions=recipe.actions, steps=recipe.steps, smoothing_s=recipe.smoothing_s
    )
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    data = {
        "file": path.name,
        "sha256": sha256,
        "source": SOURCES.get(sha256),
        "samples": sum(map(len, recording.pieces)),
        "rate_hz": round(rate, 6),
        "repairs": list(recording.repairs),
    }
    return Training(car, recipe, windows, dt, data)


def train_on_recording(
    path: Path, car: Car, *, seed: int, root: Path, reporting: Reporting, recipe: Recipe | None = None
) -> Path:
    """Train a network on a recording and write it with its card.

    Args:
        path: see :func:`read_training`.
        car: whose recording it is; decides on the recipe and the folder.
        seed: of the initial weights and the batches.
        root: folder of models; ``dto_envs.rc_car.learned.list_models(car, root)`` finds the network there.
        reporting: shows the progress.
        recipe: another recipe than the car's.

    Returns:
        The network's file.

    Raises:
        FileExistsError: the result is already there.
        ValueError: the recording does not fit.
        dto_agents.rc_car.training.TrainingError: the loss is no longer finite.
    """
    target = Path(root) / car / f"seed{seed}.safetensors"
    if target.exists():
        raise FileExistsError(f"{target} is already trained; pass another --out or --seed, or delete it")
    training = read_training(path, car, recipe)
    steps = optimiser_steps(training.windows, training.recipe)
    with reporting(f"rc-car-dynamics {path.name} seed {seed}", steps) as report:
        network = train(training.windows, training.dt, training.recipe, seed=seed, report=report)
    write_network(target, network, make_card(training, seed))
    return target


def optimiser_steps(windows: Windows, recipe: Recipe) -> int:
    """Number of optimiser steps that :func:`dto_agents.rc_car.training.train` will take."""
    shown = len(windows) * (2 if recipe.mirror else 1)
    return recipe.epochs * math.ceil(shown / recipe.batch_size)


def make_card(training: Training, seed: int, measured: Mapping[str, float] | None = None) -> dict[str, Any]:
    """What a network's card says, without the hash that :func:`dto_envs.rc_car.learned.write_network` adds."""
    return {
        "agent": "rc-car-dynamics",
        "car": training.car,
        "seed": seed,
        "steps": optimiser_steps(training.windows, training.recipe),
        "recipe": asdict(training.recipe),
        "data": dict(training.data),
        "versions": {package: importlib.metadata.version(package) for package in ("torch", "numpy", "scipy")},
        "measured": measured,
    }
