"""The expert agent: one plan per task, one person's hand per episode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from dto_agents.experts import can, lift, square
from dto_agents.experts.motion import Hand, MotionStyle
from dto_agents.experts.scene import Goal, Scene, see
from dto_agents.simple import state_of
from dto_envs.registry import row


@dataclass(frozen=True)
class ExpertPlan:
    """What an expert knows of its task.

    Attributes:
        plan: from what is seen and whether the fingers were last told to close, where the gripper goes.
        object_pose: index of the object's position in the state observation.
        style: how the demonstrations' hand moves.
    """

    plan: Callable[[Scene, bool], Goal]
    object_pose: int
    style: MotionStyle = field(default_factory=MotionStyle)


EXPERTS: Mapping[str, ExpertPlan] = MappingProxyType(
    {
        "dto/Lift-v0": ExpertPlan(lift.plan, lift.OBJECT_POSE),
        "dto/Can-v0": ExpertPlan(can.plan, can.OBJECT_POSE, MotionStyle(fastest=0.85)),
        "dto/Square-v0": ExpertPlan(square.plan, square.OBJECT_POSE),
    }
)


class ScriptedExpert:
    """An agent that acts from the current state observation alone, one action at a time."""

    def __init__(self, expert: ExpertPlan, style: MotionStyle | None = None) -> None:
        """Make an expert.

        Args:
            expert: the task.
            style: how the hand moves; None for the style of the demonstrations.
        """
        self._expert = expert
        self._style = style or expert.style
        self._hands: list[Hand] = []
        self._closing: list[bool] = []

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""
        self._hands = [Hand(self._style, np.random.default_rng(seed)) for seed in seeds]
        self._closing = [False] * len(seeds)

    def act(self, observations: Any) -> np.ndarray:
        """Actions (B, 1, 7) float32 for state observations (B, D), or a dictionary with them as "state"."""
        return np.stack([self._act(index, observation) for index, observation in enumerate(state_of(observations))])

    def _act(self, index: int, observation: np.ndarray) -> np.ndarray:
        scene = see(np.asarray(observation, dtype=np.float64), self._expert.object_pose)
        goal = self._expert.plan(scene, self._closing[index])
        self._closing[index] = goal.close
        deflection = self._hands[index].deflect(scene, goal)
        return np.append(deflection, 1.0 if goal.close else -1.0).astype(np.float32)[None]


def make_expert(env_id: str, style: MotionStyle | None = None) -> ScriptedExpert:
    """The scripted expert of ``env_id``; raises ValueError where there is none."""
    row(env_id)
    if env_id not in EXPERTS:
        raise ValueError(f"there is no scripted expert for {env_id}; those with one: {', '.join(EXPERTS)}")
    return ScriptedExpert(EXPERTS[env_id], style)
