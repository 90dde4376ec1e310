"""The planar pushing environment: actions, observations and the judging of episodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces

from dto_envs.choices import check_choice
from dto_envs.layouts import PLANAR_FORCE_LAYOUT, PLANAR_LAYOUT
from dto_envs.planar_push.constants import FINGERS, KEYFRAMES, SUCCESS_LOSS, VIDEO_SIZE
from dto_envs.planar_push.observations import SCENE_SIZE, STATE_SIZE, observe_scene, observe_task
from dto_envs.planar_push.physics import Physics, World, trajectory_loss
from dto_envs.planar_push.tasks import Task, make_task, random_task, task_set
from dto_envs.planar_push.video import task_video

if TYPE_CHECKING:
    from dto_envs.planar_push.drawing import Painter, Window

OBS_TYPES = ("state", "image", "state_image")


class PlanarPushEnv(gymnasium.Env):
    """Give an object the motion that a video shows, with two point fingers (Aceituno et al., DLM, 2021).

    The scene is seen from the side: gravity pulls down, the ground is at y = 0, x points right. The object is let go
    with the motion's initial pose and velocity, most often in the air, and falls unless the fingers carry it.

    An episode is five actions, one per keyframe, 0.1 s apart. The first action places the fingers at time 0, without
    time going by; each further one moves them for 0.1 s, along the natural spline through all targets so far. An agent
    that has a plan returns it as one chunk of five; one that looks again at every keyframe may do so.

    - Action: (4,) float32, target positions in m of finger 0 and finger 1, x then y; clipped to [-0.45, 0.45] and
      [0, 0.9]. Fingers are stiff (10,000 N/m): a target 1 mm inside the object presses with about 10 N, one far inside
      with 68 N, which is all they can. With ``feed_forward=True`` (8,): after the positions the forces in N that the
      fingers add, on the object, world frame.
    - Observation ``"state"``: (64,) float64, fingers, object and number of the keyframe
      (:func:`~dto_envs.planar_push.observations.observe_scene`), then shape and desired motion
      (:func:`~dto_envs.planar_push.observations.observe_task`). ``"image"``: the task's video (5, 50, 50, 3) uint8, the
      same in every step. ``"state_image"``: a dictionary of ``"video"`` and a ``"state"`` (15,) without the task.
    - The trajectory loss, in cm^2, is the mean over five keyframes and three coordinates of the squared error of
      100 (x, y, 0.03 sin angle). It is judged when the last keyframe is reached.
    - Reward: 0 until the last keyframe, there 1 / (1 + loss). Success: a loss of at most 4 cm^2.
    - ``info``: ``success``, ``score`` (0 until the end, then the reward), ``trajectory_loss`` (of the keyframes so
      far); after a reset also ``init_hash``, the SHA-256 of the task.

    Example::

        env = gymnasium.make("dto/PlanarPush-v0", obs_type="image", object_set="test")
        video, info = env.reset(options={"task": 7})
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 10}
    task = "PlanarPush"

    def __init__(
        self,
        obs_type: str = "state",
        render_mode: str | None = None,
        terminate_on_success: bool = True,
        object_set: str | None = None,
        feed_forward: bool = False,
        physics: Mapping[str, Any] | None = None,
    ) -> None:
        """Make the environment; no simulation runs before the first reset.

        Args:
            obs_type: "state", "image" or "state_image".
            render_mode: None, "rgb_array" (512 x 512 px) or "human" (a window).
            terminate_on_success: say so with ``terminated`` when the last keyframe is reached with success.
            object_set: "train", "fine-tune", "test", "family" or "omnipush", whose task number (seed modulo size) a
                seed chooses, so that consecutive seeds go through the set; None for fresh tasks like those of "train".
            feed_forward: whether actions carry forces.
            physics: fields of :class:`~dto_envs.planar_push.physics.Physics` that differ from the defaults.

        Raises:
            ValueError: an unknown ``obs_type``, ``render_mode`` or ``object_set``, or ``physics`` that cannot be.
            RuntimeError: "human" on a machine without a screen.
        """
        check_choice("obs_type", obs_type, OBS_TYPES)
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        if object_set is not None:
            task_set(object_set)
        self.obs_type = obs_type
        self.render_mode = render_mode
        self.terminate_on_success = terminate_on_success
        self.object_set = object_set
        self.feed_forward = feed_forward
        self.physics = _physics(physics or {})
        self.action_layout = PLANAR_FORCE_LAYOUT if feed_forward else PLANAR_LAYOUT
        low, high = (np.array(limit, dtype=np.float32) for limit in (self.action_layout.low, self.action_layout.high))
        self.action_space = spaces.Box(low, high, dtype=np.float32)
        self.observation_space = _observation_space(obs_type)
        self._task: Task | None = None
        self._world: World | None = None
        self._task_numbers = np.zeros(0)
        self._video: np.ndarray | None = None
        self._poses: list[np.ndarray] = []
        self._forces = np.zeros((KEYFRAMES, FINGERS + 1, 2))
        self._painter: Painter | None = None
        self._window: Window | None = None
        if render_mode == "human":
            from dto_envs.planar_push.drawing import Window

            self._window = Window()

    @property
    def current_task(self) -> Task:
        """The episode's task: the object and its desired motion; whoever reads it has privileged knowledge."""
        return self._running()[0]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: fixes the task bit for bit, whatever happened before.
            options: ``{"task": i}`` chooses the task by its index in ``object_set``, or is itself a
                :class:`~dto_envs.planar_push.tasks.Task` of five keyframes.

        Raises:
            ValueError: an unknown option, an index beyond the set, or a task that cannot be observed.
        """
        super().reset(seed=seed)
        options = options or {}
        if unknown := set(options) - {"task"}:
            raise ValueError(f"unknown reset options {sorted(unknown)}; planar pushing knows 'task'")
        self._task = task = self._choose(seed, options.get("task"))
        self._task_numbers = observe_task(task)
        self._world = World(task, self.physics, feed_forward=self.feed_forward)
        self._video = None
        self._poses = []
        self._forces[:] = 0.0
        if self.render_mode == "human":
            self.render()
        return self._observe(), {**self._info(), "init_hash": task.digest}

    def _choose(self, seed: int | None, choice: Any) -> Task:
        if isinstance(choice, Task):
            return choice
        if self.object_set is None:
            if choice is not None:
                raise ValueError(f"options['task'] is {choice!r}; an index needs object_set, else give a Task")
            return random_task(self.np_random)
        if choice is None:
            size = task_set(self.object_set).size
            choice = seed % size if seed is not None else self.np_random.integers(size)
        if not isinstance(choice, int | np.integer):
            raise ValueError(f"options['task'] must be a whole number or a Task; got {choice!r}")
        return make_task(self.object_set, int(choice))

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Send the fingers to their next keyframe.

        Args:
            action: (4,) or, with ``feed_forward``, (8,) numbers; see the class.

        Raises:
            ValueError: the action has another size or is not finite.
            gymnasium.error.ResetNeeded: no reset came before, or the last keyframe has been reached.
        """
        _, world = self._running()
        if len(self._poses) == KEYFRAMES:
            raise gymnasium.error.ResetNeeded("the last keyframe has been reached; call reset() for a new episode")
        numbers = self._checked(action)
        targets = numbers[: 2 * FINGERS].reshape(FINGERS, 2)
        forces = numbers[2 * FINGERS :].reshape(FINGERS, 2) if self.feed_forward else None
        self._forces[len(self._poses)] = world.command(targets, forces)[0]
        self._poses.append(world.pose())
        info = self._info()
        if self.render_mode == "human":
            self.render()
        return self._observe(), info["score"], self.terminate_on_success and info["success"], False, info

    def _checked(self, action: np.ndarray) -> np.ndarray:
        layout = self.action_layout
        try:
            numbers = np.asarray(action, dtype=np.float64)
        except (TypeError, ValueError):
            numbers = np.array(np.nan)
        if numbers.shape != (layout.size,) or not np.isfinite(numbers).all():
            raise ValueError(f"an action is {layout.size} finite numbers ({', '.join(layout.names)}); got {action!r}")
        return np.clip(numbers, layout.low, layout.high)

    def render(self) -> np.ndarray | None:
        """The picture (512, 512, 3) uint8 in mode "rgb_array"; in mode "human" it goes to the window."""
        if self.render_mode is None:
            return None
        painter = self._painting()
        _, world = self._running()
        picture = painter.picture(max(0, len(world.trace) - 1))
        if self._window is not None:
            self._window.show(picture)
            return None
        return picture

    def film(self) -> np.ndarray:
        """The episode so far in slow motion: (N, 512, 512, 3) uint8, a frame every 10 ms of simulated time."""
        painter = self._painting()
        _, world = self._running()
        return np.stack([painter.picture(row) for row in range(max(1, len(world.trace)))])

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def _painting(self) -> Painter:
        """A painter that knows the episode so far."""
        from dto_envs.planar_push.drawing import Painter, Scene

        task, world = self._running()
        trace = world.trace or [np.concatenate([world.pose(), world.fingers()[0].ravel()])]
        return Painter(Scene(task, np.stack(trace), self._forces.copy(), bool(self._poses)))

    def _running(self) -> tuple[Task, World]:
        if self._task is None or self._world is None:
            raise gymnasium.error.ResetNeeded("call reset() before anything else")
        return self._task, self._world

    def _observe(self) -> Any:
        task, world = self._running()
        scene = observe_scene(world, len(self._poses))
        if self.obs_type == "state":
            return np.concatenate([scene, self._task_numbers])
        if self._video is None:
            self._video = task_video(task)
        video = self._video.copy()
        return video if self.obs_type == "image" else {"state": scene, "video": video}

    def _info(self) -> dict[str, Any]:
        task, _ = self._running()
        count = len(self._poses)
        loss = float(trajectory_loss(np.stack(self._poses), task.poses[:count])) if count else 0.0
        over = count == KEYFRAMES
        return {
            "success": over and loss <= SUCCESS_LOSS,
            "score": 1.0 / (1.0 + loss) if over else 0.0,
            "trajectory_loss": loss,
        }


def _observation_space(obs_type: str) -> spaces.Space:
    # Nothing bounds a velocity or where an object may be knocked to.
    video = spaces.Box(0, 255, (KEYFRAMES, VIDEO_SIZE, VIDEO_SIZE, 3), np.uint8)
    if obs_type == "image":
        return video
    if obs_type == "state":
        return spaces.Box(-np.inf, np.inf, (STATE_SIZE,), np.float64)
    return spaces.Dict({"state": spaces.Box(-np.inf, np.inf, (SCENE_SIZE,), np.float64), "video": video})


def _physics(options: Mapping[str, Any]) -> Physics:
    names = list(Physics.__dataclass_fields__)
    if unknown := set(options) - set(names):
        raise ValueError(f"physics has no {', '.join(sorted(unknown))}; it has {', '.join(names)}")
    return Physics(**options)
