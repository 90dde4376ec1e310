"""Training on recordings of a real car: the recipe that is shipped, and the paper's to the letter."""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from dto_agents.rc_car.logs import Log
from dto_agents.rc_car.preparing import Windows, prepare
from dto_agents.rc_car.reading import LogError, read_log
from dto_agents.rc_car.training import Recipe, Report, train
from dto_envs.rc_car.learned import CarNetwork, write_network

REAL = Recipe(actions=10, smoothing_s=0.0, mirror=False, epochs=160)

# Koehler et al.: velocities rather than their change, the present action alone, the relative loss, smoothed poses.
PAPER = Recipe(actions=1, residual=False, loss="relative", smoothing_s=0.17, mirror=False, epochs=160)

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


def train_on_recording(
    path: Path, *, seed: int, root: Path, reporting: Reporting, recipe: Recipe = REAL, rate: float | None = None
) -> Path:
    """Train a network on a recording and write ``<root>/real/seed<k>.safetensors`` and its card.

    Args:
        path: see :func:`dto_agents.rc_car.reading.read_log`.
        seed: training seed.
        root: folder of models.
        reporting: shows the progress.
        recipe: how to train.
        rate: Hz to resample the recording to; by default its own rate.

    Returns:
        The weights file.

    Raises:
        FileExistsError: the file is there already.
        ValueError: the recording cannot be used.
    """
    target = Path(root) / "real" / f"seed{seed}.safetensors"
    if target.exists():
        raise FileExistsError(f"{target} is already trained; pass another --out or --seed, or delete it")
    recording = read_log(path, rate=rate)
    windows, dt = prepare_windows(recording.pieces, recipe)
    steps = optimiser_steps(windows, recipe)
    with reporting(f"rc-car-dynamics {path.name} seed {seed}", steps) as report:
        network = train(windows, dt, recipe, seed=seed, report=report)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    card: dict[str, Any] = {
        "agent": "rc-car-dynamics",
        "car": "real",
        "seed": seed,
        "steps": steps,
        "recipe": asdict(recipe),
        "data": {
            "file": path.name,
            "sha256": sha256,
            "source": SOURCES.get(sha256),
            "samples": sum(map(len, recording.pieces)),
            "rate_hz": round(1 / dt, 6),
            "repairs": list(recording.repairs),
        },
        "versions": {package: importlib.metadata.version(package) for package in ("torch", "numpy")},
        "measured": None,
    }
    write_network(target, network, card)
    return target


def train_network(
    logs: Sequence[Log], recipe: Recipe, *, seed: int, report: Report = lambda step, loss: None
) -> CarNetwork:
    """Train a network on uninterrupted drives, at their own rate.

    Raises:
        ValueError: the logs have different rates, or are too short.
        dto_agents.rc_car.training.TrainingError: the loss is no longer finite.
    """
    windows, dt = prepare_windows(logs, recipe)
    return train(windows, dt, recipe, seed=seed, report=report)


def prepare_windows(logs: Sequence[Log], recipe: Recipe) -> tuple[Windows, float]:
    """What a network is trained on, and its control step in s.

    Raises:
        ValueError: the logs have different rates, or are too short.
    """
    if len({round(log.dt, 6) for log in logs}) > 1:
        rates = ", ".join(f"{1 / log.dt:.4g}" for log in logs)
        raise LogError(f"the logs have different rates ({rates} Hz); resample them to one")
    dt = logs[0].dt
    return prepare(logs, dt=dt, actions=recipe.actions, steps=recipe.steps, smoothing_s=recipe.smoothing_s), dt


def optimiser_steps(windows: Windows, recipe: Recipe) -> int:
    """Number of optimiser steps that :func:`dto_agents.rc_car.training.train` will take."""
    shown = len(windows) * (2 if recipe.mirror else 1)
    return recipe.epochs * math.ceil(shown / recipe.batch_size)
