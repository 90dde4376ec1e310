"""The Gymnasium environment over ALOHA's tasks: joint angles in, poses or pictures out."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import gymnasium
import mujoco
import numpy as np

from dto_envs.aloha.placing import place
from dto_envs.aloha.progress import RULES
from dto_envs.aloha.rendering import FRAME_SIZE, onlooker, open_window, painter
from dto_envs.aloha.scene import TASKS, scene
from dto_envs.aloha.servos import opening, servo_targets
from dto_envs.choices import check_choice
from dto_envs.mujoco_env import MujocoEnv
from dto_envs.opengl import fixed_camera
from dto_envs.painting import QUALITIES
from dto_envs.registry import row

OBS_TYPES = ("state", "image", "state_image")
SERVO_PERIOD = 0.02  # s between two targets of the servos
START_OPENING = 0.02239  # m, the fingers at the beginning, as in gym-aloha
SETTLING = 100  # physics steps before an episode of ours begins
DIVERGED = [
    int(mujoco.mjtWarning.mjWARN_BADQPOS),
    int(mujoco.mjtWarning.mjWARN_BADQVEL),
    int(mujoco.mjtWarning.mjWARN_BADQACC),
]


class AlohaEnv(MujocoEnv):
    """One of ALOHA's tasks: hand over a cube, insert a peg, arrange a desk, move a cup with a spoon balanced on it.

    An action is, for each arm, the left first, six absolute joint angles in rad (waist, shoulder, elbow, forearm roll,
    wrist angle, wrist rotate) and the gripper's opening, 0 closed to 1 open; clipped to the layout's limits. The
    servos' targets move from the last action's to this one's in a straight line, at 50 Hz, so that an action takes
    effect by the end of its period: 0.02 s (the two tasks of gym-aloha, whose physics these are, step by step), 0.25 s
    (arrange the desk), 1/6 s (move the stack).

    State observations, float64: joint angles and openings in the order of an action, the same of their velocities
    (rad/s, 1/s), then for each thing its position (m) and quaternion (x, y, z, w) in the world frame. With two arms and
    the cube 28 + 7 = 35 numbers, peg and socket 42, bowl, cup and last cup 49; with one arm, cup and spoon 28. The
    coaster stays where it is.

    Image observations are a dictionary of cameras, (480, 640, 3) uint8 in gym-aloha's tasks (``top``) and (240, 320, 3)
    in the others (``top`` and both wrists; ``angle`` and the wrist), upright; with ``obs_type="state_image"`` it holds
    the state as ``state`` as well. While the attribute ``draw_images`` is False, the images that ``step`` returns are
    not drawn but black (:func:`dto_envs.wrappers.set_drawing`).

    The reward is the stage that the task has reached, 0 to 4 (5 when arranging the desk), see
    :mod:`dto_envs.aloha.progress`; the highest is success. ``info["score"]`` is the highest so far, divided by the
    task's highest.

    Example::

        env = gymnasium.make("dto/AlohaTransferCube-v0")
        observation, info = env.reset(seed=100_000)
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 50}

    def __init__(
        self,
        task: str = "AlohaTransferCube",
        obs_type: Literal["state", "image", "state_image"] = "state",
        render_mode: str | None = None,
        terminate_on_success: bool = True,
        render_quality: Literal["default", "fast"] = "default",
    ) -> None:
        """Make the environment; all environments of a process and task share one compiled model.

        Args:
            task: "AlohaTransferCube", "AlohaInsertion", "AlohaArrangeDesk" or "AlohaMoveStack".
            obs_type: what an observation holds: "state" (needs no OpenGL), "image" or "state_image".
            render_mode: None, "rgb_array" for frames of 480 x 640, or "human" for a window.
            terminate_on_success: end the episode at success; False to run on to the horizon.
            render_quality: "default" draws as gym-aloha does, "fast" without multisampling and shadows.

        Raises:
            ValueError: an argument has no such value; raised before anything is built.
            NoDisplayError: images or a window are asked for on a machine that cannot draw them.
        """
        check_choice("task", task, tuple(TASKS))
        check_choice("obs_type", obs_type, OBS_TYPES)
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        check_choice("render_quality", render_quality, QUALITIES)
        self.task = task
        self.obs_type = obs_type
        self.render_mode = render_mode
        self.terminate_on_success = terminate_on_success
        self.render_quality = render_quality
        self.action_layout = layout = row(f"dto/{task}-v0").layout
        self.metadata = {**self.metadata, "render_fps": round(1 / layout.dt)}
        self._task, self._scene, self._rules = TASKS[task], scene(task), RULES[task]
        self.model = self._scene.model
        self.data = mujoco.MjData(self.model)
        self._judge = self._rules.judge(self._scene)
        self._ticks = round(layout.dt / self.model.opt.timestep)
        self._ticks_per_target = round(SERVO_PERIOD / self.model.opt.timestep)
        self._motors = np.concatenate([arm.motors for arm in self._scene.arms])
        low, high = (np.array(limit, dtype=np.float32) for limit in (layout.low, layout.high))
        self._low, self._high = np.array(layout.low), np.array(layout.high)
        self.action_space = gymnasium.spaces.Box(low, high)
        self._cameras, self._image_shape = self._task.cameras, (*self._task.image_size, 3)
        self.observation_space = self._space_of(14 * len(self._scene.arms) + 7 * len(self._scene.things))
        pictures = obs_type != "state" or render_mode == "rgb_array"
        self._painter = painter(task, render_quality) if pictures else None
        self._window = open_window(self.model, self.data, onlooker(task)) if render_mode == "human" else None
        self._score = 0.0

    def get_state(self) -> np.ndarray:
        """Time, positions, velocities and servo targets, (1 + nq + nv + nu,); what ``reset`` restores."""
        data = self.data
        return np.concatenate([[data.time], data.qpos, data.qvel, data.ctrl])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: fixes the initial state bit for bit, whatever happened before.
            options: ``{"state": array}`` restores what :meth:`get_state` returned, instead of drawing things' places.

        Raises:
            ValueError: an unknown option, or a state of another size or with numbers that are not finite.
        """
        state = self._checked_state(options or {})
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        if state is None:
            self._place_all()
        else:
            self._restore(state)
        mujoco.mj_forward(self.model, self.data)
        self._target = self.data.ctrl[self._motors].copy()
        stage = self._judge.stage(self.data)
        self._score = stage / self._rules.stages
        self._ready = True
        digest = hashlib.sha256(self.get_state().astype("<f8").tobytes()).hexdigest()
        return self._observe(self._state()), {"init_hash": digest, **self._info(stage)}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Move the servos' targets to ``action`` within one period.

        Args:
            action: (7,) per arm, clipped to the layout's limits.

        Returns:
            Observation, reward (the stage now), terminated, truncated (always False) and info with ``success`` (now),
            ``stage`` (now) and ``score``.

        Raises:
            ValueError: the action has the wrong shape or is not finite.
            gymnasium.error.ResetNeeded: no episode has begun.
        """
        action = self._checked(action)
        self._move(servo_targets(np.clip(action, self._low, self._high)))
        stage = self._judge.stage(self.data)
        self._score = max(self._score, stage / self._rules.stages)
        info = self._info(stage)
        ended = info["success"] and self.terminate_on_success
        return self._observe(self._state(), draw=self.draw_images), float(stage), ended, False, info

    def _move(self, target: np.ndarray) -> None:
        """Simulate one action: a new target every 0.02 s, on the straight line from the last one.

        Where arms that are forced into each other or the table make the simulation diverge, everything stops where it
        was before the action.
        """
        model, data = self.model, self.data
        start, self._target = self._target, target
        time, before, failures = data.time, data.qpos.copy(), _failures(data)
        for done in range(0, self._ticks, self._ticks_per_target):
            ticks = min(self._ticks_per_target, self._ticks - done)
            part = (done + ticks) / self._ticks
            data.ctrl[self._motors] = (1.0 - part) * start + part * target
            mujoco.mj_step(model, data, nstep=ticks)
        if _failures(data) > failures:
            mujoco.mj_resetData(model, data)
            data.time, data.qpos[:] = time, before
            joints = np.concatenate([arm.positions for arm in self._scene.arms])
            data.ctrl[self._motors] = self._target = before[joints]
        # Poses and contacts of the state that has been reached, as dm_control has them.
        mujoco.mj_step1(model, data)

    def _place_all(self) -> None:
        """The arms at their start, the things where the generator says; in scenes of ours at rest."""
        data = self.data
        for arm in self._scene.arms:
            pose = (*self._task.start, START_OPENING, -START_OPENING)
            data.qpos[arm.positions] = data.ctrl[arm.motors] = pose
        poses = place(self.task, self._task, self.np_random)
        for name, address in zip(self._task.things, self._scene.things, strict=True):
            data.qpos[address : address + 7] = poses[name]
        if self._task.file is None:
            mujoco.mj_step(self.model, data, nstep=SETTLING)
            data.time = 0.0
            data.qacc_warmstart[:] = 0.0

    def _restore(self, state: np.ndarray) -> None:
        model, data = self.model, self.data
        sizes = np.cumsum([1, model.nq, model.nv])
        time, data.qpos[:], data.qvel[:], data.ctrl[:] = np.split(state, sizes)
        data.time = time[0]

    def _checked_state(self, options: dict[str, Any]) -> np.ndarray | None:
        if unknown := set(options) - {"state"}:
            raise ValueError(f"reset of {self.task} takes the option state, got {', '.join(sorted(unknown))}")
        if "state" not in options:
            return None
        nq, nv, nu = self.model.nq, self.model.nv, self.model.nu
        state = np.array(options["state"], dtype=np.float64)
        if state.shape != (1 + nq + nv + nu,) or not np.isfinite(state).all():
            raise ValueError(
                f"a state of {self.task} is {1 + nq + nv + nu} finite numbers (time, {nq} positions, {nv} velocities, "
                f"{nu} servo targets), got {options['state']!r}"
            )
        return state

    def _info(self, stage: int) -> dict[str, Any]:
        return {"success": stage == self._rules.stages, "score": self._score, "stage": stage}

    def _state(self) -> np.ndarray:
        data = self.data
        angles, speeds = [], []
        for arm in self._scene.arms:
            joints = data.qpos[arm.positions]
            angles += [joints[:6], opening(joints[6:7])]
            velocities = data.qvel[arm.dofs]
            speeds += [velocities[:6], opening(velocities[6:7]) - opening(np.zeros(1))]
        things = []
        for address in self._scene.things:
            w, *xyz = data.qpos[address + 3 : address + 7]
            things += [data.qpos[address : address + 3], np.array([*xyz, w])]
        return np.concatenate([*angles, *speeds, *things])

    def _paint_frame(self) -> np.ndarray:
        assert self._painter is not None
        return self._painter.paint(self.data, onlooker(self.task), *FRAME_SIZE)

    def _image(self, camera: str) -> np.ndarray:
        assert self._painter is not None
        return self._painter.paint(self.data, fixed_camera(self.model, camera), *self._task.image_size)


def _failures(data: mujoco.MjData) -> int:
    """How often MuJoCo has found numbers that are not finite, or huge, since the last reset, and begun anew."""
    return sum(data.warning[kind].number for kind in DIVERGED)
