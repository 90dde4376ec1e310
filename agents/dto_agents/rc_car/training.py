"""Training the car's learned dynamics: a plain network from velocities and actions to the next velocities."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from dto_agents.rc_car.preparing import Windows, mirrored
from dto_agents.recipes import check_counts
from dto_envs.rc_car.learned import CarNetwork

Report = Callable[[int, float], None]  # called with the number of finished optimiser steps and the last loss


class TrainingError(RuntimeError):
    """Training cannot go on; the message says what to change."""


@dataclass(frozen=True)
class Recipe:
    """Everything but data and seed that a trained network depends on; for those shipped see :mod:`.networks`.

    Attributes:
        depth: hidden layers; the paper takes 8.
        width: neurons of a hidden layer; the paper takes 64.
        activation: ``gelu`` or ``relu``.
        loss: of the velocities: ``l1``, ``l2`` or ``relative`` (the paper's equation 11).
        epsilon: what keeps the relative loss finite for a standing car, in the sum of m/s, m/s and rad/s.
        residual: whether the network's output is the change of the velocity, not the velocity itself (the paper's).
        actions: number of actions that the network sees, the current one included; the paper takes 1.
        smoothing_s: window of the Savitzky-Golay filter in s, 0 for none.
        mirror: whether to train on the mirror image of the driving too.
        steps: control steps that the loss looks ahead, on the network's own predictions.
        epochs: how often each window is shown.
        batch_size: windows per optimiser step.
        learning_rate: of Adam at its peak; it falls to zero along a cosine.
        start: initial weights: ``he`` keeps signals at one size through deep networks, ``torch`` (its own default)
            lets them shrink, which smooths shallower ones.
    """

    depth: int = 8
    width: int = 64
    activation: Literal["gelu", "relu"] = "gelu"
    loss: Literal["l1", "l2", "relative"] = "l1"
    epsilon: float = 0.1
    residual: bool = True
    actions: int = 3
    smoothing_s: float = 0.2
    mirror: bool = True
    steps: int = 1
    epochs: int = 60
    batch_size: int = 256
    learning_rate: float = 2e-3
    start: Literal["he", "torch"] = "he"

    def __post_init__(self) -> None:
        """Refuse recipes that cannot be trained."""
        check_counts(self, "depth", "width", "actions", "steps", "epochs", "batch_size")
        for name in ("epsilon", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")


def train(
    windows: Windows, dt: float, recipe: Recipe, *, seed: int, report: Report = lambda step, loss: None
) -> CarNetwork:
    """Train a network; the same windows, recipe and seed give the same bits on one machine and one thread.

    Args:
        windows: of at least ``recipe.steps`` steps and with ``recipe.actions`` actions.
        dt: control step in s.
        recipe: how to train.
        seed: of the initial weights and the batches.
        report: told the progress.

    Raises:
        ValueError: the windows do not fit the recipe.
        TrainingError: the loss is no longer finite.
    """
    if windows.actions != recipe.actions or windows.targets.shape[1] < recipe.steps:
        raise ValueError(
            f"the windows hold {windows.actions} actions and {windows.targets.shape[1]} steps; "
            f"the recipe needs {recipe.actions} and {recipe.steps}"
        )
    if recipe.mirror:
        windows = mirrored(windows)
    standard = _Standard.of(windows, recipe)
    velocities, controls, targets = (
        torch.from_numpy(part.astype(np.float32)) for part in (windows.velocities, windows.controls, windows.targets)
    )
    loss_function = _LOSSES[recipe.loss]
    batches = math.ceil(len(windows) / recipe.batch_size)
    total = recipe.epochs * batches
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _make_model(recipe)
        optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, fused=True)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / total))
        for step in range(total):
            if step % batches == 0:
                order = torch.randperm(len(windows))
            batch = order[(step % batches) * recipe.batch_size :][: recipe.batch_size]
            predicted = _look_ahead(model, standard, recipe, velocities[batch], controls[batch])
            loss = loss_function(predicted, targets[batch, : recipe.steps], recipe.epsilon)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            scheduler.step()
            value = loss.item()
            if not math.isfinite(value):
                raise TrainingError(f"the loss is {value} at step {step}; lower the learning rate or check the data")
            report(step + 1, value)
    return _as_network(model, standard, recipe, dt)


@dataclass(frozen=True)
class _Standard:
    """Mean and scale of a network's inputs and outputs."""

    input_mean: Tensor
    input_scale: Tensor
    output_mean: Tensor
    output_scale: Tensor

    @classmethod
    def of(cls, windows: Windows, recipe: Recipe) -> _Standard:
        inputs = windows.inputs
        outputs = windows.targets[:, 0] - (windows.velocities if recipe.residual else 0)
        moments = (inputs.mean(axis=0), inputs.std(axis=0), outputs.mean(axis=0), outputs.std(axis=0))
        return cls(*(torch.from_numpy(np.maximum(m, 1e-6) if i % 2 else m).float() for i, m in enumerate(moments)))


def _make_model(recipe: Recipe) -> nn.Sequential:
    """A network at its start; with He's initial weights (2015) signals have one size in all layers."""
    sizes = [3 + 2 * recipe.actions, *[recipe.width] * recipe.depth]
    layers: list[nn.Module] = []
    for before, after in zip(sizes[:-1], sizes[1:], strict=True):
        linear = nn.Linear(before, after)
        if recipe.start == "he":
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            nn.init.zeros_(linear.bias)
        layers += [linear, nn.GELU(approximate="tanh") if recipe.activation == "gelu" else nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 3))


def _look_ahead(model: nn.Module, standard: _Standard, recipe: Recipe, velocities: Tensor, controls: Tensor) -> Tensor:
    """Velocities (M, steps, 3) of the network on its own predictions."""
    found = []
    for step in range(recipe.steps):
        inputs = torch.cat([velocities, controls[:, step : step + recipe.actions].flatten(1)], dim=1)
        outputs = model((inputs - standard.input_mean) / standard.input_scale)
        outputs = outputs * standard.output_scale + standard.output_mean
        velocities = velocities + outputs if recipe.residual else outputs
        found.append(velocities)
    return torch.stack(found, dim=1)


def _l1(predicted: Tensor, target: Tensor, epsilon: float) -> Tensor:
    return (predicted - target).abs().sum(dim=-1).mean()


def _l2(predicted: Tensor, target: Tensor, epsilon: float) -> Tensor:
    return (predicted - target).square().sum(dim=-1).mean()


def _relative(predicted: Tensor, target: Tensor, epsilon: float) -> Tensor:
    """Equation 11."""
    return ((predicted - target).abs().sum(dim=-1) / (target.abs().sum(dim=-1) + epsilon)).mean()


_LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {"l1": _l1, "l2": _l2, "relative": _relative}


def _rate(progress: float) -> float:
    """Share of the peak learning rate: up over the first hundredth, then down along a cosine."""
    return min(1.0, 0.01 + progress / 0.01) * 0.5 * (1 + math.cos(math.pi * progress))


def _as_network(model: nn.Sequential, standard: _Standard, recipe: Recipe, dt: float) -> CarNetwork:
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    return CarNetwork(
        weights=tuple(layer.weight.detach().numpy() for layer in linear),
        biases=tuple(layer.bias.detach().numpy() for layer in linear),
        input_mean=standard.input_mean.numpy(),
        input_scale=standard.input_scale.numpy(),
        output_mean=standard.output_mean.numpy(),
        output_scale=standard.output_scale.numpy(),
        dt=dt,
        activation=recipe.activation,
        residual=recipe.residual,
        actions=recipe.actions,
    )
