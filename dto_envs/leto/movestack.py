"""Move-the-stack: two stacked cups in a closed gripper, a chopstick across the upper one, to be put on a board.

LeTO (section V-A) does not give sizes, friction or how success is judged; what is written here is ours, tuned so that
motion within the paper's limit on accelerations keeps the chopstick, and that of a person's hand often does not.
"""

from __future__ import annotations

import functools
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
from dto_envs.robomimic.poses import WXYZ_TO_XYZW, Hand, Touch
from dto_envs.robomimic.rendering import Painter

LOWER_RADIUS, LOWER_HEIGHT = 0.021, 0.080
UPPER_RADIUS, UPPER_HEIGHT = 0.016, 0.060
CUP_WALL, CUP_SIDES = 0.003, 8
FOOT = 0.012  # half width of the upper cup's foot, m
BOARD = np.array([0.09, 0.09, 0.006])  # half sizes, m
CHOPSTICK_RADIUS, CHOPSTICK_HALF_LENGTH = 0.0035, 0.10
# Sliding, spinning and rolling friction of the chopstick on whatever it touches; the last two in m.
CHOPSTICK_FRICTION = (0.20, 0.002, 0.0007)
GRIP = np.array([0.0, 0.004, 0.0])  # of the lower cup's middle, from the tool point: clear of the palm
# The hand comes from the right, along the world's y and 15 degrees below level, so that it is clear of stack and board.
SIDEWAYS = np.array([-0.43045933457687935, 0.5609855267969309, 0.5609855267969309, 0.43045933457687935])  # wxyz
NEARBY = np.array([-0.313, 0.822, -0.036, -1.905, 1.172, 1.657, -1.973])  # joints in the middle of the workspace, rad
FORGOTTEN = (0.0, -1.5, CHOPSTICK_RADIUS)  # on the floor beside the table: where the chopstick is when it is left out

TOOL_LOW, TOOL_HIGH = np.array([-0.16, -0.22, 0.16]), np.array([-0.06, -0.10, 0.24])  # tool over the table, m
BOARD_LOW, BOARD_HIGH = np.array([-0.02, 0.06]), np.array([0.08, 0.18])  # centre of the board, m
BOARD_TURN = 0.3  # rad, either way

STILL = 0.03  # m/s
RESTING_STEPS = 5


def furnish(spec: mujoco.MjSpec) -> None:
    """Add board, cups and chopstick."""
    board = add_thing(spec, "board", (0.1, 0.1, TABLE_TOP + BOARD[2]))
    add_plate(board, BOARD, (0, 0, 0), rgba=(0.05, 0.05, 0.05, 1.0), density=1500.0)
    paper = {"friction": (0.6, 0.005, 0.0001), "density": 600.0}
    lower = add_thing(spec, "lower_cup", (0.0, 0.0, 1.0))
    add_wall(lower, CUP_SIDES, LOWER_RADIUS, LOWER_HEIGHT, CUP_WALL, rgba=(0.85, 0.35, 0.25, 1.0), **paper)
    lid = LOWER_HEIGHT / 2 - CUP_WALL / 2
    add_plate(lower, (0.018, 0.018, CUP_WALL / 2), (0, 0, lid), rgba=(0.85, 0.35, 0.25, 1.0), **paper)
    tape = {"rgba": (0.05, 0.05, 0.05, 1.0), "contype": 0, "conaffinity": 0, "mass": 0.0}
    add_wall(lower, CUP_SIDES, LOWER_RADIUS + 0.0005, 0.014, CUP_WALL, **tape)
    upper = add_thing(spec, "upper_cup", (0.0, 0.0, 1.1))
    add_wall(upper, CUP_SIDES, UPPER_RADIUS, UPPER_HEIGHT, CUP_WALL, rgba=(0.95, 0.9, 0.75, 1.0), **paper)
    floor = -UPPER_HEIGHT / 2 + CUP_WALL / 2 - 0.0005
    add_plate(upper, (FOOT, FOOT, CUP_WALL / 2), (0, 0, floor), rgba=(0.95, 0.9, 0.75, 1.0), **paper)
    chopstick = add_thing(spec, "chopstick", FORGOTTEN)
    wood = {"rgba": (0.45, 0.25, 0.1, 1.0), "density": 700.0, "friction": CHOPSTICK_FRICTION, "condim": 6}
    add_stick(chopstick, CHOPSTICK_RADIUS, CHOPSTICK_HALF_LENGTH, priority=1, **wood)


def lay_out(scene: LetoScene, rng: np.random.Generator, chopstick: bool = True) -> np.ndarray:
    """Draw where the tool and the board are, put the stack into the gripper and let everything settle."""
    tool = rng.uniform(TOOL_LOW, TOOL_HIGH) + (0.0, 0.0, TABLE_TOP)
    centre = rng.uniform(BOARD_LOW, BOARD_HIGH)
    turn = rng.uniform(-BOARD_TURN, BOARD_TURN)
    yaw = rng.uniform(-0.2, 0.2)
    data = scene.begin(NEARBY, tool, SIDEWAYS, 2 * LOWER_RADIUS)
    cup = tool + GRIP
    place(data, "board", (*centre, TABLE_TOP + BOARD[2]), turn)
    place(data, "lower_cup", cup)
    foot = cup[2] + LOWER_HEIGHT / 2 + 0.0005
    place(data, "upper_cup", (cup[0], cup[1], foot + UPPER_HEIGHT / 2))
    on_top = (cup[0], cup[1], foot + UPPER_HEIGHT + CHOPSTICK_RADIUS)
    place(data, "chopstick", on_top if chopstick else FORGOTTEN, yaw)
    scene.settle(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]), steps=10)
    return scene.state()


MOVE_STACK = Furnishing(
    task=Task("MoveStack", object_body="lower_cup", cameras=("agentview",)), furnish=furnish, lay_out=lay_out
)


@functools.cache
def scene() -> LetoScene:
    """This process's scene."""
    return LetoScene(MOVE_STACK)


@functools.cache
def painter(quality: str) -> Painter:
    """This process's painter in a quality."""
    return Painter(scene().model, quality)


class Stack:
    """Reads where the stack is, and whether it stands on the board as it should."""

    def __init__(self, scene: LetoScene, data: mujoco.MjData, with_chopstick: bool = True) -> None:
        """Bind to a simulation, with a chopstick or not; the arrays are views of MuJoCo's."""
        model = scene.model
        self._hand = Hand(scene.arm, data)
        self._lower, self._upper, self._board = (data.body(name) for name in ("lower_cup", "upper_cup", "board"))
        self._speed = data.joint("lower_cup_joint").qvel
        self._chopstick = data.body("chopstick")
        cups = {name: geoms_of(model, name) for name in ("lower_cup", "upper_cup")}
        self._on_board = Touch(model, data, cups["lower_cup"], geoms_of(model, "board"))
        self._stacked = Touch(model, data, cups["lower_cup"], cups["upper_cup"])
        self._carried = Touch(model, data, cups["upper_cup"], geoms_of(model, "chopstick"))
        self.with_chopstick = with_chopstick
        self.reset()

    def reset(self) -> None:
        """The stack has not rested yet."""
        self._rested = 0

    def read(self) -> np.ndarray:
        """Poses of lower cup, upper cup and board, tool, fingers: (30,) float64."""
        poses = [(thing.xpos, thing.xquat[WXYZ_TO_XYZW]) for thing in (self._lower, self._upper, self._board)]
        return np.concatenate([part for pose in poses for part in pose] + [*self._hand.pose(), self._hand.fingers])

    def success(self) -> bool:
        """Whether the complete stack has rested on the board for a quarter of a second."""
        self._rested = self._rested + 1 if self._rests() else 0
        return self._rested >= RESTING_STEPS

    def chopstick_on_top(self) -> bool:
        """Whether the chopstick lies across the upper cup; False where it was left out."""
        rim = self._upper.xpos[2] + UPPER_HEIGHT / 2 * _upright(self._upper)
        return self.with_chopstick and self._chopstick.xpos[2] > rim and self._carried()

    def stacked(self) -> bool:
        """Whether the upper cup stands on the lower one."""
        return _upright(self._upper) > 0.97 and self._upper.xpos[2] > self._lower.xpos[2] and self._stacked()

    def _rests(self) -> bool:
        away = np.abs(self._board.xmat.reshape(3, 3).T @ (self._lower.xpos - self._board.xpos))
        inside = bool((away[:2] < BOARD[:2] - 0.01).all())
        quiet = float(np.linalg.norm(self._speed[:3])) < STILL
        whole = self.stacked() and (self.chopstick_on_top() or not self.with_chopstick)
        return inside and quiet and whole and self._on_board() and _upright(self._lower) > 0.97


def _upright(body: Any) -> float:
    """Cosine of the angle between a body's axis and the vertical."""
    return float(body.xmat[8])


class MoveStackEnv(LetoEnv):
    """LeTO's Move-the-stack: carry stacked cups, on which a chopstick lies, to a board, and put them down.

    The gripper has closed on the lower of two cups and stays closed and level. An action is 3 numbers in [-1, 1], the
    tool's velocity along the world's axes; 1 asks for 0.05 m beyond the position reached so far in a step of 0.05 s.
    The paper's limits on normalised actions are 1 and, on their differences, 0.25. Where the tool and the board begin
    is drawn at a reset. The task is done once the stack, complete, has rested on the board for a quarter of a second.

    In the paper's demonstrations there was no chopstick, and it was added in the evaluation: ``chopstick=False`` leaves
    it out. The state observation, (30,) float64, is the same with and without: poses (position in m, quaternion xyzw)
    of the lower cup, the upper cup, the board and the tool, then the two finger positions (m). Only images show the
    chopstick.

    ``info`` holds ``chopstick_on_top``, ``stacked`` and ``contact_force``, the largest force on the table within the
    step beyond the weight that rested on it at the reset, N.

    Example::

        env = gym.make("dto/MoveStack-v0")
        observation, info = env.reset(seed=100_000)
    """

    def __init__(
        self,
        obs_type: Literal["state", "image", "state_image"] = "state",
        render_mode: str | None = None,
        terminate_on_success: bool = True,
        render_quality: Literal["default", "fast"] = "default",
        chopstick: bool = True,
    ) -> None:
        """Bind to this process's simulator of the task, which the first environment builds in a second or two.

        Args:
            obs_type: as in :class:`dto_envs.robomimic.RobomimicEnv`; images are the camera ``agentview``.
            render_mode: likewise.
            terminate_on_success: likewise.
            render_quality: likewise.
            chopstick: False to leave the chopstick out, as in the demonstrations.

        Raises:
            ValueError: an argument has no such value; raised before anything is built.
            NoDisplayError: images or a window are asked for on a machine that cannot draw them.
        """
        self.chopstick = chopstick
        super().__init__(
            "MoveStack",
            scene,
            functools.partial(Stack, with_chopstick=chopstick),
            painter,
            SIDEWAYS,
            obs_type=obs_type,
            render_mode=render_mode,
            terminate_on_success=terminate_on_success,
            render_quality=render_quality,
        )

    def _choices(self) -> dict[str, Any]:
        return {"chopstick": self.chopstick}

    def _full_action(self, action: np.ndarray) -> np.ndarray:
        return np.concatenate([action, self._hold(0.0), [1.0]])

    def _details(self) -> dict[str, Any]:
        stack = self._reader
        assert isinstance(stack, Stack)
        return {
            "chopstick_on_top": stack.chopstick_on_top(),
            "stacked": stack.stacked(),
            "contact_force": self.contact_force,
        }
