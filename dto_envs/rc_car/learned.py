"""The learned dynamics of the RC car: a small network on body velocities and actions, its files, its rollouts.

One step (Koehler et al., equation 2): the network reads the body velocity v_i = (vx, vy, omega) and the last k actions,
the current one last, and gives v_{i+1} (or what is added to v_i). Then the pose moves by dt times v_{i+1}, which is
expressed in the frame of pose i. States are x, y [m], heading [rad, not wrapped], vx, vy [m/s], omega [rad/s].

The activation "gelu" is the tanh form, ``0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))``, which torch calls
``GELU(approximate="tanh")``. Networks compute in float32; poses and velocities are summed up in float64.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

KIND = "rc-car-dynamics"
SHIPPED = Path(__file__).parent / "models"
ACTIVATIONS = ("gelu", "relu")


class NetworkError(ValueError):
    """A file that holds no dynamics network, a damaged one, or arrays that make none; the message says which."""


@dataclass(frozen=True, eq=False)
class CarNetwork:
    """Learned dynamics as arrays; all float32.

    Attributes:
        weights: (out, in) of every layer, first to last; the first takes 3 + 2k inputs, the last gives 3 outputs.
        biases: (out,) of every layer.
        input_mean: (3 + 2k,) subtracted from the inputs vx, vy, omega, then k times throttle and steering.
        input_scale: (3 + 2k,) that they are then divided by.
        output_mean: (3,) added to the outputs after they were multiplied with ``output_scale`` (3,).
        output_scale: see ``output_mean``.
        dt: seconds that one step takes.
        activation: "gelu" or "relu", between layers.
        residual: True where the outputs are the change of the velocity.
        actions: k, the number of actions that it reads.
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    input_mean: np.ndarray
    input_scale: np.ndarray
    output_mean: np.ndarray
    output_scale: np.ndarray
    dt: float
    activation: Literal["gelu", "relu"] = "gelu"
    residual: bool = True
    actions: int = 1

    def __post_init__(self) -> None:
        """Raise :class:`NetworkError` for arrays that do not fit together."""
        if self.activation not in ACTIVATIONS:
            raise NetworkError(f"the activation is {self.activation!r}; choose one of {', '.join(ACTIVATIONS)}")
        if isinstance(self.actions, bool) or not isinstance(self.actions, int) or self.actions < 1:
            raise NetworkError(f"a network reads at least 1 action, not {self.actions!r}")
        if not isinstance(self.dt, int | float) or not 0 < self.dt < 10:
            raise NetworkError(f"dt is {self.dt!r}; it must be the seconds of one step")
        if not self.weights or len(self.weights) != len(self.biases):
            raise NetworkError(f"there are {len(self.weights)} weights and {len(self.biases)} biases")
        width = 3 + 2 * self.actions
        expected = {"input_mean": (width,), "input_scale": (width,), "output_mean": (3,), "output_scale": (3,)}
        for index, matrix in enumerate(self.weights):
            out = 3 if index == len(self.weights) - 1 else np.shape(matrix)[0] if np.ndim(matrix) == 2 else 0
            expected |= {f"weight{index}": (out, width), f"bias{index}": (out,)}
            width = out
        for name, array in self.tensors().items():
            if array.dtype != np.float32 or array.shape != expected[name] or not np.isfinite(array).all():
                raise NetworkError(
                    f"{name} must be finite float32 numbers {expected[name]}, not {array.dtype} {array.shape}"
                )
        if not ((self.input_scale > 0).all() and (self.output_scale > 0).all()):
            raise NetworkError("input_scale and output_scale must be positive")

    def tensors(self) -> dict[str, np.ndarray]:
        """The arrays by the names that they have in a file."""
        layers = zip(self.weights, self.biases, strict=True)
        named = {
            name: array
            for index, pair in enumerate(layers)
            for name, array in zip((f"weight{index}", f"bias{index}"), pair, strict=True)
        }
        standard = ("input_mean", "input_scale", "output_mean", "output_scale")
        return named | {name: getattr(self, name) for name in standard}

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(array.size for array in (*self.weights, *self.biases))

    @cached_property
    def packed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool, tuple[np.ndarray, ...]]:
        """What the kernels take: packed, straight, sizes, relu, standardisation."""
        transposed = [part for w, b in zip(self.weights, self.biases, strict=True) for part in (w.T.ravel(), b)]
        sizes = np.array([self.weights[0].shape[1], *(len(bias) for bias in self.biases)])
        standard = (self.input_mean, 1 / self.input_scale, self.output_mean, self.output_scale)
        straight = np.concatenate([w.ravel() for w in self.weights])
        return np.concatenate(transposed), straight, sizes, self.activation == "relu", standard


def rollout(
    network: CarNetwork, states: np.ndarray, controls: np.ndarray, past: np.ndarray | None = None
) -> np.ndarray:
    """Predict trajectories.

    Args:
        network: the dynamics.
        states: (B, 6) where they begin, or (6,) for all.
        controls: (B, n, 2) throttle and steering in [-1, 1]; values beyond pass unclipped, as optimisers need them.
        past: (B, k - 1, 2) or (k - 1, 2) actions before the first one, oldest first; None for zeros.

    Returns:
        (B, n + 1, 6) float64, the first states included. Where a prediction overflows it is not finite.

    Raises:
        ValueError: shapes that do not fit.
    """
    from dto_envs.rc_car import network_kernel as kernel

    states, controls, past = checked_batch(network, states, controls, past)
    packed, _, sizes, relu, standard = network.packed
    return kernel.rollout(packed, sizes, relu, network.residual, network.dt, standard, states, controls, past)


def checked_batch(
    network: CarNetwork, states: np.ndarray, controls: np.ndarray, past: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arguments of :func:`rollout` as float64 arrays (B, 6), (B, n, 2), (B, k - 1, 2); raises ValueError."""
    controls = np.ascontiguousarray(controls, dtype=np.float64)
    if controls.ndim != 3 or controls.shape[2] != 2:
        raise ValueError(f"controls must be (batch, steps, 2), not {controls.shape}")
    batch, recorded = len(controls), network.actions - 1
    states = np.asarray(states, dtype=np.float64)
    past = np.zeros((recorded, 2)) if past is None else np.asarray(past, dtype=np.float64)
    if states.shape not in ((6,), (batch, 6)):
        raise ValueError(f"states must be (6,) or ({batch}, 6), not {states.shape}")
    if past.shape not in ((recorded, 2), (batch, recorded, 2)):
        raise ValueError(f"past actions must be ({recorded}, 2) or ({batch}, {recorded}, 2), not {past.shape}")
    # A planner comes here a thousand times a second; assignment broadcasts much sooner than np.broadcast_to.
    every_state, every_past = np.empty((batch, 6)), np.empty((batch, recorded, 2))
    every_state[:], every_past[:] = states, past
    return every_state, controls, every_past


def write_network(path: Path | str, network: CarNetwork, card: Mapping[str, Any]) -> str:
    """Write a network as safetensors and, last, its card beside it as JSON; returns the file's SHA-256.

    The card is what the caller says (recipe, seed, data, steps, measured figures) with ``weights_sha256``,
    ``weights_bytes`` and ``parameters`` added.
    """
    from safetensors.numpy import save

    path = Path(path)
    description = {
        "kind": KIND,
        "dt": network.dt,
        "activation": network.activation,
        "residual": network.residual,
        "actions": network.actions,
    }
    tensors = {name: np.ascontiguousarray(array) for name, array in network.tensors().items()}
    content = save(tensors, metadata={"description": json.dumps(description, sort_keys=True)})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)
    sha256 = hashlib.sha256(content).hexdigest()
    stated = {"weights_sha256": sha256, "weights_bytes": len(content), "parameters": network.parameters}
    path.with_suffix(".json").write_text(json.dumps({**card, **stated}, indent=2) + "\n", encoding="utf-8")
    return sha256


def read_network(path: Path | str) -> CarNetwork:
    """Read what :func:`write_network` wrote; where a card lies beside it, the file must have its SHA-256.

    Raises:
        NetworkError: no such file, not a network of this kind, damaged, or not the file that its card describes.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    _check_against_card(path)
    try:
        with safe_open(path, framework="numpy") as file:
            description = json.loads((file.metadata() or {}).get("description", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise NetworkError(f"cannot read the network {path}: {error}; train it again or fetch it again") from error
    if not isinstance(description, dict) or description.get("kind") != KIND:
        raise NetworkError(f"{path} holds no {KIND}, as dto_envs.rc_car.learned.write_network writes it")
    try:
        count = sum(re.fullmatch(r"weight\d+", name) is not None for name in tensors)
        network = CarNetwork(
            weights=tuple(tensors.pop(f"weight{index}") for index in range(count)),
            biases=tuple(tensors.pop(f"bias{index}") for index in range(count)),
            **{name: tensors.pop(name) for name in ("input_mean", "input_scale", "output_mean", "output_scale")},
            **{name: description[name] for name in ("dt", "activation", "residual", "actions")},
        )
    except KeyError as error:
        raise NetworkError(f"{path} lacks {error}") from error
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from error
    if tensors:
        raise NetworkError(f"{path} holds more than a network: {', '.join(sorted(tensors))}")
    return network


def list_models(kind: str, root: Path | str | None = None) -> tuple[Path, ...]:
    """Trained networks ``<root>/<kind>/seed<k>.safetensors``, by seed.

    Args:
        kind: "simulated" or "real".
        root: folder of models of one's own; None for those shipped.

    Raises:
        NetworkError: there are none.
    """
    folder = Path(root or SHIPPED) / kind
    found = {
        int(match[1]): path
        for path in folder.glob("seed*.safetensors")
        if (match := re.fullmatch(r"seed(\d+)\.safetensors", path.name))
    }
    if not found:
        raise NetworkError(f"there are no networks seed<k>.safetensors in {folder}")
    return tuple(found[seed] for seed in sorted(found))


def _check_against_card(path: Path) -> None:
    card_path = path.with_suffix(".json")
    if not card_path.exists():
        return
    try:
        stated = json.loads(card_path.read_text(encoding="utf-8"))["weights_sha256"]
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NetworkError(f"cannot compare {path} with its card: {error!r}") from error
    if actual != stated:
        raise NetworkError(f"{path} has SHA-256 {actual}, but its card says {stated}; fetch or train it again")
