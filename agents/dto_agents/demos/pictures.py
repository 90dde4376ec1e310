"""Camera images of demonstrations: drawn from the recorded states of the simulator, and read again for training."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dto_agents.demos import pusht_zarr, robomimic
from dto_agents.demos.dataset import DemonstrationError, environment_of, task_format
from dto_envs.registry import row

PUSHT = "dto/PushT-v0"
SUFFIX = "_image"  # of a camera's key in robomimic's files


def draw_demonstrations(
    source: Path, out: Path, *, episodes: int | None = None, report: Callable[[int, int], None] = lambda done, all: None
) -> tuple[str, ...]:
    """Copy demonstrations with what every camera of their task sees of each recorded state.

    Args:
        source: robomimic HDF5 with states, as ``dto-demos collect`` writes it.
        out: the file to write.
        episodes: how many demonstrations, from the first; None for all.
        report: called with finished demonstrations and their number.

    Returns:
        The cameras.

    Raises:
        DemonstrationError: no such file, no states in it, a task without cameras, or ``out`` is there already.
    """
    import gymnasium

    import dto_envs  # noqa: F401  registers the ids

    env_id = environment_of(source)
    if out.exists():
        raise DemonstrationError(f"{out} is there already; give another --out, or remove it")
    if source.is_dir() or "image" not in row(env_id).obs_types or row(env_id).layout.size % 7:
        raise DemonstrationError(f"{env_id} has no cameras whose pictures could be drawn from recorded states")
    if episodes is not None and episodes < 1:
        raise DemonstrationError(f"--episodes must be at least 1, but is {episodes}")
    env = gymnasium.make(env_id, obs_type="image")
    try:
        with robomimic.open_file(source) as file:
            names = robomimic.demo_names(source, file)[:episodes]
            args = robomimic.env_args(source, file)
            keys = task_format(env_id).keys
            demos = [functools.partial(_draw_demo, env, source, file["data"][name], keys) for name in names]
            masks = {
                mask: [names.index(name) for name in robomimic.demo_names(source, file, mask) if name in names]
                for mask in file.get("mask", {})
            }
            robomimic.write_file(out, args, _counted(demos, report), masks or None)
        return tuple(env.observation_space.spaces)  # type: ignore[attr-defined]
    finally:
        env.close()


def load_pictures(path: Path, env_id: str, cameras: tuple[str, ...]) -> list[np.ndarray]:
    """The pictures of every demonstration, in their order, each (T, cameras, H, W, 3) uint8.

    Those of Push-T's recordings are the recorded ones, of the one camera ``image``.

    Raises:
        DemonstrationError: some have none; names the command that makes them.
    """
    if path.is_dir():
        return [episode.images[:, None] for episode in pusht_zarr.read_episodes(path, images=True)]  # type: ignore[index]
    pictures = []
    with robomimic.open_file(path) as file:
        for name in robomimic.demo_names(path, file):
            group = file["data"][name]["obs"]
            missing = [camera for camera in cameras if _key(camera) not in group]
            if missing:
                command = (
                    "import the recording again with: dto-demos import --images"
                    if env_id == PUSHT
                    else f"draw them with: dto-demos draw {path} --out {path.with_name(path.stem + '-image.hdf5')}"
                )
                raise DemonstrationError(f"{path}: data/{name} has no pictures of {', '.join(missing)}; {command}")
            pictures.append(np.stack([group[_key(camera)][()] for camera in cameras], axis=1))
    return pictures


def _key(camera: str) -> str:
    """Under which a camera's pictures stand in files; the camera called ``image`` is its own key."""
    return camera if camera == "image" else camera + SUFFIX


def _draw_demo(env: Any, path: Path, source: Any, keys: tuple[str, ...], group: Any) -> None:
    """Copy a demonstration and add what the cameras see."""
    if "states" not in source:
        raise DemonstrationError(f"{path}: {source.name} has no simulator states, so that nothing can be drawn")
    for name in ("actions", "rewards", "dones", "states"):
        if name in source:
            source.copy(name, group)
    target = group.create_group("obs")
    for key in keys:
        source.copy(f"obs/{key}", target, key)
    seen: dict[str, list[np.ndarray]] = {}
    # The seed of the episode fixes the sizes of objects that are drawn anew in each.
    seed = int(source.attrs["seed"]) if "seed" in source.attrs else None
    for step, state in enumerate(source["states"][()]):
        observation, _ = env.reset(seed=None if step else seed, options={"state": state})
        for camera, picture in observation.items():
            seen.setdefault(camera, []).append(picture)
    for camera, frames in seen.items():
        target.create_dataset(camera + SUFFIX, data=np.array(frames), compression="gzip", compression_opts=4)
    for name, value in source.attrs.items():
        group.attrs[name] = value
    group.attrs["num_samples"] = len(source["actions"])


def _counted(demos: list[Callable[[Any], None]], report: Callable[[int, int], None]):
    for done, demo in enumerate(demos):
        yield demo
        report(done + 1, len(demos))
