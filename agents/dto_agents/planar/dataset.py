"""Solved planar tasks with their mechanical parameters, the labels that networks learn from, as HDF5.

The parameters are those of the DLM paper's appendix A: the object's trajectory, the contact Jacobian, facets and
friction cones of both fingers, the external contact and its cone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from dto_agents.demos.dataset import Demonstrations, Episode
from dto_agents.planar.expert import FingerPlan, plan
from dto_agents.planar.mechanics import LENGTH, ground_rays, required_wrench
from dto_envs.planar_push.constants import POSITION_STIFFNESS
from dto_envs.planar_push.shapes import Polygon, rotation, to_world
from dto_envs.planar_push.tasks import SETS, Task, make_task, random_task, task_set

ENV_ID = "dto/PlanarPush-v0"
FORMAT = "dto-envs planar push 1"
PAPER_SETS = ("train", "fine-tune", "test", "family")
EXTRA_SET = "extra"
EXTRA_CODE = 1000  # the frozen sets' generators are seeded with small codes


class DatasetError(ValueError):
    """A file that is no planar data set, or a set that is not in it; the message says which."""


@dataclass(frozen=True)
class Parameters:
    """Mechanical parameters over T keyframes, world frame, m, rad and N.

    Attributes:
        poses: (T, 3) the object's poses ``r``.
        jacobian: (T, 3, 4) ``J``, the wrench about the centroid of the two fingers' forces (f1x, f1y, f2x, f2y).
        facets: (T, 2, 2, 2) the vertices of each finger's facet [keyframe, finger, vertex, x or y].
        cones: (T, 2, 2, 2) unit vectors along the edges of each finger's friction cone [keyframe, finger, ray, x or y].
        external_point: (T, 2) where the ground's forces act together; below the centroid where nothing touches.
        external_cone: (T, 2, 2) unit vectors along the edges of the ground's friction cone, the same one twice where
            the contact slides, zero where nothing touches.
    """

    poses: np.ndarray
    jacobian: np.ndarray
    facets: np.ndarray
    cones: np.ndarray
    external_point: np.ndarray
    external_cone: np.ndarray


@dataclass(frozen=True)
class Example:
    """A solved task.

    Attributes:
        task: the task.
        parameters: its mechanical parameters under the expert's plan.
        fingers: (T, 2, 2) the expert's finger positions, m, world frame.
        forces: (T, 2, 2) the expert's forces on the object, N, world frame.
        external_force: (T, 2) the ground's force in the expert's plan, N.
    """

    task: Task
    parameters: Parameters
    fingers: np.ndarray
    forces: np.ndarray
    external_force: np.ndarray


def mechanical_parameters(task: Task, made: FingerPlan) -> Parameters:
    """The parameters of ``task`` under a plan."""
    arms = made.fingers - task.poses[:, None, :2]
    jacobian = np.zeros((len(task.poses), 3, 4))
    jacobian[:, 0, ::2] = jacobian[:, 1, 1::2] = 1.0
    jacobian[:, 2, ::2], jacobian[:, 2, 1::2] = -arms[..., 1], arms[..., 0]
    corners = to_world(task.poses, task.polygon.vertices)
    keyframes = np.arange(len(task.poses))[:, None]
    ends = np.stack([made.facets, (made.facets + 1) % corners.shape[1]], axis=-1)
    axes = np.stack([-task.polygon.normals, task.polygon.tangents], axis=1)[made.facets]
    axes = np.einsum("tij,tfkj->tfki", rotation(task.poses[:, 2]), axes)
    sides = task.finger_friction * np.array([-1.0, 1.0])
    cones = axes[:, :, :1] + sides[:, None] * axes[:, :, 1:]
    point, cone = _external(task, made)
    return Parameters(task.poses, jacobian, corners[keyframes[..., None], ends], _unit(cones), point, cone)


def solve_example(task: Task) -> Example:
    """Solve ``task`` by enumeration; raises :class:`dto_agents.planar.expert.UnsolvableTaskError` as that does."""
    made = plan(task)
    return Example(task, mechanical_parameters(task, made), made.fingers, made.forces, made.ground_forces.sum(axis=1))


def solve_set(name: str) -> Iterator[Example]:
    """The examples of a frozen set, in order."""
    return (solve_example(make_task(name, index)) for index in range(task_set(name).size))


def solve_extra(count: int) -> Iterator[Example]:
    """``count`` further examples like those of the training set; example i never depends on the count."""
    facets = SETS["train"].facets
    return (solve_example(random_task(np.random.default_rng([EXTRA_CODE, index]), facets)) for index in range(count))


def write(
    path: Path,
    sets: Sequence[tuple[str, Iterable[Example]]],
    report: Callable[[str, int], None] = lambda name, done: None,
) -> None:
    """Write examples to an HDF5 file, a group for each set and in it one for each example.

    Args:
        path: the file; it appears when it is complete.
        sets: names and examples.
        report: called with a set's name and the number of its examples written so far.

    Raises:
        DatasetError: the file is there already.
    """
    import h5py

    if path.exists():
        raise DatasetError(f"{path} is there already; give another --out, or remove it to collect again")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with h5py.File(partial, "w") as file:
            file.attrs["format"], file.attrs["env_id"] = FORMAT, ENV_ID
            for name, examples in sets:
                group = file.create_group(name)
                for index, example in enumerate(examples):
                    _write_example(group.create_group(f"{index:05d}"), example)
                    report(name, index + 1)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read(path: Path, name: str) -> tuple[Example, ...]:
    """Read the examples of one set.

    Raises:
        DatasetError: no such file, another format, or no such set in it.
    """
    import h5py

    if not path.is_file():
        raise DatasetError(f"no planar tasks at {path}; make some with: dto-demos collect --env {ENV_ID}")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise DatasetError(f"{path} holds no planar tasks of the format {FORMAT!r}")
            if name not in file:
                raise DatasetError(f"{path} has no set {name!r}; it has {', '.join(file)}")
            group: Any = file[name]
            return tuple(_read_example(group[key]) for key in sorted(group))
    except OSError as error:
        raise DatasetError(f"{path} is not a readable HDF5 file: {error}") from error


def is_planar(path: Path) -> bool:
    """Whether a file says that it holds planar tasks."""
    import h5py

    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        return file.attrs.get("env_id") == ENV_ID


def sets_of(path: Path) -> tuple[str, ...]:
    """The names of the sets in a planar data set.

    Raises:
        DatasetError: no such file, or another format.
    """
    import h5py

    if not is_planar(path):
        raise DatasetError(f"{path} holds no planar tasks; make some with: dto-demos collect --env {ENV_ID}")
    with h5py.File(path, "r") as file:
        return tuple(file)


def describe(examples: Sequence[Example]) -> tuple[str, ...]:
    """Of a set: the number of tasks, facets, those in the air, finger forces and residuals in N, as text."""
    facets = [len(example.task.polygon.vertices) for example in examples]
    forces = np.linalg.norm([example.forces for example in examples], axis=-1)
    return (
        str(len(examples)),
        f"{min(facets)} to {max(facets)}",
        str(sum(example.task.airborne for example in examples)),
        f"{np.median(forces):.1f} / {forces.max():.1f}",
        f"{max(residual(example) for example in examples):.0e}",
    )


def residual(example: Example) -> float:
    """What is missing at most in Newton's and Euler's equations under the expert's forces, N; torques by 10 cm."""
    task, parameters = example.task, example.parameters
    wrench = np.einsum("tij,tj->ti", parameters.jacobian, example.forces.reshape(-1, 4))
    arms, force = parameters.external_point - task.poses[:, :2], example.external_force
    wrench += np.column_stack([force, arms[:, 0] * force[:, 1] - arms[:, 1] * force[:, 0]])
    wrench[:, 2] /= LENGTH
    return float(np.abs(wrench - required_wrench(task, task.accelerations)).max())


def demonstrations(examples: Iterable[Example]) -> Demonstrations:
    """The expert's plans as demonstrations: actions (T, 4) are targets in m, observations (T, 3) desired poses."""
    episodes = []
    for example in examples:
        targets = example.fingers + example.forces / POSITION_STIFFNESS
        episodes.append(Episode(example.task.poses, targets.reshape(len(targets), -1)))
    return Demonstrations(ENV_ID, tuple(episodes))


def _external(task: Task, made: FingerPlan) -> tuple[np.ndarray, np.ndarray]:
    """Where ground forces act together (T, 2), and the edges of their cone (T, 2, 2)."""
    points = np.column_stack([task.poses[:, 0], np.zeros(len(task.poses))])
    cones = np.zeros((len(task.poses), 2, 2))
    _, rays = ground_rays(task)
    for t, corners in enumerate(made.ground_points):
        touching = np.isfinite(corners[:, 0])
        if not touching.any():
            continue
        loads = made.ground_forces[t, :, 1] * touching
        weights = loads if loads.sum() > 0 else touching.astype(float)
        points[t] = (weights / weights.sum()) @ np.nan_to_num(corners)
        used = rays[t][np.abs(rays[t]).any(axis=1)]
        along = used[:, 0] / used[:, 1]
        cones[t] = _unit(np.column_stack([[along.min(), along.max()], [1.0, 1.0]]))
    return points, cones


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _write_example(group: Any, example: Example) -> None:
    task = example.task
    group.attrs["airborne"], group.attrs["mass"], group.attrs["inertia"] = (
        task.airborne,
        task.polygon.mass,
        task.polygon.inertia,
    )
    for name in ("dt", "gravity", "ground_friction", "finger_friction", "digest"):
        group.attrs[name] = getattr(task, name)
    group["vertices"] = task.polygon.vertices
    for field in fields(Parameters):
        group[f"parameters/{field.name}"] = getattr(example.parameters, field.name)
    for name in ("fingers", "forces", "external_force"):
        group[name] = getattr(example, name)


def _read_example(group: Any) -> Example:
    numbers = {name: float(group.attrs[name]) for name in ("dt", "gravity", "ground_friction", "finger_friction")}
    parameters = Parameters(**{field.name: group[f"parameters/{field.name}"][()] for field in fields(Parameters)})
    polygon = Polygon(group["vertices"][()], float(group.attrs["mass"]))
    task = Task(polygon, parameters.poses, bool(group.attrs["airborne"]), **numbers)
    if task.digest != group.attrs["digest"]:
        raise DatasetError(f"{group.name} does not match its digest; collect the file again")
    return Example(task, parameters, *(group[name][()] for name in ("fingers", "forces", "external_force")))
