"""Diffusion Policy's Push-T replay buffer (zarr): human demonstrations, all episodes one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dto_agents.demos.dataset import DemonstrationError


@dataclass(frozen=True)
class PushTEpisode:
    """One recorded episode of ``T`` steps at 10 Hz.

    Attributes:
        observations: (T, 20) agent x, y and the nine key points x, y, in px.
        actions: (T, 2) target position of the agent in px.
        states: (T, 5) agent x, y, block x, y in px and block angle in rad.
        images: (T, 96, 96, 3) uint8, or None where they were not asked for.
    """

    observations: np.ndarray
    actions: np.ndarray
    states: np.ndarray
    images: np.ndarray | None = None


def read_episodes(path: Path, *, images: bool = False) -> Iterator[PushTEpisode]:
    """Read the episodes in order.

    Raises:
        DemonstrationError: not that replay buffer, or parts of it are missing.
    """
    import zarr

    try:
        root = zarr.open(str(path), mode="r")
        shapes = {"action": (2,), "state": (5,), "keypoint": (9, 2)} | ({"img": (96, 96, 3)} if images else {})
        arrays = {name: root[f"data/{name}"] for name in shapes}
        ends = np.asarray(root["meta/episode_ends"][:])
    except Exception as error:
        raise DemonstrationError(
            f"{path} is not a Push-T replay buffer (a zarr directory with data/action, data/state, data/keypoint and "
            f"meta/episode_ends): {error}"
        ) from error
    _check(path, arrays, shapes, ends)
    for start, end in zip(np.concatenate([[0], ends[:-1]]), ends, strict=True):
        part = {name: np.asarray(array[int(start) : int(end)]) for name, array in arrays.items()}
        state = part["state"].astype(np.float64)
        keypoints = part["keypoint"].astype(np.float64).reshape(len(state), -1)
        yield PushTEpisode(
            observations=np.concatenate([state[:, :2], keypoints], axis=1),
            actions=part["action"].astype(np.float64),
            states=state,
            images=np.rint(part["img"]).clip(0, 255).astype(np.uint8) if images else None,
        )


def _check(path: Path, arrays: dict[str, Any], shapes: dict[str, tuple[int, ...]], ends: np.ndarray) -> None:
    if ends.ndim != 1 or len(ends) == 0 or ends[0] <= 0 or (np.diff(ends) <= 0).any():
        raise DemonstrationError(f"{path}: meta/episode_ends must be positive and increasing")
    for name, array in arrays.items():
        if tuple(array.shape[1:]) != shapes[name]:
            raise DemonstrationError(f"{path}: data/{name} has shape {array.shape}; a step must be {shapes[name]}")
        if len(array) != ends[-1]:
            raise DemonstrationError(
                f"{path}: data/{name} holds {len(array)} steps, meta/episode_ends promises {ends[-1]}; "
                "the copy is truncated, fetch it again"
            )
        # zarr reads a chunk that is not there as zeros.
        if array.nchunks_initialized < array.nchunks:
            missing = array.nchunks - array.nchunks_initialized
            raise DemonstrationError(
                f"{path}: data/{name} misses {missing} of its {array.nchunks} chunks; the copy is truncated, "
                "fetch it again"
            )
