"""Experts of Meta-World's tasks: Meta-World's own policies say where to go, and a person's hand goes there.

Those policies begin to close the gripper on the way down and carry on before it holds anything, timed for a hand at
full speed. A person keeps it open until it is at the object, and waits until the fingers have closed. Two of the
policies command an open gripper nothing at all, and whoever imitates that closes it little by little: noise drives it,
and a gripper that is closing is one that has been told to. A person holds it open. The policy that pulls the thermos
brings the hand to the goal, and presses down; a person brings the thermos there.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from dto_agents.experts.motion import LINEAR_STEP, Hand, MotionStyle
from dto_agents.experts.scene import Goal, Gripper
from dto_agents.simple import state_of

# Where things stand in a state observation; the same 18 numbers of the step before follow.
HAND = slice(0, 3)
OPENING = 3
OBJECT = slice(4, 7)
THERMOS = slice(11, 14)
BEFORE = 18
GOAL = slice(36, 39)

AT_OBJECT = 0.02, 0.045  # m from where the hand grasps, in the plane and in height, within which it closes
STILL_CLOSING = 0.02  # change of the gripper's opening in a step
HOOKED = 0.04  # m along x within which the policy takes the stick to be in the handle
OPEN = 0.94  # a gripper's opening that has not begun to close


@dataclass(frozen=True)
class BorrowedPolicy:
    """One of Meta-World's scripted policies.

    Attributes:
        name: its class in ``metaworld.policies``.
        gain: what it multiplies the way that is left by, 1/m.
        grasp: (3,) where the hand grasps the object, from the object's position, in m.
        style: how a person's hand moves at 80 Hz.
        pulls: whether the task is to pull the thermos by its handle.
    """

    name: str
    gain: float
    grasp: tuple[float, float, float]
    style: MotionStyle
    pulls: bool = False


def _style(gain: float) -> MotionStyle:
    """A person at 80 Hz: what happens at a rate happens as often in a second as in the tasks at 20 Hz."""
    return MotionStyle(
        linear_gain=gain * LINEAR_STEP,
        agility=0.7,
        drift=0.025,
        tremor_rate=0.085,
        pause_rate=0.00125,
        pause_steps=(8, 28),
        aim_limit=0.01,
        slip_rate=0.00075,
        slip_steps=(8, 20),
    )


POLICIES: Mapping[str, BorrowedPolicy] = MappingProxyType(
    {
        f"dto/{task}-v0": BorrowedPolicy(f"Sawyer{task}V3Policy", gain, grasp, _style(gain), pulls=task == "StickPull")
        for task, gain, grasp in (
            ("PickPlaceWall", 10.0, (-0.005, 0.0, 0.02)),
            ("ShelfPlace", 25.0, (-0.005, 0.0, 0.015)),
            ("Disassemble", 10.0, (-0.02, 0.0, 0.01)),
            ("StickPush", 10.0, (0.015, 0.0, 0.03)),
            ("StickPull", 25.0, (-0.015, 0.0, 0.03)),
        )
    }
)


class MetaWorldExpert:
    """An agent that acts on the current state observation, one action at a time, and remembers nothing."""

    def __init__(self, env_id: str, style: MotionStyle | None = None) -> None:
        """Make an expert for one of :data:`POLICIES`; ``style`` None is that of the demonstrations."""
        from metaworld import policies

        self._borrowed = POLICIES[env_id]
        self._style = style or self._borrowed.style
        self._policy = getattr(policies, self._borrowed.name)()
        self._hands: list[Hand] = []

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""
        self._hands = [Hand(self._style, np.random.default_rng(seed)) for seed in seeds]

    def act(self, observations: Any) -> np.ndarray:
        """Actions (B, 1, 4) float32 for state observations (B, 39), or a dictionary with them as "state"."""
        states = np.asarray(state_of(observations), dtype=np.float64)
        return np.stack([self._act(hand, state) for hand, state in zip(self._hands, states, strict=True)])

    def _act(self, hand: Hand, state: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each time that it asks for more than an action can be
            intended = self._policy.get_action(state)
        way, grip = intended[:3].astype(np.float64) / self._borrowed.gain, float(intended[3])
        if grip > 0:
            to_grasp = state[OBJECT] + self._borrowed.grasp - state[HAND]
            if np.hypot(*to_grasp[:2]) > AT_OBJECT[0] or abs(to_grasp[2]) > AT_OBJECT[1]:
                grip = -1.0
            elif is_closing(state):
                way = to_grasp
        else:
            grip = -1.0
        if self._borrowed.pulls and abs(state[OBJECT][0] - state[THERMOS][0]) <= HOOKED:
            way = np.append((state[GOAL] - state[THERMOS])[:2], (state[THERMOS] - state[OBJECT])[2])
        place = Gripper(state[HAND], Rotation.identity(), width=0.0)
        goal = Goal(place.position + way, place.rotation, close=False, reach=float(np.hypot(*way[:2])))
        return np.append(hand.deflect(place, goal)[:3], grip).astype(np.float32)[None]


def is_closing(state: np.ndarray) -> bool:
    """Whether the fingers have been told to close and have not closed yet."""
    opening, before = state[OPENING], state[BEFORE + OPENING]
    return bool(opening > OPEN or before - opening > STILL_CLOSING)
