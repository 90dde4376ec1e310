"""Mirror images of demonstrations, where a task has them: twice the data from the same episodes."""

from __future__ import annotations

import numpy as np

from dto_agents.demos.dataset import Episode
from dto_envs.registry import row

PUSHT = "dto/PushT-v0"
_CORNER = 512.0  # Push-T's goal, its walls and its T are symmetric about the diagonal x + y = 512 px


def mirror(episode: Episode, env_id: str) -> Episode:
    """The mirror image of an episode.

    In Push-T the point (x, y) becomes (512 - y, 512 - x) and a T at angle theta one at pi/2 - theta. The keypoints lie
    off the T's own axis a little, so they are taken from the mirrored pose. Actions are cut to the layout's range,
    which is not symmetric to the pixel.

    Raises:
        ValueError: the environment has no such symmetry.
    """
    _require_symmetry(env_id)
    from dto_envs.pusht.geometry import keypoints

    states = episode.observations
    points = keypoints(_mirrored_poses(states[:, 2:])).reshape(len(states), -1)
    layout = row(env_id).layout
    actions = (_CORNER - episode.actions[:, ::-1]).clip(layout.low, layout.high)
    return Episode(np.concatenate([_CORNER - states[:, 1::-1], points], axis=1), actions)


def mirror_pictures(frames: np.ndarray, env_id: str) -> np.ndarray:
    """Pictures (..., H, W, 3) of :func:`mirror`'s episode, from those of the episode: turned over the same diagonal.

    Raises:
        ValueError: the environment has no such symmetry.
    """
    _require_symmetry(env_id)
    return frames[..., ::-1, ::-1, :].swapaxes(-3, -2)


def _require_symmetry(env_id: str) -> None:
    if env_id != PUSHT:
        raise ValueError(f"{env_id} has no mirror symmetry to train with; only {PUSHT} has")


def _mirrored_poses(points: np.ndarray) -> np.ndarray:
    """Mirrored poses (T, 3) of blocks whose keypoints (T, 18) are given: x, y in px and the angle in rad."""
    from dto_envs.pusht.geometry import KEYPOINTS

    # A keypoint's x and y are linear in the block's x, y and the cosine and sine of its angle.
    design = np.zeros((2 * len(KEYPOINTS), 4))
    design[0::2, 0] = design[1::2, 1] = 1.0
    design[0::2, 2], design[0::2, 3] = KEYPOINTS[:, 0], -KEYPOINTS[:, 1]
    design[1::2, 2], design[1::2, 3] = KEYPOINTS[:, 1], KEYPOINTS[:, 0]
    x, y, cos, sin = np.linalg.lstsq(design, points.T, rcond=None)[0]
    return np.stack([_CORNER - y, _CORNER - x, np.pi / 2 - np.arctan2(sin, cos)], axis=1)
