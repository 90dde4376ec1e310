"""The training loop that all learned agents share: AdamW, averaged weights, and checkpoints that survive a kill.

A run that was killed and started again ends with bit for bit the same weights as one that was not, on one machine and
one thread: a checkpoint holds the model, the average, the optimiser's state and the random number generator's.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dto_agents import zoo

Report = Callable[[int, float], None]


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    Attributes:
        steps: optimiser steps.
        learning_rate: peak learning rate, reached linearly, then a cosine down to zero.
        warmup_steps: steps of the linear warm-up.
        weight_decay: AdamW's weight decay.
        ema_power: the average's decay at step n is 1 - (1 + n) ** -ema_power, at most ``ema_max``.
        ema_max: largest decay of the average.
        checkpoints: checkpoints written over the run, evenly spaced; the last at the end.
        keep: newest checkpoints that are kept.
    """

    steps: int
    learning_rate: float
    warmup_steps: int = 0
    weight_decay: float = 0.0
    ema_power: float = 0.75
    ema_max: float = 0.9999
    checkpoints: int = 20
    keep: int = 10

    @classmethod
    def of(cls, recipe: Any) -> Plan:
        """The plan of a recipe that has these attributes, ``checkpoints`` and ``keep`` apart."""
        names = ("steps", "learning_rate", "warmup_steps", "weight_decay", "ema_power", "ema_max")
        return cls(**{name: getattr(recipe, name) for name in names})

    def rate(self, step: int) -> float:
        """Learning rate of the step numbered ``step`` from 0."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))

    def decay(self, step: int) -> float:
        """Decay of the averaged weights after the step numbered ``step`` from 0."""
        return min(self.ema_max, 1 - (2 + step) ** -self.ema_power)

    def is_checkpoint(self, finished: int) -> bool:
        """Whether to write a checkpoint after ``finished`` steps."""
        return finished == self.steps or finished % max(1, math.ceil(self.steps / self.checkpoints)) == 0


def fit(
    build: Callable[[], nn.Module],
    loss_function: Callable[[nn.Module], Tensor],
    plan: Plan,
    *,
    seed: int,
    folder: Path,
    fingerprint: str,
    report: Report,
) -> dict[str, Tensor]:
    """Train a model, or finish training it.

    All randomness (initial weights, batches, noise, dropout) comes from torch's generator, seeded here and restored
    for the caller afterwards.

    Args:
        build: makes the model, with random initial weights.
        loss_function: draws a batch and returns the scalar loss.
        plan: how long and how fast.
        seed: seed of all randomness.
        folder: where checkpoints are kept; those of an interrupted run of the same ``fingerprint`` are continued.
        fingerprint: identifies recipe, data and seed.
        report: called with the number of finished steps and the loss, first with the steps already done and NaN.

    Returns:
        The averaged weights, by parameter name.

    Raises:
        TrainingError: the folder belongs to another run, or the loss is no longer finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build().train()
        parameters = list(model.parameters())
        average = [parameter.detach().clone() for parameter in parameters]
        optimizer = torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True)
        finished = _resume(folder, fingerprint, model, average, optimizer)
        report(finished, math.nan)
        for step in range(finished, plan.steps):
            for group in optimizer.param_groups:
                group["lr"] = plan.rate(step)
            loss = loss_function(model)
            value = loss.item()
            if not math.isfinite(value):
                raise TrainingError(f"the loss is {value} at step {step}; lower the learning rate or check the data")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            for mean, parameter in zip(average, parameters, strict=True):
                mean.lerp_(parameter.detach(), 1 - plan.decay(step))
            report(step + 1, value)
            if plan.is_checkpoint(step + 1):
                _save(folder, fingerprint, step + 1, model, average, optimizer)
                for old in _checkpoints(folder)[: -plan.keep]:
                    old.unlink()
        names = [name for name, _ in model.named_parameters()]
        return dict(zip(names, average, strict=True))


def train_member(
    path: Path,
    description: dict[str, Any],
    build: Callable[[], nn.Module],
    loss_function: Callable[[Any], Tensor],
    *,
    recipe: Any,
    data: Mapping[str, Any],
    seed: int,
    report: Report,
    prefix: str = "",
    tensors: Mapping[str, Tensor] = MappingProxyType({}),
    frozen: Mapping[str, Tensor] = MappingProxyType({}),
    origin: Mapping[str, Any] = MappingProxyType({}),
    int8: bool = False,
) -> Path:
    """Train a network and write its averaged weights to a zoo, with a card.

    Args:
        path: what :func:`dto_agents.zoo.claim` returned; checkpoints go beside it, into ``seed<k>/``.
        description: what the weights file says of itself, with its ``kind`` and ``env_id``.
        build: makes the network, with random initial weights.
        loss_function: draws a batch and returns the scalar loss of the network.
        recipe: a dataclass with the fields of :class:`Plan`, those for checkpoints apart.
        data: what the card says of the data, with its ``sha256``.
        seed: seed of all randomness.
        report: called with finished steps and loss.
        prefix: what the names of the network's weights begin with in the file.
        tensors: written beside them, such as the ranges of observations.
        frozen: weights of the policy that were trained before, written as they are.
        origin: what else an interrupted run must have in common with this one to be continued, beside recipe, seed
            and data.
        int8: see :func:`dto_agents.zoo.write`.

    Returns:
        ``path``; the card lies beside it.

    Raises:
        TrainingError: the checkpoints are another run's, or the loss diverged.
    """
    average = fit(
        build,
        loss_function,
        Plan.of(recipe),
        seed=seed,
        folder=path.with_suffix(""),
        fingerprint=json.dumps({"seed": seed, "data": data["sha256"], **origin, **asdict(recipe)}, sort_keys=True),
        report=report,
    )
    card = zoo.make_card(
        description["kind"],
        description["env_id"],
        seed,
        recipe=asdict(recipe),
        data=dict(data),
        parameters=sum(value.numel() for value in (*average.values(), *frozen.values())),
    )
    trained = {prefix + name: value for name, value in average.items()}
    zoo.write(path, {**trained, **frozen, **tensors}, description, card, int8=int8)
    return path


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step*.safetensors") if re.fullmatch(r"step\d{8}", path.stem))


def _save(
    folder: Path, fingerprint: str, step: int, model: nn.Module, average: list[Tensor], optimizer: torch.optim.AdamW
) -> None:
    tensors: dict[str, Tensor] = {"rng": torch.get_rng_state()}
    for (name, parameter), mean in zip(model.named_parameters(), average, strict=True):
        tensors[f"model.{name}"] = parameter.detach()
        tensors[f"average.{name}"] = mean
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{key}.{name}"] = value
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step{step:08d}.safetensors"
    partial = target.with_suffix(".partial")
    save_file(tensors, partial, metadata={"step": str(step), "fingerprint": fingerprint})
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)


def _resume(
    folder: Path, fingerprint: str, model: nn.Module, average: list[Tensor], optimizer: torch.optim.AdamW
) -> int:
    for path in reversed(_checkpoints(folder)):
        with suppress(SafetensorError), safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("fingerprint") != fingerprint:
                changed = _differences(metadata.get("fingerprint", "{}"), fingerprint)
                raise TrainingError(
                    f"{folder} holds checkpoints of another run ({changed}); pass another --out, or delete them"
                )
            for (name, parameter), mean in zip(model.named_parameters(), average, strict=True):
                parameter.data.copy_(file.get_tensor(f"model.{name}"))
                mean.copy_(file.get_tensor(f"average.{name}"))
                optimizer.state[parameter] = {
                    key: file.get_tensor(f"optimizer.{key}.{name}") for key in ("step", "exp_avg", "exp_avg_sq")
                }
            torch.set_rng_state(file.get_tensor("rng"))
            return int(metadata["step"])
    return 0


def _differences(theirs: str, ours: str) -> str:
    try:
        old, new = json.loads(theirs), json.loads(ours)
        changed = [f"{key}: {old.get(key)} there, {new[key]} here" for key in new if old.get(key) != new[key]]
    except (ValueError, AttributeError):
        changed = []
    return "; ".join(changed) or "unreadable"
