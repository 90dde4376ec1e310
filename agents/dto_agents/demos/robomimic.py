"""Demonstrations as robomimic stores them in HDF5: one group a demonstration under ``data``, subsets under ``mask``."""

from __future__ import annotations

import json
from collections.abc import Iterator
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


def _number(name: str) -> tuple[int, str]:
    digits = name.removeprefix("demo_")
    return (int(digits) if digits.isdigit() else 2**31, name)
