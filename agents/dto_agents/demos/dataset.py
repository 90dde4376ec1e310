"""Demonstrations in memory, as training and statistics use them, wherever they came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from dto_envs.registry import row

PUSHT_KEYS = ("agent_pos", "keypoint")
STATE_KEYS = ("state",)  # tasks whose observation is no collection of parts


def robosuite_keys(arms: int = 1) -> tuple[str, ...]:
    """Robomimic's observation keys of a robosuite task: the objects, then three for each arm."""
    parts = ("eef_pos", "eef_quat", "gripper_qpos")
    return "object", *(f"robot{arm}_{part}" for arm in range(arms) for part in parts)


class DemonstrationError(ValueError):
    """A demonstration file is missing, truncated or of another kind; the message says which and what to do."""


@dataclass(frozen=True)
class TaskFormat:
    """How one environment's demonstrations are named in files.

    Attributes:
        env_name: the simulator's own name, ``env_args["env_name"]`` of robomimic's files.
        keys: observation keys whose concatenation, in this order, is the environment's state observation.
        size: length of that state observation.
    """

    env_name: str
    keys: tuple[str, ...]
    size: int


def _dashed(name: str) -> str:
    """Meta-World's spelling of a task: ``stick-push`` for StickPush."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


FORMATS: Mapping[str, TaskFormat] = MappingProxyType(
    {
        "dto/Lift-v0": TaskFormat("Lift", robosuite_keys(), 19),
        "dto/Can-v0": TaskFormat("PickPlaceCan", robosuite_keys(), 23),
        "dto/Square-v0": TaskFormat("NutAssemblySquare", robosuite_keys(), 23),
        "dto/ToolHang-v0": TaskFormat("ToolHang", robosuite_keys(), 53),
        "dto/Transport-v0": TaskFormat("TwoArmTransport", robosuite_keys(arms=2), 59),
        "dto/MoveStack-v0": TaskFormat("MoveStack", STATE_KEYS, 30),
        "dto/ArrangeChopsticks-v0": TaskFormat("ArrangeChopsticks", STATE_KEYS, 30),
        "dto/PushT-v0": TaskFormat("PushT", PUSHT_KEYS, 20),
        **{
            f"dto/RCCar{name}-v0": TaskFormat(f"RCCar{name}", STATE_KEYS, size)
            for name, size in (("Parking", 38), ("Reverse", 38), ("DriftTurn", 38), ("Race", 40))
        },
        **{
            f"dto/{name}-v0": TaskFormat(f"{_dashed(name)}-v3", STATE_KEYS, 39)
            for name in ("PickPlaceWall", "ShelfPlace", "Disassemble", "StickPush", "StickPull")
        },
        **{
            f"dto/Aloha{name}-v0": TaskFormat(f"Aloha{name}", STATE_KEYS, size)
            for name, size in (("TransferCube", 35), ("Insertion", 42), ("ArrangeDesk", 49), ("MoveStack", 28))
        },
    }
)


@dataclass(frozen=True)
class Episode:
    """One demonstrated episode of ``T`` steps: ``actions[t]`` was commanded on seeing ``observations[t]``.

    Attributes:
        observations: (T, D) float64 state observations, in the environment's units.
        actions: (T, D_a) float64 actions, in the environment's action units.
    """

    observations: np.ndarray
    actions: np.ndarray

    def __len__(self) -> int:
        """Number of steps ``T``."""
        return len(self.actions)


@dataclass(frozen=True)
class Demonstrations:
    """The episodes of one environment, in the order of their file.

    Attributes:
        env_id: the environment.
        episodes: the episodes.
    """

    env_id: str
    episodes: tuple[Episode, ...]

    @property
    def steps(self) -> int:
        """Number of steps of all episodes together."""
        return sum(len(episode) for episode in self.episodes)


def task_format(env_id: str) -> TaskFormat:
    """The file format of ``env_id``; raises where the environment has none, or does not exist."""
    row(env_id)
    if env_id not in FORMATS:
        raise DemonstrationError(f"{env_id} has no demonstration format; those with one: {', '.join(FORMATS)}")
    return FORMATS[env_id]


def environment_of(path: str | Path) -> str:
    """The environment that the demonstrations at ``path`` say they belong to; a directory is a Push-T zarr.

    Raises:
        DemonstrationError: nothing there, truncated, another format, or an environment without a format here.
    """
    from dto_agents.demos import robomimic

    path = Path(path)
    if not path.exists():
        raise DemonstrationError(f"there is nothing at {path}")
    if path.is_dir():
        return "dto/PushT-v0"
    with robomimic.open_file(path) as file:
        name = robomimic.env_args(path, file)["env_name"]
    for env_id, format_ in FORMATS.items():
        if format_.env_name == name:
            return env_id
    known = ", ".join(format_.env_name for format_ in FORMATS.values())
    raise DemonstrationError(f"{path} holds demonstrations of {name}; known are {known}")


def load_demonstrations(path: str | Path, env_id: str, *, mask: str | None = None) -> Demonstrations:
    """Read demonstrations from a robomimic HDF5 file or from Diffusion Policy's Push-T zarr directory.

    Args:
        path: file or directory.
        env_id: the environment that the demonstrations must belong to.
        mask: name of a subset stored in an HDF5 file, such as ``train`` or ``valid``; None for every episode.

    Raises:
        DemonstrationError: nothing there, truncated, another format, another environment, or NaN in it.
    """
    from dto_agents.demos import pusht_zarr, robomimic

    path = Path(path)
    format_ = task_format(env_id)
    if not path.exists():
        raise DemonstrationError(f"no demonstrations at {path}; make some with: dto-demos collect --env {env_id}")
    if path.is_dir():
        if env_id != "dto/PushT-v0":
            raise DemonstrationError(f"{path} is a directory; {env_id} needs a robomimic HDF5 file")
        if mask is not None:
            raise DemonstrationError(f"{path} is a zarr directory and stores no subset {mask!r}; import it first")
        episodes = tuple(Episode(raw.observations, raw.actions) for raw in pusht_zarr.read_episodes(path))
    else:
        episodes = tuple(robomimic.read_episodes(path, format_, mask))
    demonstrations = Demonstrations(env_id, episodes)
    _check(demonstrations, f"{path}, subset {mask}" if mask else str(path), format_)
    return demonstrations


def _check(demonstrations: Demonstrations, source: str, format_: TaskFormat) -> None:
    if not demonstrations.episodes:
        raise DemonstrationError(f"{source} holds no episodes")
    layout = row(demonstrations.env_id).layout
    for index, episode in enumerate(demonstrations.episodes):
        where = f"{source}, episode {index}"
        steps = len(episode.actions)
        if steps == 0:
            raise DemonstrationError(f"{where}: it has no steps")
        if episode.observations.shape != (steps, format_.size):
            raise DemonstrationError(
                f"{where}: observations {episode.observations.shape} beside {steps} actions; "
                f"{demonstrations.env_id} has {format_.size} numbers a step ({' + '.join(format_.keys)})"
            )
        if episode.actions.shape != (steps, layout.size):
            raise DemonstrationError(
                f"{where}: actions of shape {episode.actions.shape}; expected ({steps}, {layout.size})"
            )
        if not (np.isfinite(episode.observations).all() and np.isfinite(episode.actions).all()):
            raise DemonstrationError(f"{where}: a number is NaN or infinite")
