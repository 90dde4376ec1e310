"""How a person moves a robot with a space mouse: full deflection, drifting speed, tremor, hesitation, loose aim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dto_agents.experts.scene import Goal, Gripper

# A full deflection asks the controller for this much beyond the pose that the arm has reached.
LINEAR_STEP = 0.05
ROTATIONAL_STEP = 0.5


@dataclass(frozen=True)
class MotionStyle:
    """The parameters of a person's movements; deflections are on the action's scale of -1 to 1.

    Attributes:
        linear_gain: deflection per full step of position error; 1 asks for the error, more is eager.
        rotational_gain: the same for the orientation error.
        slowest: lowest speed; the speed drifts between it and ``fastest``.
        fastest: highest speed, as a part of the full deflection.
        fastest_turn: largest rotational deflection at full speed.
        agility: part of the way to a new deflection that the hand covers in a step; 1 is at once.
        drift: standard deviation of the speed's change in a step.
        linear_tremor: standard deviation of the correlated noise on linear deflections.
        rotational_tremor: the same on rotational ones.
        tremor_rate: how fast the noise is forgotten, theta of an Ornstein-Uhlenbeck process.
        pause_rate: probability in a step that the hand stops.
        pause_steps: shortest and longest stop.
        aim_error: standard deviation of the aim's relative error, as a part of the distance that is left.
        aim_limit: the most that the aim is off, in m.
        slip_rate: probability in a step that the hand slips.
        slip_steps: shortest and longest slip.
        slip_size: largest deflection of a slip, linear and rotational.
    """

    linear_gain: float = 2.0
    rotational_gain: float = 0.7
    slowest: float = 0.5
    fastest: float = 0.9
    fastest_turn: float = 1.0
    agility: float = 1.0
    drift: float = 0.05
    linear_tremor: float = 0.05
    rotational_tremor: float = 0.005
    tremor_rate: float = 0.3
    pause_rate: float = 0.005
    pause_steps: tuple[int, int] = (2, 7)
    aim_error: float = 0.15
    aim_limit: float = 0.03
    slip_rate: float = 0.003
    slip_steps: tuple[int, int] = (2, 5)
    slip_size: tuple[float, float] = (0.7, 0.15)


class Hand:
    """One person's hand during one episode; all its randomness comes from one generator."""

    def __init__(self, style: MotionStyle, rng: np.random.Generator) -> None:
        """Begin an episode with a hand at rest."""
        self._style = style
        self._rng = rng
        self._speed = float(rng.uniform(style.slowest, style.fastest))
        self._deflection = np.zeros(6)
        self._tremor = np.zeros(6)
        self._aim = rng.normal(0.0, style.aim_error, 3)
        self._pause = 0
        self._slip = 0
        self._slip_deflection = np.zeros(6)

    def deflect(self, gripper: Gripper, goal: Goal) -> np.ndarray:
        """The deflection (6,) in [-1, 1] that takes ``gripper`` towards ``goal``."""
        self._live()
        wanted = np.zeros(6) if self._pause else self._intended(gripper, goal) * self._speed
        agility = self._style.agility
        self._deflection = agility * wanted + (1.0 - agility) * self._deflection
        slip = self._slip_deflection if self._slip else 0.0
        return np.clip(self._deflection + slip + self._tremor, -1.0, 1.0)

    def _intended(self, gripper: Gripper, goal: Goal) -> np.ndarray:
        style = self._style
        off = np.clip(self._aim * goal.reach, -style.aim_limit, style.aim_limit)
        error = goal.position + off - gripper.position
        turn = (goal.rotation * gripper.rotation.inv()).as_rotvec()
        linear = np.clip(style.linear_gain * error / LINEAR_STEP, -goal.pace, goal.pace)
        rotational = style.rotational_gain * turn / ROTATIONAL_STEP
        return np.concatenate([linear, rotational / max(1.0, float(np.abs(rotational).max()) / style.fastest_turn)])

    def _live(self) -> None:
        """Let one step pass: speed, tremor and aim drift; stops and slips begin and end."""
        style, rng = self._style, self._rng
        self._speed = float(np.clip(self._speed + rng.normal(0.0, style.drift), style.slowest, style.fastest))
        spread = np.repeat([style.linear_tremor, style.rotational_tremor], 3)
        kept = 1.0 - style.tremor_rate
        self._tremor = kept * self._tremor + np.sqrt(1.0 - kept**2) * spread * rng.normal(size=6)
        self._aim = 0.97 * self._aim + np.sqrt(1.0 - 0.97**2) * style.aim_error * rng.normal(size=3)
        self._pause = _countdown(self._pause, rng.random() < style.pause_rate, style.pause_steps, rng)
        was_slipping = self._slip > 0
        self._slip = _countdown(self._slip, rng.random() < style.slip_rate, style.slip_steps, rng)
        if self._slip and not was_slipping:
            self._slip_deflection = np.repeat(style.slip_size, 3) * rng.uniform(-1.0, 1.0, 6)


def _countdown(left: int, begins: bool, steps: tuple[int, int], rng: np.random.Generator) -> int:
    if left:
        return left - 1
    return int(rng.integers(steps[0], steps[1] + 1)) if begins else 0
