"""Arrange-chopsticks: two chopsticks on a table, to be laid side by side across a bowl.

LeTO (section V-B) gives no sizes, friction or how success is judged; what is written here is ours.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Literal

import mujoco
import numpy as np

from dto_envs.leto.building import (
    TABLE_TOP,
    Furnishing,
    LetoScene,
    add_plate,
    add_stick,
    add_thing,
    add_wall,
    geoms_of,
    place,
)
from dto_envs.leto.env import LetoEnv
from dto_envs.robomimic.build import Task
from dto_envs.robomimic.control import MAX_DELTA
from dto_envs.robomimic.poses import WXYZ_TO_XYZW, Hand, Touch
from dto_envs.robomimic.rendering import Painter

STICKS = ("first_chopstick", "second_chopstick")
STICK_RADIUS, STICK_HALF_LENGTH = 0.0045, 0.095
STICK_FRICTION = (0.8, 0.01, 0.0002)  # sliding; spinning and rolling in m: it rolls when it is pushed
HARD = (0.95, 0.99, 0.0005, 0.5, 2.0)  # MuJoCo's solimp: squeezed between fingers it gives way by no more than a hair
# MuJoCo's solref of the fingers: on a table as hard as robosuite's, a touch at 0.1 m/s would be a blow of 200 N.
RUBBER = (0.08, 1.0)
BOWL_RADIUS, BOWL_HEIGHT, BOWL_WALL, BOWL_SIDES = 0.060, 0.045, 0.005, 16
BOWL_PLACE = np.array([0.10, 0.0])
DOWN = np.array([0.0, 1.0, 0.0, 0.0])  # orientation of a hand that points down, quaternion wxyz
NEARBY = np.array([0.0, 0.244, 0.0, -2.528, 0.0, 2.772, 0.786])  # joints in the middle of the workspace, rad

TOOL_LOW, TOOL_HIGH = np.array([-0.14, -0.04, 0.18]), np.array([-0.06, 0.04, 0.24])  # tool over the table, m
STICK_LOW, STICK_HIGH = np.array([-0.18, 0.13]), np.array([-0.06, 0.24])  # x and |y| of a chopstick's middle, m
STICK_TURN = 0.85  # rad, either way from pointing away from the robot

# The paper measures heights at a tool frame of its own, and lets it come down to 0.0475 m where demonstrations had
# been at 0.0501 m: "the slightest possible contact". Fingers that touch the table are at 0.0485 m here.
TOUCHING_HEIGHT = 0.0485
FINGER_LENGTH = 0.010  # from the tool point to the lower end of fingers that point down, m
LEAST_HEIGHT = 0.0475

NEAT_WITHIN = 0.3  # rad
CENTRED_WITHIN = 0.035  # m
STILL = 0.03  # m/s
RESTING_STEPS = 5


def furnish(spec: mujoco.MjSpec) -> None:
    """Add the bowl and two chopsticks."""
    bowl = add_thing(spec, "bowl", (*BOWL_PLACE, TABLE_TOP + BOWL_HEIGHT / 2))
    china = {"rgba": (0.92, 0.92, 0.96, 1.0), "density": 2400.0, "friction": (0.6, 0.005, 0.0001)}
    add_wall(bowl, BOWL_SIDES, BOWL_RADIUS, BOWL_HEIGHT, BOWL_WALL, **china)
    half = BOWL_RADIUS / math.sqrt(2) - BOWL_WALL
    add_plate(bowl, (half, half, 0.003), (0.0, 0.0, 0.003 - BOWL_HEIGHT / 2), **china)
    for name, shade in zip(STICKS, ((0.55, 0.12, 0.10, 1.0), (0.45, 0.25, 0.10, 1.0)), strict=True):
        stick = add_thing(spec, name, (0.0, 0.0, TABLE_TOP + STICK_RADIUS))
        wood = {"rgba": shade, "density": 1200.0, "friction": STICK_FRICTION, "condim": 6, "priority": 2}
        add_stick(stick, STICK_RADIUS, STICK_HALF_LENGTH, solref=(0.004, 1.0), solimp=HARD, **wood)
    for finger in (1, 2):
        # The collision boxes of robosuite's finger pads end above the tips; these reach down to them.
        pad = spec.geom(f"gripper0_right_finger{finger}_pad_collision")
        pad.size[2], pad.pos[2] = 0.01075, -0.01225
        for geom in (pad, spec.geom(f"gripper0_right_finger{finger}_collision")):
            geom.solref, geom.priority = RUBBER, 1


def lay_out(scene: LetoScene, rng: np.random.Generator) -> np.ndarray:
    """Draw where the tool is and where the chopsticks lie, one on either side of the bowl."""
    tool = rng.uniform(TOOL_LOW, TOOL_HIGH) + (0.0, 0.0, TABLE_TOP)
    data = scene.begin(NEARBY, tool, DOWN, 0.08)
    place(data, "bowl", (*BOWL_PLACE, TABLE_TOP + BOWL_HEIGHT / 2))
    for name, side in zip(STICKS, (-1.0, 1.0), strict=True):
        x, y = rng.uniform(STICK_LOW, STICK_HIGH)
        place(data, name, (x, side * y, TABLE_TOP + STICK_RADIUS), rng.uniform(-STICK_TURN, STICK_TURN))
    return scene.state()


ARRANGE_CHOPSTICKS = Furnishing(task=Task("ArrangeChopsticks", object_body="bowl"), furnish=furnish, lay_out=lay_out)


@functools.cache
def scene() -> LetoScene:
    """This process's scene."""
    return LetoScene(ARRANGE_CHOPSTICKS)


@functools.cache
def painter(quality: str) -> Painter:
    """This process's painter in a quality."""
    return Painter(scene().model, quality)


class Arrangement:
    """Reads where the chopsticks are, and whether they lie on the bowl as they should."""

    def __init__(self, scene: LetoScene, data: mujoco.MjData) -> None:
        """Bind to a simulation; the arrays are views of MuJoCo's."""
        model = scene.model
        self._hand = Hand(scene.arm, data)
        self._bowl = data.body("bowl")
        self._sticks = [data.body(name) for name in STICKS]
        self._speeds = [data.joint(f"{name}_joint").qvel for name in STICKS]
        elsewhere = ["table_collision"]
        for body in range(model.nbody):
            if "gripper" in model.body(body).name or "finger" in model.body(body).name:
                elsewhere += geoms_of(model, model.body(body).name)
        sticks = [geoms_of(model, name) for name in STICKS]
        self._on_bowl = [Touch(model, data, stick, geoms_of(model, "bowl")) for stick in sticks]
        self._elsewhere = [Touch(model, data, stick, elsewhere) for stick in sticks]
        self.reset()

    def reset(self) -> None:
        """Nothing has rested yet."""
        self._rested = 0

    def read(self) -> np.ndarray:
        """Poses of both chopsticks and the bowl, tool, fingers: (30,) float64."""
        poses = [(thing.xpos, thing.xquat[WXYZ_TO_XYZW]) for thing in (*self._sticks, self._bowl)]
        return np.concatenate([part for pose in poses for part in pose] + [*self._hand.pose(), self._hand.fingers])

    def success(self) -> bool:
        """Whether both chopsticks have rested on the bowl, let go, for a quarter of a second."""
        self._rested = self._rested + 1 if all(self.arranged(index) for index in range(2)) else 0
        return self._rested >= RESTING_STEPS

    def tool_height(self) -> float:
        """Height of the paper's tool frame over the table, m."""
        return float(self._hand.position[2]) - TABLE_TOP - FINGER_LENGTH + TOUCHING_HEIGHT

    def arranged(self, index: int) -> bool:
        """Whether a chopstick lies across the bowl, level, centred, pointing away from the robot, still and free."""
        stick, along = self._sticks[index], self._sticks[index].xmat.reshape(3, 3)[:, 0]
        away = stick.xpos - self._bowl.xpos
        lies = bool(np.linalg.norm(away[:2]) < CENTRED_WITHIN and away[2] > BOWL_HEIGHT / 2)
        neat = abs(along[0]) > math.cos(NEAT_WITHIN) and abs(along[2]) < 0.1
        quiet = float(np.linalg.norm(self._speeds[index][:3])) < STILL
        return lies and neat and quiet and self._on_bowl[index]() and not self._elsewhere[index]()


class ArrangeChopsticksEnv(LetoEnv):
    """LeTO's Arrange-chopsticks: pick up two chopsticks from the table and lay them neatly across a bowl.

    An action is 5 numbers in [-1, 1]: the tool's velocity along the world's axes (1 asks for 0.05 m beyond the position
    reached so far in a step of 0.05 s), its turning about the vertical (1 asks for 0.5 rad), and the gripper (+1
    closes). The hand points down throughout. The paper's limits are 1 on normalised velocities, 0.25 on their
    differences, and 0.0475 m on the height of the tool, so that fingers press on the table as little as possible.
    Where the tool and the chopsticks begin is drawn at a reset; the bowl stands in its place. The task is done once
    both chopsticks have lain side by side across the bowl, let go, for a quarter of a second.

    The state observation, (30,) float64: poses (position in m, quaternion xyzw) of the chopsticks, the bowl and the
    tool, then the two finger positions (m).

    ``info`` holds ``contact_force``, the largest force on the table within the step beyond the weight that rested on it
    at the reset (N), ``tool_height`` (m), ``least_height``, the lowest that the tool has been in the episode (m), and
    ``arranged``, the number of chopsticks that lie as they should.

    Example::

        env = gym.make("dto/ArrangeChopsticks-v0")
        observation, info = env.reset(seed=100_000)
    """

    def __init__(
        self,
        obs_type: Literal["state", "image", "state_image"] = "state",
        render_mode: str | None = None,
        terminate_on_success: bool = True,
        render_quality: Literal["default", "fast"] = "default",
    ) -> None:
        """Bind to this process's simulator of the task, which the first environment builds in a second or two.

        Args:
            obs_type: as in :class:`dto_envs.robomimic.RobomimicEnv`; images are the cameras ``agentview`` and
                ``robot0_eye_in_hand``, as in the paper.
            render_mode: likewise.
            terminate_on_success: likewise.
            render_quality: likewise.

        Raises:
            ValueError: an argument has no such value; raised before anything is built.
            NoDisplayError: images or a window are asked for on a machine that cannot draw them.
        """
        self._least_height = math.inf
        super().__init__(
            "ArrangeChopsticks",
            scene,
            Arrangement,
            painter,
            DOWN,
            obs_type=obs_type,
            render_mode=render_mode,
            terminate_on_success=terminate_on_success,
            render_quality=render_quality,
        )

    def _restore(self, state: np.ndarray) -> None:
        super()._restore(state)
        self._least_height = math.inf

    def _full_action(self, action: np.ndarray) -> np.ndarray:
        x_axis = self._hand.xmat.reshape(3, 3)[:, 0]
        heading = math.atan2(x_axis[1], x_axis[0]) + action[3] * MAX_DELTA[5]
        return np.concatenate([action[:3], self._hold(heading), action[4:]])

    def _details(self) -> dict[str, Any]:
        arrangement = self._reader
        assert isinstance(arrangement, Arrangement)
        height = arrangement.tool_height()
        self._least_height = min(self._least_height, height)
        return {
            "contact_force": self.contact_force,
            "tool_height": height,
            "least_height": self._least_height,
            "arranged": sum(arrangement.arranged(index) for index in range(2)),
        }
