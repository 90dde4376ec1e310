"""Agents for planar pushing that look at the task's video, and those that show what looking is worth.

All plan once, when the episode begins, and send the five keyframes as one chunk. They need the environment's
``obs_type="image"`` or ``"state_image"``; the state is not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from dto_agents.planar.agents import commands
from dto_agents.planar.expert import plan
from dto_agents.planar.learning import ENV_ID, load_network
from dto_agents.planar.networks import MechanicsNetwork, Views
from dto_agents.zoo import Entry
from dto_envs.planar_push.constants import MAX_FORCE, WORKSPACE_HIGH, WORKSPACE_LOW
from dto_envs.planar_push.tasks import make_task, task_set
from dto_envs.planar_push.video import check_video
from dto_envs.registry import row

LIBRARY = "train"  # the set whose plans the shape-blind agent averages, and another task's plan comes from


def video_of(observations: Any) -> np.ndarray:
    """The videos (B, 5, 50, 50, 3) in a batch of observations.

    Raises:
        ValueError: observations without a video.
    """
    if isinstance(observations, Mapping):
        observations = observations.get("video", np.zeros(0))
    videos = np.asarray(observations)
    check_video(videos)
    return videos


class NetworkAgent:
    """One of the paper's architectures, trained."""

    def __init__(self, network: nn.Module, *, feed_forward: bool = False) -> None:
        """An agent that acts as ``network`` says: from :class:`dto_agents.planar.networks.Views` to targets.

        With ``feed_forward`` its actions are those of the network's inverse-dynamics layer: positions, then forces.
        """
        self._network, self._feed_forward = network.eval(), feed_forward
        self._chunks: dict[bytes, np.ndarray] = {}

    def reset(self, seeds: Sequence[int]) -> None:
        """Forget the last episodes' plans."""
        self._chunks = {}

    def act(self, observations: Any) -> np.ndarray:
        """Chunks (B, 5, 4) float32 in m, or with forces (B, 5, 8) in m and N.

        Raises:
            ValueError: observations without a video, or a video without an object.
        """
        return np.stack([self._chunk(video) for video in video_of(observations)])

    @torch.no_grad()
    def _chunk(self, video: np.ndarray) -> np.ndarray:
        # One at a time: in batches of another size the last bits of a network's output differ.
        key = video.tobytes()
        if key not in self._chunks:
            self._chunks[key] = self._plan(Views.of(video[None]))
        return self._chunks[key]

    def _plan(self, views: Views) -> np.ndarray:
        if not self._feed_forward:
            return _actions(self._network(views)[0].numpy())
        assert isinstance(self._network, MechanicsNetwork)
        solved = self._network.solve(views)
        forces = solved.forces[0].flatten(-2).clamp(-MAX_FORCE, MAX_FORCE).float()
        return np.concatenate([_actions(solved.fingers[0].numpy()), forces.numpy()], axis=-1)


def load_agent(agent: str, entry: Entry, env_id: str, *, feed_forward: bool = False) -> NetworkAgent:
    """The trained agent of an architecture; raises ValueError for another environment."""
    _check_environment(agent, env_id)
    return NetworkAgent(load_network(agent, entry.path), feed_forward=feed_forward)


class BlindAgent:
    """Knows where the object is but not its shape: the training plans' mean offset from the object's centroid."""

    def __init__(self, env_id: str = ENV_ID) -> None:
        """Make the agent; raises ValueError for another environment than planar pushing."""
        _check_environment("planar-blind", env_id)
        self._offset = np.mean([offsets.mean(axis=0) for offsets in _library()], axis=0)

    def reset(self, seeds: Sequence[int]) -> None:
        """Nothing to remember."""

    def act(self, observations: Any) -> np.ndarray:
        """Chunks (B, 5, 4) float32 in m; raises ValueError for observations without a video."""
        centroids = Views.of(video_of(observations)).centroids.numpy()
        return _actions(centroids[:, :, None] + self._offset)


class OtherPlanAgent:
    """Executes the expert's plan for another task, shifted to the object: a training task that the seed chooses."""

    def __init__(self, env_id: str = ENV_ID) -> None:
        """Make the agent; raises ValueError for another environment than planar pushing."""
        _check_environment("planar-other", env_id)
        self._offsets = _library()
        self._chosen: list[int] = []

    def reset(self, seeds: Sequence[int]) -> None:
        """Choose a plan for every episode."""
        self._chosen = [int(np.random.default_rng(seed).integers(len(self._offsets))) for seed in seeds]

    def act(self, observations: Any) -> np.ndarray:
        """Chunks (B, 5, 4) float32 in m; raises ValueError for observations without a video."""
        centroids = Views.of(video_of(observations)).centroids.numpy()
        offsets = np.stack([self._offsets[index] for index in self._chosen])
        return _actions(centroids[:, :, None] + offsets)


def _library() -> list[np.ndarray]:
    """(T, 2, 2) the expert's targets relative to the object, for every training task."""
    tasks = [make_task(LIBRARY, index) for index in range(task_set(LIBRARY).size)]
    return [commands(plan(task)).reshape(-1, 2, 2) - task.poses[:, None, :2] for task in tasks]


def _actions(targets: np.ndarray) -> np.ndarray:
    """(..., T, 4) float32 inside the workspace from targets (..., T, 2, 2)."""
    inside = np.clip(targets, WORKSPACE_LOW, WORKSPACE_HIGH)
    return inside.reshape(*inside.shape[:-2], 4).astype(np.float32)


def _check_environment(name: str, env_id: str) -> None:
    row(env_id)
    if env_id != ENV_ID:
        raise ValueError(f"{name} pushes objects in {ENV_ID}; it knows nothing of {env_id}")
