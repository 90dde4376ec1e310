"""The actor of a policy that was trained by trial and error: a network in NumPy, and how a zoo keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dto_agents import zoo

if TYPE_CHECKING:
    import torch

BATCH = 64  # rows of one evaluation of the network, so that an episode's actions do not depend on its neighbours


@dataclass(frozen=True, eq=False)
class Policy:
    """The mean of a soft actor-critic policy: a network with ReLU between layers and tanh at its end.

    Attributes:
        weights: (out, in) float32 of every layer, first to last.
        biases: (out,) float32 of every layer.
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Actions (B, A) float32 in [-1, 1] of features (B, F)."""
        actions = np.empty((len(inputs), len(self.biases[-1])), dtype=np.float32)
        for begin in range(0, len(inputs), BATCH):
            part = inputs[begin : begin + BATCH]
            values = np.zeros((BATCH, inputs.shape[1]), dtype=np.float32)
            values[: len(part)] = part
            for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
                values = values @ weight.T + bias
                values = np.tanh(values) if layer == len(self.weights) - 1 else np.maximum(values, 0)
            actions[begin : begin + BATCH] = values[: len(part)]
        return actions

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a weights file holds of it: ``weight0``, ``bias0`` and so on."""
        import torch

        pairs = zip(self.weights, self.biases, strict=True)
        return {
            f"{kind}{layer}": torch.from_numpy(values)
            for layer, pair in enumerate(pairs)
            for kind, values in zip(("weight", "bias"), pair, strict=True)
        }


def read_policy(entry: zoo.Entry, kind: str, env_id: str, *, features: int, actions: int) -> Policy:
    """The policy of a zoo's entry.

    Raises:
        dto_agents.zoo.DamagedWeightsError: the file holds no such policy, or one trained for another environment.
    """
    _, tensors = zoo.read(entry.path, kind, env_id)
    layers = range(len(tensors) // 2)
    try:
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        policy = Policy(tuple(arrays[f"weight{i}"] for i in layers), tuple(arrays[f"bias{i}"] for i in layers))
        sizes = policy.weights[0].shape[1], len(policy.biases[-1])
    except (KeyError, IndexError) as error:
        raise zoo.DamagedWeightsError(f"{entry.path} lacks layers of a policy: {error!r}") from error
    if sizes != (features, actions):
        raise zoo.DamagedWeightsError(
            f"{entry.path} maps {sizes[0]} features to {sizes[1]} actions, not {features} to {actions}"
        )
    return policy
