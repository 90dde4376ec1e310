"""Bring other people's demonstrations into this project's form: robomimic HDF5 with the state observations' keys."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dto_agents.demos import pusht_zarr, robomimic
from dto_agents.demos.dataset import FORMATS, DemonstrationError, environment_of, task_format
from dto_envs.registry import row

PUSHT = "dto/PushT-v0"


@dataclass(frozen=True)
class Imported:
    """What an import wrote.

    Attributes:
        env_id: the environment that the demonstrations belong to.
        episodes: number of demonstrations.
        state: whether every demonstration holds the whole state observation, as training on states needs.
        images: names of the image observations.
        notes: what a user should know, such as another simulator's version.
    """

    env_id: str
    episodes: int
    state: bool
    images: tuple[str, ...]
    notes: tuple[str, ...] = ()


def import_demonstrations(
    source: Path, out: Callable[[str], Path], *, env_id: str | None = None, images: bool = False
) -> Imported:
    """Check foreign demonstrations from the first to the last and write them as one HDF5 file.

    Args:
        source: a robomimic HDF5 file (low-dim or image), or the directory of Diffusion Policy's Push-T zarr.
        out: from the environment's id, where to write.
        env_id: the environment that they must belong to; None to take what the file says.
        images: also keep image observations.

    Raises:
        DemonstrationError: nothing there, truncated, foreign, of another environment, or ``out`` is there already.
    """
    source = Path(source)
    if env_id is not None:
        task_format(env_id)
    said = environment_of(source)
    if source.is_dir():
        if env_id not in (None, PUSHT):
            raise DemonstrationError(f"{source} is a directory: a Push-T zarr or nothing known, not {env_id}")
        return _import_pusht(source, _free(out(PUSHT)), images)
    return _import_robomimic(source, out, env_id or said, images)


def _free(path: Path) -> Path:
    if path.exists():
        raise DemonstrationError(f"{path} is there already; give another --out, or remove it to import again")
    return path


def _import_pusht(source: Path, path: Path, images: bool) -> Imported:
    def demos() -> Iterator[Callable[[Any], None]]:
        for episode in pusht_zarr.read_episodes(source, images=images):
            yield functools.partial(robomimic.write_demo, recording=_pusht_recording(episode))

    args = {"env_name": FORMATS[PUSHT].env_name, "type": 2, "env_kwargs": {"id": PUSHT}}
    count = robomimic.write_file(path, args, demos())
    note = "the recording ends before its last action; that action's next observation repeats the last one"
    return Imported(PUSHT, count, state=True, images=("image",) if images else (), notes=(note,))


def _pusht_recording(episode: pusht_zarr.PushTEpisode) -> robomimic.Recording:
    from dto_envs.pusht.geometry import coverage

    observations = {"agent_pos": episode.observations[:, :2], "keypoint": episode.observations[:, 2:]}
    if episode.images is not None:
        observations["image"] = episode.images
    scores = np.array([min(coverage(*state[2:]) / 0.95, 1.0) for state in episode.states])
    return robomimic.Recording(
        observations={key: np.concatenate([values, values[-1:]]) for key, values in observations.items()},
        actions=episode.actions,
        rewards=np.append(scores[1:], scores[-1]),
        states=episode.states,
    )


def _import_robomimic(source: Path, out: Callable[[str], Path], env_id: str, images: bool) -> Imported:
    with robomimic.open_file(source) as file:
        args = robomimic.env_args(source, file)
        format_ = task_format(env_id)
        robomimic.check_environment(source, args, format_)
        path = _free(out(env_id))
        names = robomimic.demo_names(source, file)
        if not names:
            raise DemonstrationError(f"{source} holds no demonstrations")
        try:
            holdings = [_check_demo(f"{source}, {name}", file["data"][name], env_id) for name in names]
            state, pictures = all(held.state for held in holdings), _common(held.images for held in holdings)
            kept = pictures if images else ()
            if not state and not kept:
                raise DemonstrationError(
                    f"{source} lacks the state observations {', '.join(format_.keys)}"
                    + (f"; it has the images {', '.join(pictures)}: import them with --images" if pictures else "")
                )
            keys = (format_.keys if state else ()) + kept
            demos = (functools.partial(_copy_demo, file["data"][name], keys) for name in names)
            masks = {mask: _members(source, file, mask, names) for mask in file.get("mask", {})}
            count = robomimic.write_file(path, args, demos, masks or None)
        except (OSError, KeyError, RuntimeError) as error:
            raise robomimic.truncated(source, error) from error
    return Imported(env_id, count, state, kept, _version_note(args))


@dataclass(frozen=True)
class _Holding:
    """What one demonstration holds: the whole state observation, and which images."""

    state: bool
    images: tuple[str, ...]


def _check_demo(where: str, group: Any, env_id: str) -> _Holding:
    """Read all of a demonstration that would be imported, and raise where it does not fit together."""
    format_, size = task_format(env_id), row(env_id).layout.size
    missing = [name for name in ("actions", "obs") if name not in group]
    if missing:
        raise DemonstrationError(f"{where}: there is no {' and no '.join(missing)}")
    actions = group["actions"][()]
    steps = len(actions)
    if steps == 0 or actions.shape != (steps, size) or not np.isfinite(actions).all():
        raise DemonstrationError(f"{where}: actions must be finite numbers (T, {size}), got shape {actions.shape}")
    images = tuple(key for key, values in group["obs"].items() if values.ndim == 4 and values.dtype == np.uint8)
    present = [key for key in format_.keys if key in group["obs"]]
    for key in (*present, *images):
        if len(group["obs"][key]) != steps:
            raise DemonstrationError(f"{where}: obs/{key} has {len(group['obs'][key])} steps, actions {steps}")
    state = len(present) == len(format_.keys)
    if state:
        values = np.concatenate([group["obs"][key][()].reshape(steps, -1) for key in format_.keys], axis=1)
        if values.shape[1] != format_.size or not np.isfinite(values).all():
            raise DemonstrationError(
                f"{where}: the state observation must be {format_.size} finite numbers a step, got {values.shape[1]}"
            )
    return _Holding(state, images)


def _copy_demo(source: Any, keys: tuple[str, ...], group: Any) -> None:
    """Copy the demonstration ``source`` with the observations ``keys`` into ``group``."""
    for name in ("actions", "rewards", "dones", "states"):
        if name in source:
            source.copy(name, group)
    for side in ("obs", "next_obs"):
        if side in source:
            target = group.create_group(side)
            for key in keys:
                if key in source[side]:
                    source.copy(f"{side}/{key}", target, key)
    for name, value in source.attrs.items():
        group.attrs[name] = value
    group.attrs["num_samples"] = len(source["actions"])


def _common(sets: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted(set.intersection(*map(set, sets))))


def _members(source: Path, file: Any, mask: str, names: list[str]) -> list[int]:
    return [names.index(name) for name in robomimic.demo_names(source, file, mask)]


def _version_note(args: dict[str, Any]) -> tuple[str, ...]:
    version = args.get("env_version")
    if args.get("type") != 1 or version is None or str(version).startswith("1.5."):
        return ()
    return (f"recorded with robosuite {version}, not 1.5: the same actions may move the arm a little differently",)
