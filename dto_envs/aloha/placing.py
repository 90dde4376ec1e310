"""Where things stand at the beginning of an episode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from dto_envs.aloha.objects import Cup, Spoon
from dto_envs.aloha.scene import Task

Poses = dict[str, np.ndarray]
Box = tuple[tuple[float, float], tuple[float, float]]

# Gym-aloha's: x and y in m, from 5 cm above the table, whence things fall half of that.
CUBE: Box = ((0.0, 0.2), (0.4, 0.6))
PEG: Box = ((0.1, 0.2), (0.4, 0.6))
SOCKET: Box = ((-0.2, -0.1), (0.4, 0.6))
DROP = 0.05
# Ours: the bowl and the stack within reach of the left arm, the cups of the right one.
BOWL: Box = ((-0.19, -0.11), (0.50, 0.60))
CUP: Box = ((0.10, 0.18), (0.53, 0.61))
LAST_CUP: Box = ((0.10, 0.18), (0.38, 0.46))
STACK: Box = ((-0.17, -0.07), (0.38, 0.48))
SPOON_TURN = 0.35  # rad that the spoon is turned from lying across the arm's reach at most
SPOON_OFF = 0.004  # m that the spoon's centre of mass lies beside the cup's axis at most


def place(task_name: str, task: Task, rng: np.random.Generator) -> Poses:
    """Draw the poses of a task's things.

    Returns:
        Name -> (7,) position in m and quaternion (w, x, y, z).
    """
    return _PLACES[task_name](task, rng)


def _cube(_: Task, rng: np.random.Generator) -> Poses:
    return {"box": _at(_draw(CUBE, rng), DROP)}


def _peg_and_socket(_: Task, rng: np.random.Generator) -> Poses:
    return {"peg": _at(_draw(PEG, rng), DROP), "socket": _at(_draw(SOCKET, rng), DROP)}


def _desk(_: Task, rng: np.random.Generator) -> Poses:
    """Bowl and cups anywhere in their fields, turned in any way."""
    fields = {"bowl": BOWL, "cup": CUP, "last_cup": LAST_CUP}
    return {name: _at(_draw(field, rng), 0.0, rng.uniform(-np.pi, np.pi)) for name, field in fields.items()}


def _stack(task: Task, rng: np.random.Generator) -> Poses:
    """A cup anywhere in its field; across it a spoon, whose handle points to either side of the arm."""
    cup, spoon = task.made["cup"], task.made["spoon"]
    assert isinstance(cup, Cup) and isinstance(spoon, Spoon)
    middle = _draw(STACK, rng)
    turn = rng.choice([-0.5, 0.5]) * np.pi + rng.uniform(-SPOON_TURN, SPOON_TURN)
    off = rng.uniform(-SPOON_OFF, SPOON_OFF, 2)
    return {
        "cup": _at(middle, 0.0, rng.uniform(-np.pi, np.pi)),
        "spoon": _at(middle + off, cup.height + 0.5 * spoon.thickness, turn),
    }


_PLACES: Mapping[str, Callable[[Task, np.random.Generator], Poses]] = MappingProxyType(
    {
        "AlohaTransferCube": _cube,
        "AlohaInsertion": _peg_and_socket,
        "AlohaArrangeDesk": _desk,
        "AlohaMoveStack": _stack,
    }
)


def _draw(box: Box, rng: np.random.Generator) -> np.ndarray:
    (west, east), (south, north) = box
    return np.array([rng.uniform(west, east), rng.uniform(south, north)])


def _at(middle: np.ndarray, height: float, turn: float = 0.0) -> np.ndarray:
    return np.array([*middle, height, np.cos(0.5 * turn), 0.0, 0.0, np.sin(0.5 * turn)])
