"""QRnet for free terminal time: an LQR that knows the remaining time, and a network (the paper's Section III-B).

    u(x) = sigma(u_LQR(x, tau) + N(x) - N(x1)),   u_LQR = u1 - b(tau) K(tau) (x - x1),   tau = a second network of x

with the goal x1 and the torque u1 that holds it. sigma(u1) = u1 and sigma'(u1) = 1, so that near the goal, where the
optimal control is discontinuous, the network changes nothing but the slope. Two others stand beside it: a plain network
(``mlp``), and one that fades where the LQR comes in, whose network need not undo the LQR far from the goal, where the
light wrist makes it worse than nothing (``faded``, ours):

    u(x) = sigma(u_LQR(x, tau) + (1 - b(tau)) N(x))
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from dto_agents.iiwa.lqr import SHORTEST, goal_regulator
from dto_envs.iiwa import constants
from dto_envs.iiwa.constants import JOINTS
from dto_envs.iiwa.model import goal_state, goal_torque

WIDTHS = (32, 64, 64, 32)  # the paper's Appendix B, for both networks
STATE_SIZE = 2 * JOINTS

Kind = Literal["qrnet", "faded", "mlp"]


@dataclass(frozen=True)
class Blend:
    """How much of the LQR is left at a remaining time: all of it below ``full``, none above ``none``, smooth between.

    The paper's formula and times are lost. Ours: no cut-off, since the LQR's torque stays useful for as long as
    optimal motions take; ``Blend(0.8, 1.6)`` was about as good.

    Attributes:
        full: T1 [s].
        none: T2 [s].
    """

    full: float = math.inf
    none: float = math.inf

    def __post_init__(self) -> None:
        """Check the order."""
        if not 0 <= self.full <= self.none:
            raise ValueError(f"the blend needs 0 <= full <= none, got {self.full} and {self.none}")

    def weight(self, remaining: Tensor) -> Tensor:
        """b(tau), between 0 and 1, for remaining times [s] of any shape."""
        if math.isinf(self.full):
            return torch.ones_like(remaining)
        width = max(self.none - self.full, 1e-9) if math.isfinite(self.none) else math.inf
        share = ((remaining - self.full) / width).clamp(0, 1)
        return 1 - share * share * (3 - 2 * share)


class Saturation(nn.Module):
    """sigma: a logistic curve between two limits with sigma(rest) = rest and slope 1 there, joint by joint."""

    def __init__(self, low: Tensor, high: Tensor, rest: Tensor) -> None:
        """Limits and resting torque, (7,) each [Nm], low < rest < high."""
        super().__init__()
        if not bool(((low < rest) & (rest < high)).all()):
            raise ValueError("the resting torque must lie between the limits")
        self.low: Tensor
        self.span: Tensor
        self.rest: Tensor
        self.slope: Tensor
        self.offset: Tensor
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("span", high - low, persistent=False)
        self.register_buffer("rest", rest, persistent=False)
        self.register_buffer("slope", (high - low) / ((high - rest) * (rest - low)), persistent=False)
        self.register_buffer("offset", torch.log((rest - low) / (high - rest)), persistent=False)

    def forward(self, torques: Tensor) -> Tensor:
        """Torques (..., 7) [Nm] pressed between the limits."""
        return self.low + self.span * torch.sigmoid(self.slope * (torques - self.rest) + self.offset)


class ControlNetwork(nn.Module):
    """The control of a state: QRnet, or one of the other kinds with a network of the same shape."""

    def __init__(self, kind: Kind, blend: Blend | None = None, widths: Sequence[int] = WIDTHS) -> None:
        """Random weights, ``widths`` neurons in the layers; scales are 1 until :meth:`set_scales`."""
        super().__init__()
        self.kind: Kind = kind
        self.blend = blend or Blend()
        self.network = _layers((nn.Tanh, nn.Tanh, nn.ELU, nn.ELU), widths, JOINTS)
        self.center: Tensor
        self.spread: Tensor
        self.torque_scale: Tensor
        self.register_buffer("center", torch.zeros(STATE_SIZE))
        self.register_buffer("spread", torch.ones(STATE_SIZE))
        self.register_buffer("torque_scale", torch.eye(JOINTS))
        self.goal: Tensor
        self.rest: Tensor
        self.register_buffer("goal", torch.tensor(goal_state(), dtype=torch.float32), persistent=False)
        self.register_buffer("rest", torch.tensor(goal_torque(), dtype=torch.float32), persistent=False)
        limits = torch.tensor(constants.TORQUE_LIMITS)
        self.saturation = Saturation(-limits, limits, self.rest)

    def set_scales(self, center: Tensor, spread: Tensor, torque_scale: Tensor) -> None:
        """Mean and spread of the states (14,), and what turns the network's outputs into torques (7, 7).

        The last is a fixed part of the output layer: with the directions and sizes of what the network has to add in
        it, all outputs matter alike and are of order 1.
        """
        self.center.copy_(center)
        self.spread.copy_(spread)
        self.torque_scale.copy_(torque_scale)

    def forward(self, states: Tensor, regulator: Tensor, share: Tensor) -> Tensor:
        """Torques (B, 7) [Nm].

        Args:
            states: (B, 14).
            regulator: (B, 7) the blended LQR's torque of :func:`regulator_torque`; a plain network ignores it.
            share: (B,) what the LQR leaves to the network, 1 - b; only the faded kind looks at it.
        """
        if self.kind == "mlp":
            return self.rest + self._correction(states)
        if self.kind == "faded":
            return self.saturation(regulator + share[:, None] * self._correction(states))
        both = self._correction(torch.cat([states, self.goal[None]]))
        return self.saturation(regulator + both[:-1] - both[-1:])

    def _correction(self, states: Tensor) -> Tensor:
        return self.network((states - self.center) / self.spread) @ self.torque_scale.T


class TimeNetwork(nn.Module):
    """The optimal remaining time of a state, positive by a softplus."""

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        """Random weights, as :class:`ControlNetwork`."""
        super().__init__()
        self.network = _layers((nn.ELU,) * 4, widths, 1)
        self.center: Tensor
        self.spread: Tensor
        self.register_buffer("center", torch.zeros(STATE_SIZE))
        self.register_buffer("spread", torch.ones(STATE_SIZE))

    def set_scales(self, center: Tensor, spread: Tensor) -> None:
        """Mean and spread of the states (14,)."""
        self.center.copy_(center)
        self.spread.copy_(spread)

    def forward(self, states: Tensor) -> Tensor:
        """Remaining times (B,) [s] of states (B, 14)."""
        return nn.functional.softplus(self.network((states - self.center) / self.spread))[:, 0]


class Policy:
    """A control network with its time network: a controller of the arm, one of an ensemble or alone."""

    def __init__(self, control: ControlNetwork, time: TimeNetwork) -> None:
        """Put two trained networks together."""
        self.control = control.eval()
        self.time = time.eval()

    @torch.no_grad()
    def torques(self, states: np.ndarray) -> np.ndarray:
        """Torques (B, 7) [Nm] for states (B, 14)."""
        tensor = torch.as_tensor(states, dtype=torch.float32)
        regulator, share = torch.zeros(len(tensor), JOINTS), torch.ones(len(tensor))
        if self.control.kind != "mlp":
            regulator, share = regulator_torque(tensor, self.time(tensor), self.control.blend)
        return self.control(tensor, regulator, share).numpy().astype(np.float64)

    @torch.no_grad()
    def remaining(self, states: np.ndarray) -> np.ndarray:
        """The remaining times (B,) [s] it believes in."""
        return self.time(torch.as_tensor(states, dtype=torch.float32)).numpy().astype(np.float64)


class Ensemble:
    """Several policies whose torques are averaged (the paper's Section III-C)."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        """Average ``policies``, at least one."""
        if not policies:
            raise ValueError("an ensemble needs at least one policy")
        self.policies = tuple(policies)

    def torques(self, states: np.ndarray) -> np.ndarray:
        """Mean torques (B, 7) [Nm] for states (B, 14)."""
        return np.mean([policy.torques(states) for policy in self.policies], axis=0)


@functools.cache
def gain_table() -> tuple[Tensor, float]:
    """The LQR's K on its grid of remaining times, (M, 7, 14) float32, and the grid's step [s]."""
    regulator = goal_regulator()
    return torch.tensor(regulator.gains, dtype=torch.float32), regulator.step


def regulator_gain(remaining: Tensor, blend: Blend) -> Tensor:
    """b(tau) K(tau), (B, 7, 14), for remaining times (B,) [s]; K below 0.05 s is that of 0.05 s."""
    gains, step = gain_table()
    place = (remaining.clamp(min=SHORTEST) / step).clamp(max=len(gains) - 1.001)
    below = place.long()
    share = (place - below)[:, None, None]
    flat = gains.flatten(1)
    lower, upper = (flat.index_select(0, index).view(-1, *gains.shape[1:]) for index in (below, below + 1))
    return blend.weight(remaining)[:, None, None] * torch.lerp(lower, upper, share)


def regulator_torque(states: Tensor, remaining: Tensor, blend: Blend) -> tuple[Tensor, Tensor]:
    """The blended LQR's torque (B, 7) [Nm] for states (B, 14) with remaining times (B,) [s], and 1 - b (B,)."""
    goal = torch.tensor(goal_state(), dtype=torch.float32)
    rest = torch.tensor(goal_torque(), dtype=torch.float32)
    torque = rest - torch.einsum("bij,bj->bi", regulator_gain(remaining, blend), states - goal)
    return torque, 1 - blend.weight(remaining)


def _layers(activations: Sequence[type[nn.Module]], widths: Sequence[int], outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    size = STATE_SIZE
    for width, activation in zip(widths, activations, strict=True):
        layers += [nn.Linear(size, width), activation()]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, outputs))
