"""Demonstrations as robomimic stores them in HDF5: one group a demonstration under ``data``, subsets under ``mask``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dto_agents.demos.dataset import DemonstrationError, Episode, TaskFormat


def read_episodes(path: Path, format_: TaskFormat, mask: str | None = None) -> Iterator[Episode]:
    """Read the state observations and actions of every demonstration, in numerical order.

    Args:
        path: an HDF5 file.
        format_: what the file must hold.
        mask: name of a subset under ``mask``; None for all.

    Raises:
        DemonstrationError: truncated, of another kind, or of another environment.
    """
    with open_file(path) as file:
        check_environment(path, env_args(path, file), format_)
        for name in demo_names(path, file, mask):
            group = file["data"][name]
            missing = [key for key in format_.keys if f"obs/{key}" not in group]
            if "actions" not in group or missing:
                raise DemonstrationError(
                    f"{path}: data/{name} has no {', '.join(missing) or 'actions'}; needed are actions and the "
                    f"observations {', '.join(format_.keys)}"
                )
            try:
                parts = [np.asarray(group[f"obs/{key}"][()], dtype=np.float64) for key in format_.keys]
                actions = np.asarray(group["actions"][()], dtype=np.float64)
            except OSError as error:
                raise truncated(path, error) from error
            lengths = {len(part) for part in (*parts, actions)}
            if len(lengths) != 1:
                raise DemonstrationError(f"{path}: the arrays of data/{name} differ in length: {sorted(lengths)}")
            steps = len(actions)
            yield Episode(np.concatenate([part.reshape(steps, -1) for part in parts], axis=1), actions)


def open_file(path: Path) -> Any:
    """Open an HDF5 file for reading; raises DemonstrationError where it is none or has no ``data`` group."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        if path.is_file() and path.read_bytes()[:8] == b"\x89HDF\r\n\x1a\n":
            raise truncated(path, error) from error
        raise DemonstrationError(f"{path} is not an HDF5 file") from error
    if not isinstance(file.get("data"), h5py.Group):
        file.close()
        raise DemonstrationError(f"{path} is an HDF5 file, but not robomimic's: it has no group 'data'")
    return file


def truncated(path: Path, error: Exception) -> DemonstrationError:
    """The error for an HDF5 file whose beginning is fine and whose end is not."""
    return DemonstrationError(f"{path} is truncated or damaged; copy or collect it again ({error})")


def env_args(path: Path, file: Any) -> dict[str, Any]:
    """The parsed ``data.attrs["env_args"]``; raises DemonstrationError where there are none."""
    try:
        args = json.loads(file["data"].attrs["env_args"])
        args["env_name"]
    except (KeyError, TypeError, ValueError) as error:
        raise DemonstrationError(f"{path}: data has no attribute env_args that names the environment") from error
    return args


def check_environment(path: Path, args: dict[str, Any], format_: TaskFormat) -> None:
    """Raise unless ``args`` names the environment of ``format_``."""
    if args["env_name"] != format_.env_name:
        raise DemonstrationError(f"{path} holds demonstrations of {args['env_name']}, not of {format_.env_name}")


def demo_names(path: Path, file: Any, mask: str | None = None) -> list[str]:
    """Names of the demonstrations in numerical order; raises where ``mask`` is not in the file."""
    names = sorted((name for name in file["data"] if name.startswith("demo_")), key=_number)
    if mask is None:
        return names
    known = sorted(file.get("mask", {}))
    if mask not in known:
        raise DemonstrationError(f"{path} has no subset {mask!r}; it has: {', '.join(known) or 'none'}")
    wanted = {name.decode() if isinstance(name, bytes) else str(name) for name in file["mask"][mask][()]}
    absent = sorted(wanted - set(names))
    if absent:
        raise DemonstrationError(f"{path}: subset {mask!r} names {absent[0]}, which the file does not hold")
    return [name for name in names if name in wanted]


def subset_names(path: Path) -> list[str]:
    """Names of the subsets under ``mask``, sorted; a directory has none."""
    if path.is_dir():
        return []
    with open_file(path) as file:
        return sorted(file.get("mask", {}))


def operators_of(path: Path) -> list[str]:
    """Names of the people whose demonstrations a mixed set tells apart, as robomimic names them; none elsewhere."""
    return [name for name in subset_names(path) if re.fullmatch(r"\w+_operator_\d+", name)]


def _number(name: str) -> tuple[int, str]:
    digits = name.removeprefix("demo_")
    return (int(digits) if digits.isdigit() else 2**31, name)


@dataclass(frozen=True)
class Recording:
    """One demonstration of ``T`` steps with everything that a robomimic file keeps of it.

    Attributes:
        observations: key -> (T + 1, ...) observations, the one after the last action included.
        actions: (T, D_a) actions in the environment's units.
        rewards: (T,) reward that followed each action.
        states: (T, S) simulator state before each action.
        attributes: further attributes of the demonstration, such as ``seed`` and ``model_file``.
    """

    observations: Mapping[str, np.ndarray]
    actions: np.ndarray
    rewards: np.ndarray
    states: np.ndarray
    attributes: Mapping[str, Any] = field(default_factory=dict)


def write_demo(group: Any, recording: Recording) -> None:
    """Write one demonstration into the HDF5 group ``data/demo_k``."""
    steps = len(recording.actions)
    dones = np.zeros(steps, dtype=np.int64)
    dones[-1] = 1
    group.create_dataset("actions", data=recording.actions)
    group.create_dataset("rewards", data=recording.rewards)
    group.create_dataset("dones", data=dones)
    group.create_dataset("states", data=recording.states)
    for key, values in recording.observations.items():
        # Images shrink several times; numbers hardly.
        options = {"compression": "gzip", "compression_opts": 4} if values.dtype == np.uint8 else {}
        group.create_dataset(f"obs/{key}", data=values[:-1], **options)
        group.create_dataset(f"next_obs/{key}", data=values[1:], **options)
    group.attrs["num_samples"] = steps
    for name, value in sorted(recording.attributes.items()):
        group.attrs[name] = value


def write_file(
    path: Path,
    args: Mapping[str, Any],
    demos: Iterable[Callable[[Any], None]],
    masks: Mapping[str, Sequence[int]] | None = None,
) -> int:
    """Write a whole file beside ``path`` and move it there once it is complete.

    Args:
        path: the file.
        args: ``env_args``: the environment's name, type and keyword arguments.
        demos: for each demonstration in order, what fills its group.
        masks: name -> indices of the demonstrations of each subset; None puts every tenth into ``valid`` and the others
            into ``train``.

    Returns:
        The number of demonstrations.
    """
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with h5py.File(partial, "w") as file:
            data = file.create_group("data")
            total = count = 0
            for fill in demos:
                group: Any = data.create_group(f"demo_{count}")
                fill(group)
                total += int(group.attrs["num_samples"])
                count += 1
            data.attrs["env_args"] = json.dumps(args, sort_keys=True)
            data.attrs["total"] = total
            for name, members in (masks or tenths(count)).items():
                file.create_dataset(f"mask/{name}", data=np.array([f"demo_{k}" for k in members], dtype="S"))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def tenths(count: int) -> dict[str, list[int]]:
    """The usual subsets of ``count`` demonstrations: every tenth for validation, the others for training."""
    return {
        "train": [k for k in range(count) if k % 10 != 9],
        "valid": [k for k in range(count) if k % 10 == 9],
    }
