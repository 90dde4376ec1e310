"""The expert agent: a plan per arm, and a person's hand per arm and episode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from dto_agents.experts import can, chopsticks, lift, metaworld, movestack, square, toolhang, transport
from dto_agents.experts.motion import Hand, MotionStyle
from dto_agents.experts.scene import Goal, Memory, Scene, see
from dto_agents.simple import state_of
from dto_envs.registry import row


@dataclass(frozen=True)
class ArmPlan:
    """What moves one arm.

    Attributes:
        plan: from what is seen and what is remembered, where this arm's gripper goes.
        base_yaw: how the robot's base, in whose frame actions are given, is turned about the world's z, in rad.
    """

    plan: Callable[[Scene, Memory], Goal]
    base_yaw: float = 0.0


@dataclass(frozen=True)
class ExpertPlan:
    """What an expert knows of its task.

    Attributes:
        arms: what moves each arm, in the order of their actions.
        objects: indices of the objects' positions in the state observation.
        style: how the demonstrations' hands move.
        careful: how the expert's own hands move, where the task is harder than it was in the demonstrations; None for
            the same.
        commands: which of an arm's seven numbers (translation, rotation vector, gripper) an action holds.
        demonstrated: keyword arguments of the environment in which demonstrations are collected.
    """

    arms: tuple[ArmPlan, ...]
    objects: tuple[int, ...]
    style: MotionStyle = field(default_factory=MotionStyle)
    careful: MotionStyle | None = None
    commands: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    demonstrated: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


EXPERTS: Mapping[str, ExpertPlan] = MappingProxyType(
    {
        "dto/Lift-v0": ExpertPlan((ArmPlan(lift.plan),), lift.OBJECTS),
        "dto/Can-v0": ExpertPlan((ArmPlan(can.plan),), can.OBJECTS, MotionStyle(fastest=0.85)),
        "dto/Square-v0": ExpertPlan((ArmPlan(square.plan),), square.OBJECTS),
        "dto/ToolHang-v0": ExpertPlan((ArmPlan(toolhang.plan),), toolhang.OBJECTS, toolhang.STYLE),
        "dto/Transport-v0": ExpertPlan(
            tuple(map(ArmPlan, (transport.plan_first, transport.plan_second), transport.BASE_YAWS)),
            transport.OBJECTS,
            transport.STYLE,
        ),
        "dto/MoveStack-v0": ExpertPlan(
            (ArmPlan(movestack.plan),),
            movestack.OBJECTS,
            movestack.STYLE,
            careful=movestack.CAREFUL,
            commands=(0, 1, 2),
            demonstrated=MappingProxyType({"chopstick": False}),
        ),
        "dto/ArrangeChopsticks-v0": ExpertPlan(
            (ArmPlan(chopsticks.plan),), chopsticks.OBJECTS, chopsticks.STYLE, commands=(0, 1, 2, 5, 6)
        ),
    }
)


class ScriptedExpert:
    """An agent that acts on the current state observation, one action at a time, and remembers next to nothing."""

    def __init__(self, expert: ExpertPlan, style: MotionStyle | None = None) -> None:
        """Make an expert.

        Args:
            expert: the task.
            style: how the hands move; None for the expert's own style, which most often is that of the demonstrations.
        """
        self._expert = expert
        self._style = style or expert.careful or expert.style
        self._hands: list[list[Hand]] = []
        self._memories: list[list[Memory]] = []

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""
        arms = range(len(self._expert.arms))
        # The first arm's generator is that of experts with one arm.
        self._hands = [
            [Hand(self._style, np.random.default_rng((seed, arm) if arm else seed)) for arm in arms] for seed in seeds
        ]
        self._memories = [[Memory()] * len(arms) for _ in seeds]

    def act(self, observations: Any) -> np.ndarray:
        """Actions (B, 1, D_a) float32 for state observations (B, D), or a dictionary with them as "state"."""
        return np.stack([self._act(index, observation) for index, observation in enumerate(state_of(observations))])

    def _act(self, episode: int, observation: np.ndarray) -> np.ndarray:
        arms = self._expert.arms
        scene = see(np.asarray(observation, dtype=np.float64), self._expert.objects, len(arms))
        actions = [self._move(episode, index, arm, scene) for index, arm in enumerate(arms)]
        return np.concatenate(actions).astype(np.float32)[None]

    def _move(self, episode: int, index: int, arm: ArmPlan, scene: Scene) -> np.ndarray:
        """The action of one arm, (7,) where it is commanded whole."""
        memories = self._memories[episode]
        goal = arm.plan(scene, memories[index])
        memories[index] = memories[index].after(goal)
        deflection = self._hands[episode][index].deflect(scene.grippers[index], goal)
        if arm.base_yaw:
            deflection = Rotation.from_rotvec([0.0, 0.0, -arm.base_yaw]).apply(deflection.reshape(2, 3)).ravel()
        return np.append(deflection, 1.0 if goal.close else -1.0)[list(self._expert.commands)]


# How the hands move in the demonstrations of each task that has a scripted expert.
STYLES: Mapping[str, MotionStyle] = MappingProxyType(
    {env_id: expert.style for env_id, expert in EXPERTS.items()}
    | {env_id: policy.style for env_id, policy in metaworld.POLICIES.items()}
)


def make_expert(env_id: str, style: MotionStyle | None = None) -> ScriptedExpert | metaworld.MetaWorldExpert:
    """The scripted expert of ``env_id``; raises ValueError where there is none."""
    row(env_id)
    if env_id not in STYLES:
        raise ValueError(f"there is no scripted expert for {env_id}; those with one: {', '.join(STYLES)}")
    if env_id in metaworld.POLICIES:
        return metaworld.MetaWorldExpert(env_id, style)
    return ScriptedExpert(EXPERTS[env_id], style)
