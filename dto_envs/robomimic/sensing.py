"""What robosuite reports after an action: the state observation and success, read once from MuJoCo's arrays."""

from __future__ import annotations

from typing import Protocol

import mujoco
import numpy as np

from dto_envs.robomimic.build import Scene
from dto_envs.robomimic.poses import Hand
from dto_envs.robomimic.tabletop import OneObject
from dto_envs.robomimic.toolhang import StandFrameAndTool
from dto_envs.robomimic.transport import HammerTrashAndLid


def state_keys(arms: int) -> tuple[str, ...]:
    """Robosuite's names of the parts of robomimic's low-dimensional observation, in order."""
    parts = ("eef_pos", "eef_quat", "gripper_qpos")
    return "object-state", *(f"robot{arm}_{part}" for arm in range(arms) for part in parts)


def robosuite_state_vector(observations: dict[str, np.ndarray], arms: int = 1) -> np.ndarray:
    """Concatenate robosuite's own observations in the order of robomimic's low-dimensional policies."""
    return np.concatenate([observations[key] for key in state_keys(arms)])


class Objects(Protocol):
    """How a task's objects are looked at; one class for each family of tasks."""

    def reset(self) -> None:
        """Forget earlier steps."""
        ...

    def object_state(self) -> tuple[np.ndarray, ...]:
        """The parts of robosuite's object-state now; called once per action, since some of it lags by a step."""
        ...

    def success(self) -> bool:
        """Whether the task is done now."""
        ...


OBJECTS = {
    "Lift": OneObject,
    "PickPlaceCan": OneObject,
    "NutAssemblySquare": OneObject,
    "ToolHang": StandFrameAndTool,
    "TwoArmTransport": HammerTrashAndLid,
}


class StateReader:
    """Reads state vector and success of one simulation as robosuite composes them."""

    def __init__(self, scene: Scene, data: mujoco.MjData) -> None:
        """Bind to a simulation; the arrays are views of MuJoCo's."""
        self._hands = tuple(Hand(arm, data) for arm in scene.arms)
        self._objects: Objects = OBJECTS[scene.task.robosuite_name](scene, data, self._hands)

    def reset(self) -> None:
        """Forget the steps of the episode before."""
        self._objects.reset()

    def read(self) -> np.ndarray:
        """The state vector, float64: object-state, then 9 numbers for each hand."""
        hands = [part for hand in self._hands for part in (*hand.pose(), hand.fingers)]
        return np.concatenate([*self._objects.object_state(), *hands])

    def success(self) -> bool:
        """Whether the task is done now."""
        return self._objects.success()
