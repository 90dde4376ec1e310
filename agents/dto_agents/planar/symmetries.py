"""More examples from those there are: exact symmetries of planar pushing that turn a solved task into another one.

Gravity does not know left from right, so that a task and its plan may be mirrored. Newton's equations do not know the
direction of time, so that what happens in the air may run backwards with the same forces; friction on the ground does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from dto_agents.planar.dataset import Example, Parameters
from dto_envs.planar_push.shapes import Polygon
from dto_envs.planar_push.tasks import Task

MIRROR = np.array([-1.0, 1.0])


def with_symmetries(examples: Iterable[Example]) -> tuple[Example, ...]:
    """The examples, those that run backwards, and the mirror images of all, in that order."""
    examples = tuple(examples)
    both = (*examples, *(backwards(example) for example in examples if example.task.airborne))
    return (*both, *(mirrored(example) for example in both))


def mirrored(example: Example) -> Example:
    """The mirror image of an example about x = 0; left and right finger change their numbers."""
    task, parameters = example.task, example.parameters
    poses = task.poses * np.array([-1.0, 1.0, -1.0])
    polygon = Polygon(task.polygon.vertices[::-1] * MIRROR, task.polygon.mass)
    # Wrenches (-fx, fy, -torque) of forces (-fx, fy).
    jacobian = parameters.jacobian * np.array([-1.0, 1.0, -1.0])[:, None] * np.tile(MIRROR, 2)
    image = Parameters(
        poses=poses,
        jacobian=jacobian,
        facets=parameters.facets[:, :, ::-1] * MIRROR,
        cones=parameters.cones[:, :, ::-1] * MIRROR,
        external_point=parameters.external_point * MIRROR,
        external_cone=parameters.external_cone[:, ::-1] * MIRROR,
    )
    made = Example(
        _changed(task, polygon, poses),
        image,
        *(values * MIRROR for values in (example.fingers, example.forces, example.external_force)),
    )
    return _left_first(made)


def backwards(example: Example) -> Example:
    """An airborne example from its end to its beginning.

    Raises:
        ValueError: a task on the ground, whose friction does not run backwards.
    """
    task, parameters = example.task, example.parameters
    if not task.airborne:
        raise ValueError("only what happens in the air can run backwards: friction on the ground does not")
    reverse = Parameters(**{name: values[::-1] for name, values in vars(parameters).items()})
    made = Example(
        _changed(task, task.polygon, task.poses[::-1]),
        reverse,
        *(values[::-1] for values in (example.fingers, example.forces, example.external_force)),
    )
    return _left_first(made)


def _changed(task: Task, polygon: Polygon, poses: np.ndarray) -> Task:
    return replace(task, polygon=polygon, poses=poses)


def _left_first(example: Example) -> Example:
    """The example with its fingers numbered as the expert does: finger 0 begins further left."""
    if example.fingers[0, 0, 0] <= example.fingers[0, 1, 0]:
        return example
    parameters = example.parameters
    return replace(
        example,
        parameters=replace(
            parameters,
            jacobian=parameters.jacobian[:, :, [2, 3, 0, 1]],
            facets=parameters.facets[:, ::-1],
            cones=parameters.cones[:, ::-1],
        ),
        fingers=example.fingers[:, ::-1],
        forces=example.forces[:, ::-1],
    )
