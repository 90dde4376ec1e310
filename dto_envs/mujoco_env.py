"""What the environments of several rooms share that MuJoCo simulates and draws."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from dto_envs.actions import ActionLayout


class MujocoEnv(gymnasium.Env):
    """Checked actions, observations that may hold pictures, frames to look at, and a window.

    A subclass says how to draw, in :meth:`_image` and :meth:`_paint_frame`, opens ``_painter`` and ``_window`` where it
    needs them, and sets ``_ready`` when an episode begins.

    Attributes:
        obs_type: what an observation holds.
        action_layout: what an action means.
        render_mode: None, "rgb_array" or "human".
        draw_images: while False, the images that ``step`` returns are not drawn but black.
    """

    metadata = {"render_modes": ["rgb_array", "human"]}
    obs_type: str
    action_layout: ActionLayout
    draw_images = True
    _painter: Any = None
    _window: Any = None
    _ready = False
    _cameras: tuple[str, ...] = ()
    _image_shape: tuple[int, int, int]

    def render(self) -> np.ndarray | None:
        """A frame (H, W, 3) uint8 for "rgb_array"; for "human" the window shows the present state by itself.

        Raises:
            ValueError: the environment was made without a render mode.
        """
        if self.render_mode is None:
            raise ValueError("nothing to render; make the environment with render_mode='rgb_array' or 'human'")
        return self._paint_frame() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the window, if there is one; the model stays for other environments of this process."""
        if self._window is not None:
            self._window.close()
            self._window = None
        self._ready = False

    def _paint_frame(self) -> np.ndarray:
        """A person's view of the present state, (H, W, 3) uint8."""
        raise NotImplementedError

    def _image(self, camera: str) -> np.ndarray:
        """What a camera of image observations sees now, (H, W, 3) uint8."""
        raise NotImplementedError

    def _checked(self, action: np.ndarray, dtype: type[np.floating] = np.float64) -> np.ndarray:
        """The action (D_a,) for a step that may be made.

        Raises:
            ValueError: it has the wrong shape or is not finite.
            gymnasium.error.ResetNeeded: no episode has begun.
        """
        action = np.asarray(action, dtype=dtype)
        if action.shape != self.action_space.shape or not np.isfinite(action).all():
            raise ValueError(f"an action is {self.action_layout.size} finite numbers, got {action!r}")
        if not self._ready:
            raise gymnasium.error.ResetNeeded("call reset before step")
        return action

    def _space_of(self, state_size: int) -> gymnasium.Space:
        """The space of observations: a state, or a dictionary with the pictures of the cameras."""
        state = gymnasium.spaces.Box(-np.inf, np.inf, (state_size,), np.float64)
        if self.obs_type == "state":
            return state
        image = gymnasium.spaces.Box(0, 255, self._image_shape, np.uint8)
        parts: dict[str, gymnasium.Space] = dict.fromkeys(self._cameras, image)
        return gymnasium.spaces.Dict(parts | ({"state": state} if self.obs_type == "state_image" else {}))

    def _observe(self, state: np.ndarray, *, draw: bool = True) -> Any:
        """The observation of a state, which the window shows from now on; its pictures are black without ``draw``."""
        if self._window is not None:
            self._window.sync()
        if self.obs_type == "state":
            return state
        pictures = {name: self._image(name) if draw else self._black() for name in self._cameras}
        return pictures | ({"state": state} if self.obs_type == "state_image" else {})

    def _black(self) -> np.ndarray:
        return np.zeros(self._image_shape, dtype=np.uint8)
