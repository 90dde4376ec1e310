"""The physics of a task without Meta-World's Python: the same numbers, bit for bit, in less than half the time."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import mujoco
import numpy as np

from dto_envs.metaworld.tasks import REACH_HIGH, TASKS, Task

SUBSTEPS = 5
STEP_LENGTH = 0.01  # m that an action of 1 moves the target by
HAND_DOWN = (1.0, 0.0, 1.0, 0.0)  # orientation of the target, a quaternion w, x, y, z that MuJoCo normalises
SETTLING_STEPS = 50  # steps in which the hand goes to where it begins
WELD = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0)
FRAME_SIZE = 18  # hand, gripper, objects
OBSERVATION_SIZE = 2 * FRAME_SIZE + 3

# Between what an observation gives the hand's position.
HAND_LOW = (-0.525, 0.348, -0.0525)
HAND_HIGH = (0.525, 1.025, 0.7)

_SPEC = mujoco.mjtState
STATE_SPEC = int(
    _SPEC.mjSTATE_FULLPHYSICS
    | _SPEC.mjSTATE_WARMSTART
    | _SPEC.mjSTATE_CTRL
    | _SPEC.mjSTATE_MOCAP_POS
    | _SPEC.mjSTATE_MOCAP_QUAT
)


@functools.cache
def load_model(scene: str) -> mujoco.MjModel:
    """This process's model of one of Meta-World's scenes, 21 MB that all its simulations share."""
    package = importlib.util.find_spec("metaworld")
    assert package is not None and package.origin is not None
    model = mujoco.MjModel.from_xml_path(str(Path(package.origin).parent / "assets" / "sawyer_xyz" / scene))
    model.eq_data[model.eq_type == mujoco.mjtEq.mjEQ_WELD] = WELD
    return model


class Simulation:
    """One simulation of a task.

    Attributes:
        task: the task.
        data: MuJoCo's data.
        placement: (6,) where the object and the goal are put, see :class:`~dto_envs.metaworld.tasks.Task`.
        goal: (3,) where the object has to go.
    """

    def __init__(self, name: str) -> None:
        """Simulate a task of :data:`~dto_envs.metaworld.tasks.TASKS`; it begins with :meth:`begin`."""
        self.task: Task = TASKS[name]
        self._model = load_model(self.task.scene)
        self.data = mujoco.MjData(self._model)
        self.placement = np.array(self.task.low)
        self.goal = np.zeros(3)
        model = self._model
        self._hand, *self._claws = (model.body(body).id for body in ("hand", "rightclaw", "leftclaw"))
        self._goal_site = model.site("goal").id if self.task.shows_goal else -1
        self._reach = np.array(self.task.reach_low), np.array(REACH_HIGH)

    @property
    def model(self) -> mujoco.MjModel:
        """The model, which simulations of one scene share, with the furniture of this one."""
        self.task.furnish(self._model, self.placement)
        return self._model

    @property
    def goal_radius(self) -> float:
        """Radius in m of the ball that shows the goal, 0 where there is none."""
        return float(self._model.site_size[self._goal_site, 0]) if self.task.shows_goal else 0.0

    def begin(self, placement: np.ndarray) -> None:
        """Send the hand to where it begins, then put object and goal to where ``placement`` (6,) has them."""
        self.placement = placement
        model, data = self.model, self.data
        mujoco.mj_resetData(model, data)
        data.ctrl[:] = (-1.0, 1.0)
        for _ in range(SETTLING_STEPS):
            data.mocap_pos[0] = self.task.hand
            data.mocap_quat[0] = HAND_DOWN
            mujoco.mj_step(model, data, nstep=SUBSTEPS)
        self.goal = self.task.place(model, data, placement)
        self._show_goal()

    def step(self, action: np.ndarray) -> None:
        """Move the target by an action (4,) float32 for 0.0125 s; the hand follows as if by a spring."""
        model, data = self.model, self.data
        moved = data.mocap_pos[0] + np.clip(action[:3], -1, 1) * STEP_LENGTH
        data.mocap_pos[0] = np.clip(moved, *self._reach)
        data.mocap_quat[0] = HAND_DOWN
        data.ctrl[:] = (action[3], -action[3])
        mujoco.mj_step(model, data, nstep=SUBSTEPS)
        # More than the positions that are observed: the solver's next start depends on it, and with it the last bits.
        mujoco.mj_forward(model, data)
        self._show_goal()

    def frame(self) -> np.ndarray:
        """What is observed now: the hand's position, how far the gripper is open (0 to 1), and the objects; (18,)."""
        data = self.data
        right, left = data.xpos[self._claws]
        frame = np.zeros(FRAME_SIZE)
        frame[:3] = np.clip(data.xpos[self._hand], HAND_LOW, HAND_HIGH)
        frame[3] = min(np.linalg.norm(right - left) / 0.1, 1.0)
        objects = self.task.objects(data)
        frame[4 : 4 + len(objects)] = objects
        return frame

    def done(self, frame: np.ndarray) -> bool:
        """Whether the task is done, for what is observed now."""
        return self.task.done(self._model, self.data, frame[4:], self.goal)

    def get_state(self) -> np.ndarray:
        """All that the rest of an episode depends on: the placement (6,), then MuJoCo's state as in ``STATE_SPEC``."""
        state = np.empty(mujoco.mj_stateSize(self._model, STATE_SPEC))
        mujoco.mj_getState(self._model, self.data, state, STATE_SPEC)
        return np.concatenate([self.placement, self.goal, state])

    def set_state(self, state: np.ndarray) -> None:
        """Go on from what :meth:`get_state` has returned."""
        self.placement, self.goal = state[:6].copy(), state[6:9].copy()
        model, data = self.model, self.data
        mujoco.mj_resetData(model, data)
        mujoco.mj_setState(model, data, state[9:], STATE_SPEC)
        mujoco.mj_forward(model, data)
        mujoco.mj_setState(model, data, state[9:], STATE_SPEC)
        self._show_goal()

    def _show_goal(self) -> None:
        if self.task.shows_goal:
            self.data.site_xpos[self._goal_site] = self.goal
