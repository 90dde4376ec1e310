"""The Push-T environment: observations, reward and episodes around :class:`~dto_envs.pusht.physics.World`."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces

from dto_envs.choices import check_choice
from dto_envs.layouts import PUSHT_LAYOUT
from dto_envs.pusht.geometry import observe
from dto_envs.pusht.physics import World

if TYPE_CHECKING:
    from dto_envs.pusht.drawing import Painter
    from dto_envs.screen import Window

OBS_TYPES = ("state", "image", "state_image")
IMAGE_SIZE = 96
SIDE = 512.0
SUCCESS_COVERAGE = 0.95
# Resets draw each number uniformly: agent x, agent y, block x, block y in px, block angle in rad.
RESET_LOW = np.array([50.0, 50.0, 100.0, 100.0, -math.pi])
RESET_HIGH = np.array([450.0, 450.0, 400.0, 400.0, math.pi])


class PushTEnv(gymnasium.Env):
    """Push a T-shaped block onto its goal with a round finger (Chi et al., Diffusion Policy, 2023).

    The finger follows a target position under a PD controller; the block moves only while it is pushed. Played back on
    it, the human demonstrations that were recorded for Diffusion Policy end where they were recorded.

    - Action: (2,) float32, target position x, y in px, [0, 512]; values outside are clipped. 10 Hz.
    - Observation ``"state"``: (20,) float64 in px, the agent's x, y, then x, y of nine keypoints of the T, in the order
      of the data set. ``"image"``: (96, 96, 3) uint8. ``"state_image"``: a dictionary with both.
    - Reward: ``min(coverage / 0.95, 1)``, where coverage is the share of the goal that the block covers.
    - Success: coverage above 0.95; the episode terminates there unless told otherwise.
    - ``info``: ``success``, ``score`` (the largest reward received so far, [0, 1]), ``coverage``; after a reset also
      ``init_hash``, the SHA-256 of the initial state's five float64 numbers.
    - While the attribute ``draw_images`` is False, the images that ``step`` returns are not drawn but black (all
      zeros), and everything else is as ever (:func:`dto_envs.wrappers.set_drawing`); a reset always draws.

    Example::

        env = gymnasium.make("dto/PushT-v0")
        observation, info = env.reset(seed=0)
        observation, info = env.reset(options={"state": [222.0, 97.0, 223.0, 382.0, 3.0]})
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 10}
    action_layout = PUSHT_LAYOUT
    task = "PushT"

    def __init__(
        self, obs_type: str = "state", render_mode: str | None = None, terminate_on_success: bool = True
    ) -> None:
        """Make the environment; no simulation runs before the first reset.

        Args:
            obs_type: "state", "image" or "state_image".
            render_mode: None, "rgb_array" (512 x 512 px, with the target marked) or "human" (a window).
            terminate_on_success: end the episode at the first success; False runs to the horizon.

        Raises:
            ValueError: an unknown ``obs_type`` or ``render_mode``.
            RuntimeError: "human" on a machine without a screen.
        """
        check_choice("obs_type", obs_type, OBS_TYPES)
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        self.obs_type = obs_type
        self.render_mode = render_mode
        self.terminate_on_success = terminate_on_success
        self.draw_images = True
        self.action_space = spaces.Box(0.0, SIDE, (2,), np.float32)
        self.observation_space = _observation_space(obs_type)
        self._world: World | None = None
        self._target: tuple[float, float] | None = None
        self._best = 0.0
        self._painter: Painter | None = None
        self._window: Window | None = None
        if render_mode == "human":
            from dto_envs.pusht.drawing import SIZE
            from dto_envs.screen import Window

            self._window = Window("Push-T", self.metadata["render_fps"], (SIZE, SIZE))

    @property
    def state(self) -> np.ndarray:
        """Agent x, agent y, block x, block y in px and the block's angle in [0, 2 pi); (5,) float64."""
        *positions, angle = self._require_world().state()
        return np.array([*positions, angle % (2 * math.pi)])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: fixes the initial state bit for bit, whatever happened before.
            options: ``{"state": (5,)}`` restores agent x, agent y, block x, block y in px and the block's angle in rad,
                at rest.

        Raises:
            ValueError: an unknown option, or a state that is not five finite numbers with positions in [0, 512].
        """
        super().reset(seed=seed)
        options = options or {}
        if unknown := set(options) - {"state"}:
            raise ValueError(f"unknown reset options {sorted(unknown)}; Push-T knows 'state'")
        if "state" in options:
            initial = _checked_state(options["state"])
        else:
            initial = self.np_random.uniform(RESET_LOW, RESET_HIGH)
        self._world = World(initial.tolist())
        self._target = None
        observation, coverage = self._observe()
        self._best = 0.0
        if self.render_mode == "human":
            self.render()
        info = self._info(coverage)
        info["init_hash"] = hashlib.sha256(initial.astype("<f8").tobytes()).hexdigest()
        return observation, info

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Move for 0.1 s towards ``action`` (2,), a target position in px.

        Raises:
            ValueError: the action is not two finite numbers.
            gymnasium.error.ResetNeeded: no reset came before.
        """
        world = self._require_world()
        self._target = _checked_target(action)
        world.push(*self._target)
        observation, coverage = self._observe(draw=self.draw_images)
        reward = _reward(coverage)
        self._best = max(self._best, reward)
        if self.render_mode == "human":
            self.render()
        terminated = self.terminate_on_success and coverage > SUCCESS_COVERAGE
        return observation, reward, terminated, False, self._info(coverage)

    def render(self) -> np.ndarray | None:
        """The picture (512, 512, 3) uint8 in mode "rgb_array"; in mode "human" it goes to the window."""
        if self.render_mode is None:
            return None
        from dto_envs.pusht.drawing import pixels

        canvas = self._paint(self._target)
        if self._window is not None:
            self._window.show(canvas)
            return None
        return pixels(canvas)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def _require_world(self) -> World:
        if self._world is None:
            raise gymnasium.error.ResetNeeded("call reset() before anything else")
        return self._world

    def _observe(self, *, draw: bool = True) -> tuple[Any, float]:
        """The observation and the coverage, which fall out of the same geometry."""
        state = np.empty(20)
        coverage = observe(*self._require_world().state(), state)
        if self.obs_type == "state":
            return state, coverage
        image = self._image() if draw else np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
        return (image if self.obs_type == "image" else {"state": state, "image": image}), coverage

    def _image(self) -> np.ndarray:
        from dto_envs.pusht.drawing import pixels

        return pixels(self._paint(None), IMAGE_SIZE)

    def _paint(self, target: tuple[float, float] | None) -> Any:
        if self._painter is None:
            from dto_envs.pusht.drawing import Painter

            self._painter = Painter()
        return self._painter.paint(self._require_world().state(), target)

    def _info(self, coverage: float) -> dict[str, Any]:
        return {"success": coverage > SUCCESS_COVERAGE, "score": self._best, "coverage": coverage}


def _observation_space(obs_type: str) -> spaces.Space:
    # Corners of the T reach beyond the walls until the first contact pushes them back.
    state = spaces.Box(-SIDE, 2 * SIDE, (20,), np.float64)
    image = spaces.Box(0, 255, (IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    return {"state": state, "image": image, "state_image": spaces.Dict({"state": state, "image": image})}[obs_type]


def _reward(coverage: float) -> float:
    return min(coverage / SUCCESS_COVERAGE, 1.0)


def _checked_target(action: np.ndarray) -> tuple[float, float]:
    try:
        x, y = map(float, action)
    except (TypeError, ValueError):
        raise ValueError(f"an action is two numbers, x and y in px; got {action!r}") from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"an action must be finite; got {action!r}")
    return min(max(x, 0.0), SIDE), min(max(y, 0.0), SIDE)


def _checked_state(state: Any) -> np.ndarray:
    meaning = "agent x, agent y, block x, block y in [0, 512] px and the block's angle in rad"
    try:
        values = np.asarray(state, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"options['state'] must be five numbers ({meaning}); got {state!r}") from None
    if values.shape != (5,) or not np.isfinite(values).all():
        raise ValueError(f"options['state'] must be five finite numbers ({meaning}); got {state!r}")
    if values[:4].min() < 0 or values[:4].max() > SIDE:
        raise ValueError(f"options['state'] lies outside the board ({meaning}); got {state!r}")
    return values
