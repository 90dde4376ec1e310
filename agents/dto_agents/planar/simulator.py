"""A differentiable simulator of planar pushing: equations 8 and 9 of the DLM paper, in torch, batched.

The object is a rigid body integrated by semi-implicit Euler. Fingers follow the splines of their targets as in the
environment, and press with the spring and the damper of their controllers. A contact is switched on by a sigmoid of the
distance with sharpness kappa, so that the pushing force is a softplus of the depth; facets blend near corners by the
same sharpness. Friction is a spring too, which holds a finger where it touched and gives way at the edge of the
friction cone. Ground forces act on all corners, with a friction that is smooth in the sliding speed.

Vectors of the plane are complex numbers here: a rotation is a product, a dot product the real part of
``conj(a) b`` and a cross product its imaginary part.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from dto_agents.planar import simulator_kernel
from dto_envs.planar_push import constants
from dto_envs.planar_push.tasks import Task, natural_spline

Backend = Literal["auto", "compiled", "torch"]

FAR = 1e3  # m; the distance of facets that only fill up a batch


@dataclass(frozen=True)
class SimulatorOptions:
    """What a simulation may vary.

    Attributes:
        kappa: sharpness of contacts in 1/m; the transition is about 1 / kappa wide. Contact at a distance and blunt
            corners vanish as it grows, and gradients become rougher.
        dt: seconds of one step; keyframes must be a whole number of steps apart.
        finger_friction: Coulomb's coefficient between fingers and object.
        ground_stiffness: of every corner on the ground, N/m.
        ground_damping: of every corner on the ground, N s/m.
        sliding_speed: m/s at which the ground's friction is fully developed, at least; it is raised where an explicit
            step would overshoot.
        max_force: largest force of a finger's motors, N.
    """

    kappa: float = 1.0 / 3e-4
    dt: float = 0.001
    finger_friction: float = constants.SIMULATED_FINGER_FRICTION
    ground_stiffness: float = 2e4
    ground_damping: float = 60.0
    sliding_speed: float = 0.01
    max_force: float = constants.MAX_FORCE


@dataclass(frozen=True)
class Scene:
    """A batch of B objects where their tasks begin; padded to the same number F of facets. Complex vectors in m.

    Attributes:
        normals: (B, F) complex, outward unit normals in the body frame.
        offsets: (B, F) distances of the facets from the centroid.
        corners: (B, F) complex, in the body frame.
        present: (B, F) 1 for corners that are there, 0 for those that fill up.
        position: (B,) complex.
        angle: (B,).
        velocity: (B,) complex.
        spin: (B,), rad/s.
        mass: (B,).
        inertia: (B,).
        gravity: (B,).
        ground_friction: (B,).
        keyframes: number T of keyframes.
        interval: seconds between keyframes.
    """

    normals: Tensor
    offsets: Tensor
    corners: Tensor
    present: Tensor
    position: Tensor
    angle: Tensor
    velocity: Tensor
    spin: Tensor
    mass: Tensor
    inertia: Tensor
    gravity: Tensor
    ground_friction: Tensor
    keyframes: int
    interval: float

    @staticmethod
    def of(tasks: Sequence[Task]) -> Scene:
        """The scene of ``tasks``.

        Raises:
            ValueError: no tasks, or tasks with different keyframes.
        """
        if not tasks:
            raise ValueError("a scene needs at least one task")
        times = {(len(task.poses), task.dt) for task in tasks}
        if len(times) > 1:
            raise ValueError(f"the tasks of a batch must have the same keyframes, but they differ: {sorted(times)}")
        facets = max(len(task.polygon.vertices) for task in tasks)

        def pad(rows: list[np.ndarray], value: float) -> np.ndarray:
            return np.stack([np.concatenate([row, np.full(facets - len(row), value)]) for row in rows])

        def plane(vectors: np.ndarray) -> np.ndarray:
            return vectors[..., 0] + 1j * vectors[..., 1]

        polygons = [task.polygon for task in tasks]
        start = np.stack([task.poses[0] for task in tasks])
        speed = np.stack([task.velocity for task in tasks])
        arrays = {
            "normals": pad([plane(polygon.normals) for polygon in polygons], 0.0),
            "offsets": pad([polygon.offsets for polygon in polygons], FAR),
            "corners": pad([plane(polygon.vertices) for polygon in polygons], 0.0),
            "present": pad([np.ones(len(polygon.vertices)) for polygon in polygons], 0.0),
            "position": plane(start),
            "angle": start[:, 2],
            "velocity": plane(speed),
            "spin": speed[:, 2],
            "mass": np.array([polygon.mass for polygon in polygons]),
            "inertia": np.array([polygon.inertia for polygon in polygons]),
            "gravity": np.array([task.gravity for task in tasks]),
            "ground_friction": np.array([task.ground_friction for task in tasks]),
        }
        (keyframes, interval) = times.pop()
        return Scene(
            **{name: torch.from_numpy(value) for name, value in arrays.items()}, keyframes=keyframes, interval=interval
        )

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors of the scene."""
        return tuple(value for value in vars(self).values() if isinstance(value, Tensor))

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bodies, facets and corners as the compiled steps take them."""
        plane = torch.view_as_real
        bodies = torch.cat(
            [
                *(plane(self.position), self.angle[:, None], plane(self.velocity), self.spin[:, None]),
                torch.stack([self.mass, self.inertia, self.gravity, self.ground_friction], dim=1),
            ],
            dim=1,
        )
        facets = torch.cat([plane(self.normals), self.offsets[..., None]], dim=-1)
        corners = torch.cat([plane(self.corners), self.present[..., None]], dim=-1)
        return bodies.numpy(), facets.numpy(), corners.numpy()


@dataclass(frozen=True)
class _State:
    """The object, and where in its frame the fingers are (B, 2)."""

    position: Tensor
    angle: Tensor
    velocity: Tensor
    spin: Tensor
    touch: Tensor


def simulate(
    scene: Scene,
    fingers: Tensor,
    forces: Tensor | None = None,
    options: SimulatorOptions | None = None,
    *,
    backend: Backend = "auto",
) -> Tensor:
    """Execute finger trajectories; differentiable by targets and forces, on the torch backend by the scene too.

    Args:
        scene: the objects.
        fingers: (B, T, 2, 2) float64, targets at the keyframes in m, world frame [task, keyframe, finger, x or y].
        forces: (B, T, 2, 2) float64, fed forward, on the object, in N; None for position control alone, with stiffer
            fingers, as in the environment.
        options: sharpness and step.
        backend: "compiled" (CPU; compiled steps and their adjoint), "torch" (any device, automatic differentiation), or
            "auto": compiled where it can be.

    Returns:
        (B, T, 3) poses at the keyframes, m and rad.

    Raises:
        ValueError: another shape or type, or a step that does not divide the interval of the keyframes.
    """
    options = options or SimulatorOptions()
    _check(scene, fingers, "fingers")
    steps = round(scene.interval / options.dt)
    if steps < 1 or abs(steps * options.dt - scene.interval) > 1e-9:
        raise ValueError(f"keyframes are {scene.interval} s apart, which is no whole number of steps of {options.dt} s")
    stiffness = constants.POSITION_STIFFNESS if forces is None else constants.FEED_FORWARD_STIFFNESS
    targets = torch.view_as_complex(fingers.contiguous())
    matrices = _reference(scene.keyframes, scene.interval, steps)
    places, speeds = (matrix.to(targets.device, targets.dtype) @ targets for matrix in matrices[:2])
    if forces is not None:
        _check(scene, forces, "forces")
        # A force that is fed forward is a target further inside.
        places = places + matrices[2].to(places) @ torch.view_as_complex(forces.contiguous()) / stiffness
    if backend == "auto":
        plain = targets.device.type == "cpu" and not any(tensor.requires_grad for tensor in scene.tensors)
        backend = "compiled" if plain else "torch"
    if backend == "compiled":
        reals = (torch.view_as_real(part) for part in (targets[:, 0], places, speeds))
        return _Compiled.apply(*reals, scene, options, stiffness, steps)  # type: ignore[return-value]
    step = _Step(scene, options, stiffness)
    state = step.start(targets[:, 0])
    poses = [state]
    for index, (place, speed) in enumerate(zip(places.unbind(1), speeds.unbind(1), strict=True)):
        state = step(state, place, speed)
        if (index + 1) % steps == 0:
            poses.append(state)
    return torch.stack([torch.stack([s.position.real, s.position.imag, s.angle], dim=-1) for s in poses], dim=1)


class _Compiled(torch.autograd.Function):
    """Poses at the keyframes, by the compiled steps and their adjoint."""

    @staticmethod
    def forward(
        ctx: Any,
        targets: Tensor,
        places: Tensor,
        speeds: Tensor,
        scene: Scene,
        options: SimulatorOptions,
        stiffness: float,
        steps: int,
    ) -> Tensor:
        numbers = (
            *(options.kappa, options.dt, stiffness, _damping(stiffness), options.finger_friction),
            *(options.ground_stiffness, options.ground_damping, options.sliding_speed, options.max_force),
        )
        moved = (np.ascontiguousarray(tensor.detach().numpy()) for tensor in (targets, places, speeds))
        ctx.problem = (*scene.arrays, *moved, numbers)
        states = simulator_kernel.run(*ctx.problem)  # type: ignore[call-arg]
        ctx.states, ctx.steps = states, steps
        return torch.from_numpy(np.ascontiguousarray(states[:, ::steps, :3]))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple:  # type: ignore[override]
        by_poses = np.zeros((*ctx.states.shape[:2], 3))
        by_poses[:, :: ctx.steps] = cotangents[0].detach().numpy()
        found = simulator_kernel.run_back(*ctx.problem, ctx.states, by_poses)  # type: ignore[call-arg]
        return *(torch.from_numpy(array) for array in found), None, None, None, None


def _damping(stiffness: float) -> float:
    """Of critically damped fingers, N s/m."""
    return 2.0 * math.sqrt(stiffness * constants.FINGER_MASS)


class _Step:
    """One step of the physics; everything that does not change in it is kept ready."""

    def __init__(self, scene: Scene, options: SimulatorOptions, stiffness: float) -> None:
        self.scene, self.options, self.stiffness = scene, options, stiffness
        self.damping = _damping(stiffness)
        self.normals = scene.normals[:, None]
        self.offsets = scene.offsets[:, None]
        self.fall = scene.gravity * -1j
        self.mass = scene.mass
        # Above this speed per newton, friction on a corner cannot turn its velocity around within a step.
        self.least_speed = (1.5 * options.dt * 4.0 * scene.ground_friction / scene.mass)[:, None]

    def start(self, targets: Tensor) -> _State:
        """The first state: fingers (B, 2) inside the object are put on its surface."""
        scene = self.scene
        reference = (targets - scene.position[:, None]) * torch.polar(torch.ones_like(scene.angle), -scene.angle)[
            :, None
        ]
        normal, offset = self._surface(reference)
        depth = self._softplus(offset - (normal.conj() * reference).real)
        return _State(scene.position, scene.angle, scene.velocity, scene.spin, reference + normal * depth)

    def __call__(self, state: _State, place: Tensor, speed: Tensor) -> _State:
        """The next state, for fingers that shall be at ``place`` (B, 2) moving with ``speed`` (B, 2)."""
        dt, scene = self.options.dt, self.scene
        turn = torch.polar(torch.ones_like(state.angle), state.angle)
        force, torque, touch = self._fingers(state, turn.conj(), place, speed)
        force = force * turn
        on_ground, about_ground = self._ground(state, turn)
        velocity = state.velocity + dt * ((force + on_ground) / self.mass + self.fall)
        spin = state.spin + dt * (torque + about_ground) / scene.inertia
        return _State(state.position + dt * velocity, state.angle + dt * spin, velocity, spin, touch)

    def _fingers(self, state: _State, back: Tensor, place: Tensor, speed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Force (B,) in the body frame and torque (B,) of both fingers, and where they touch from then on (B, 2)."""
        reference = (place - state.position[:, None]) * back[:, None]
        normal, offset = self._surface(state.touch)
        along = normal.conj()
        height = (along * reference).real - offset
        stretch = (along * (reference - state.touch)).imag
        material = (state.velocity * back)[:, None] + 1j * state.spin[:, None] * state.touch
        relative = along * (speed * back[:, None] - material)
        depth = self._softplus(-height)
        active = torch.sigmoid(-self.options.kappa * height)
        push = torch.relu(self.stiffness * depth - self.damping * active * relative.real)
        limit = self.options.finger_friction * push
        pull = self.stiffness * stretch + self.damping * relative.imag
        friction = torch.minimum(torch.maximum(pull, -limit), limit)
        strongest = self.options.max_force
        scale = strongest / torch.complex(push, pull).abs().clamp_min(strongest)
        held = limit / self.stiffness
        stretch = torch.minimum(torch.maximum(stretch, -held), held)
        force = scale * normal * torch.complex(-push, friction)
        torque = (state.touch.conj() * force).imag
        return force.sum(1), torque.sum(1), reference + normal * torch.complex(depth, -stretch)

    def _surface(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Normal and offset (B, 2) of the facets nearest to ``points`` (B, 2) of the body, blended at corners."""
        distance = (self.normals.conj() * points[..., None]).real - self.offsets
        weight = torch.softmax(self.options.kappa * distance, dim=-1)
        normal = (weight * self.normals).sum(-1)
        return normal / normal.abs(), (weight * self.offsets).sum(-1)

    def _ground(self, state: _State, turn: Tensor) -> tuple[Tensor, Tensor]:
        """Force (B,) and torque (B,) of the ground, world frame."""
        scene, options = self.scene, self.options
        arms = scene.corners * turn[:, None]
        height = state.position.imag[:, None] + arms.imag
        moving = state.velocity[:, None] + 1j * state.spin[:, None] * arms
        active = torch.sigmoid(-options.kappa * height)
        push = options.ground_stiffness * self._softplus(-height) - options.ground_damping * active * moving.imag
        push = scene.present * torch.relu(push)
        width = options.sliding_speed + self.least_speed * push
        friction = -scene.ground_friction[:, None] * push * torch.tanh(moving.real / width)
        force = torch.complex(friction, push)
        return force.sum(1), (arms.conj() * force).imag.sum(1)

    def _softplus(self, depth: Tensor) -> Tensor:
        return torch.nn.functional.softplus(depth, beta=self.options.kappa)


@functools.lru_cache(maxsize=8)
def _reference(keyframes: int, interval: float, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """From targets to places and speeds, and from forces to forces, at the start of every step: (N, T) each.

    As in the environment fingers follow, up to each keyframe, the natural spline through the targets so far.
    """
    places, speeds, forces = [], [], []
    share = np.arange(steps) / steps
    for index in range(1, keyframes):
        known = np.eye(index + 1, keyframes)
        spline = natural_spline(known, interval)
        times = interval * (index - 1 + share)
        places.append(spline(times))
        speeds.append(spline(times, 1))
        forces.append(known[-2] + share[:, None] * (known[-1] - known[-2]))
    return tuple(torch.from_numpy(np.concatenate(rows)) for rows in (places, speeds, forces))  # type: ignore[return-value]


def _check(scene: Scene, values: Tensor, name: str) -> None:
    expected = (len(scene.mass), scene.keyframes, constants.FINGERS, 2)
    if tuple(values.shape) != expected:
        raise ValueError(
            f"{name} must have the shape {expected} [task, keyframe, finger, x or y], not {tuple(values.shape)}"
        )
    if values.dtype != torch.float64:
        raise ValueError(f"{name} must be float64, not {values.dtype}: contacts are stiff")


def trajectory_loss(poses: Tensor, desired: Tensor) -> Tensor:
    """The paper's loss (B,) in cm^2 of poses (B, T, 3) against desired ones, as in the environment."""

    def scaled(pose: Tensor) -> Tensor:
        return 100.0 * torch.cat([pose[..., :2], constants.ANGLE_LENGTH * torch.sin(pose[..., 2:])], dim=-1)

    return ((scaled(poses) - scaled(desired)) ** 2).mean((-1, -2))
