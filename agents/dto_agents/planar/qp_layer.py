"""Inverse dynamics as a differentiable quadratic program: equation 6 of the DLM paper, batched.

From predicted mechanical parameters to finger positions and forces, in three convex steps:

1. Forces. On every keyframe each finger pushes along the two rays of its cone, at both ends of the middle part of its
   facet, and the ground along its two rays. Torques are then linear in the rays' lengths, without the paper's
   linearisation. Minimise squared forces plus the heavily weighted square of the slack in Newton's and Euler's
   equations, over rays that are at least as long as makes the smallest force.
2. Positions. How the force is shared between a facet's ends says where the finger is. A finger that sticks does not
   wander: step 1 is repeated with fingers drawn ever harder to the average of their places over time. Then squared
   finger accelerations are weighed against leaving that place.
3. Forces again, at these positions, so that what is fed forward fits where the fingers are.

Each is a strictly convex box QP, solved exactly by :mod:`dto_envs.filters.boxqp_torch`, whose gradient is that of the
implicit function theorem. The paper's norms are squared here: its released code leaves them unsquared with a slack
a hundred times cheaper than force, and its forces come out zero.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dto_agents.planar.dataset import Example
from dto_agents.planar.mechanics import LENGTH
from dto_envs.filters import boxqp_torch
from dto_envs.planar_push import constants
from dto_envs.planar_push.tasks import natural_spline


@dataclass(frozen=True)
class LayerOptions:
    """Weights and limits; forces are measured in the object's weight, accelerations in gravity.

    Attributes:
        force_weight: of squared finger forces (Q_lambda).
        acceleration_weight: of squared finger accelerations (Q_p).
        slack_weight: of squared slack in the dynamics (q).
        ground_weight: of squared ground forces.
        ray_weight: of squared ray lengths; it chooses among rays that give the same force.
        stickiness: weights, pass by pass, of a finger's squared distance (in force times share) from its average place.
        share_weight: of squared deviations of a finger's share from its average over time.
        least_force: shortest ray of a finger in N, divided over the rays: it keeps contact, and shifts the friction
            cone inwards, so that small forces have a margin.
        longest_ray: longest ray of a finger or the ground, in the object's weight; with it a predicted ground cone that
            is nearly zero, as where nothing touches, cannot carry the object.
        span: shares of a facet's length between which contacts lie.
    """

    force_weight: float = 1.0
    acceleration_weight: float = 1e-3
    slack_weight: float = 1e6
    ground_weight: float = 0.01
    ray_weight: float = 1e-3
    stickiness: tuple[float, ...] = (0.0, 1.0, 10.0, 100.0, 1e3, 1e4)
    share_weight: float = 1.0
    least_force: float = 0.1
    longest_ray: float = 6.0
    span: tuple[float, float] = constants.CONTACT_SHARES


@dataclass(frozen=True)
class Mechanics:
    """A batch of B tasks' mechanical parameters over T keyframes, world frame, m and rad; float64.

    Attributes:
        poses: (B, T, 3).
        facets: (B, T, 2, 2, 2) vertices of each finger's facet [finger, vertex, x or y].
        cones: (B, T, 2, 2, 2) edges of each finger's friction cone [finger, ray, x or y].
        external_point: (B, T, 2).
        external_cone: (B, T, 2, 2) edges of the ground's friction cone; zero where nothing touches.
        mass: (B,), kg.
        inertia: (B,), kg m^2.
    """

    poses: Tensor
    facets: Tensor
    cones: Tensor
    external_point: Tensor
    external_cone: Tensor
    mass: Tensor
    inertia: Tensor

    @staticmethod
    def of(examples: Sequence[Example]) -> Mechanics:
        """The true parameters of solved tasks."""
        names = ("poses", "facets", "cones", "external_point", "external_cone")
        values = {name: np.stack([getattr(example.parameters, name) for example in examples]) for name in names}
        polygons = [example.task.polygon for example in examples]
        values |= {name: np.array([getattr(polygon, name) for polygon in polygons]) for name in ("mass", "inertia")}
        return Mechanics(**{name: torch.from_numpy(value) for name, value in values.items()})


@dataclass(frozen=True)
class Actions:
    """What the layer chose.

    Attributes:
        fingers: (B, T, 2, 2) positions in m, world frame.
        forces: (B, T, 2, 2) forces on the object in N, world frame.
        external_force: (B, T, 2) the ground's force in N.
        slack: (B, T, 3) what is missing in the dynamics: N, N and N m.
        shares: (B, T, 2) where on their facets the fingers are.
    """

    fingers: Tensor
    forces: Tensor
    external_force: Tensor
    slack: Tensor
    shares: Tensor


def inverse_dynamics(
    mechanics: Mechanics,
    options: LayerOptions | None = None,
    *,
    dt: float = constants.DT,
    gravity: float = constants.GRAVITY,
) -> Actions:
    """Finger positions and forces that make the object follow ``mechanics.poses``; differentiable by all of it.

    Args:
        mechanics: the parameters.
        options: weights and limits.
        dt: seconds between keyframes.
        gravity: m/s^2.

    Raises:
        ValueError: shapes that do not fit together, or numbers that are not finite.
    """
    options = options or LayerOptions()
    _check(mechanics)
    poses, facets = mechanics.poses, mechanics.facets
    curvature = _second_derivative(poses.shape[1], dt).to(poses)
    weight = (mechanics.mass * gravity)[:, None, None]
    required = _required(mechanics, curvature, gravity) / weight
    span = torch.as_tensor(options.span, dtype=poses.dtype, device=poses.device)
    # (B, T, finger, end, x or y)
    ends = facets[..., :1, :] + span[:, None] * (facets[..., 1:, :] - facets[..., :1, :])
    share = torch.full_like(poses[:, 0, :2], 0.5)
    for stickiness in options.stickiness:
        lengths = _ray_lengths(mechanics, required, ends, options, gravity, share, stickiness)
        pushed = lengths[..., :8].unflatten(-1, (2, 2, 2)).sum(-1)
        share = pushed[..., 1].sum(1) / pushed.sum(-1).sum(1)
    shares = _positions(ends, share, curvature / gravity, options)
    fingers = ends[..., 0, :] + shares[..., None] * (ends[..., 1, :] - ends[..., 0, :])
    lengths = _ray_lengths(mechanics, required, fingers[..., None, :], options, gravity)
    forces = (lengths[..., :4].unflatten(-1, (2, 2))[..., None] * mechanics.cones).sum(-2)
    ground = (lengths[..., 4:, None] * mechanics.external_cone).sum(-2)
    maps = _maps(mechanics, fingers[..., None, :])
    missing = (required - (maps @ lengths[..., None])[..., 0]) * weight
    scale = torch.tensor([1.0, 1.0, LENGTH], dtype=poses.dtype, device=poses.device)
    first, last = options.span
    return Actions(
        fingers, forces * weight[..., None], ground * weight, missing * scale, first + (last - first) * shares
    )


def _check(mechanics: Mechanics) -> None:
    batch, keyframes = mechanics.poses.shape[:2]
    expected = {
        "poses": (batch, keyframes, 3),
        "facets": (batch, keyframes, 2, 2, 2),
        "cones": (batch, keyframes, 2, 2, 2),
        "external_point": (batch, keyframes, 2),
        "external_cone": (batch, keyframes, 2, 2),
        "mass": (batch,),
        "inertia": (batch,),
    }
    for name, shape in expected.items():
        value = getattr(mechanics, name)
        if tuple(value.shape) != shape:
            raise ValueError(f"{name} must have the shape {shape}, not {tuple(value.shape)}")
        if value.dtype != torch.float64:
            raise ValueError(f"{name} must be float64, not {value.dtype}: forces come from second differences")
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} has numbers that are not finite")


@functools.lru_cache(maxsize=8)
def _second_derivative(keyframes: int, dt: float) -> Tensor:
    """(T, T): from values at the keyframes to second derivatives of their natural spline there."""
    spline = natural_spline(np.eye(keyframes), dt)
    return torch.from_numpy(spline(dt * np.arange(keyframes), 2))


def _required(mechanics: Mechanics, curvature: Tensor, gravity: float) -> Tensor:
    """(B, T, 3) wrench that the contacts must give, the torque divided by ``LENGTH``."""
    acceleration = curvature @ mechanics.poses
    inertia = torch.stack([mechanics.mass, mechanics.mass, mechanics.inertia / LENGTH], dim=-1)
    fall = torch.zeros_like(acceleration)
    fall[..., 1] = gravity
    return inertia[:, None] * (acceleration + fall)


def _maps(mechanics: Mechanics, points: Tensor) -> Tensor:
    """(B, T, 3, K) wrenches of the fingers' rays at ``points`` (B, T, 2, E, 2), by finger, end, ray; ground's last."""
    directions = mechanics.cones[..., None, :, :].expand(*points.shape[:-1], 2, 2).flatten(2, 4)
    places = points[..., None, :].expand(*points.shape[:-1], 2, 2).flatten(2, 4)
    directions = torch.cat([directions, mechanics.external_cone], dim=2)
    places = torch.cat([places, mechanics.external_point[:, :, None].expand(-1, -1, 2, -1)], dim=2)
    arms = places - mechanics.poses[:, :, None, :2]
    torque = arms[..., 0] * directions[..., 1] - arms[..., 1] * directions[..., 0]
    return torch.stack([directions[..., 0], directions[..., 1], torque / LENGTH], dim=2)


def _ray_lengths(
    mechanics: Mechanics,
    required: Tensor,
    points: Tensor,
    options: LayerOptions,
    gravity: float,
    share: Tensor | None = None,
    stickiness: float = 0.0,
) -> Tensor:
    """(B, T, K) lengths of all rays in the object's weight, K = 4 E + 2, with contacts drawn to ``share`` (B, 2)."""
    maps = _maps(mechanics, points)
    batch, keyframes, _, rays = maps.shape
    ends = points.shape[3]
    sums = maps.new_zeros(2, rays, rays)
    sums[0, : 2 * ends, : 2 * ends] = sums[1, 2 * ends : 4 * ends, 2 * ends : 4 * ends] = 1.0
    directions = maps[:, :, :2]
    inner = directions.mT @ directions
    form = options.force_weight * inner * sums.sum(0) + options.slack_weight * maps.mT @ maps
    form = form + options.ray_weight * torch.eye(rays, dtype=maps.dtype, device=maps.device)
    ground = maps.new_zeros(rays, rays)
    ground[-2:, -2:] = options.ground_weight
    form = form + ground * inner
    if share is not None and stickiness:
        form = form + stickiness * _away(share)[:, None]
    linear = options.slack_weight * (maps.mT @ required[..., None])[..., 0]
    lower = maps.new_zeros(batch, 1, rays)
    lower[..., :-2] = options.least_force / (2 * ends) / (mechanics.mass * gravity)[:, None, None]
    upper = torch.full_like(lower, options.longest_ray)
    limits = (limit.repeat_interleave(keyframes, 0) for limit in (lower, upper))
    return _box_qp(form.flatten(0, 1), linear.flatten(0, 1), *limits).unflatten(0, (batch, keyframes))


def _away(share: Tensor) -> Tensor:
    """(B, 10, 10) quadratic form of the ray lengths that is zero where each finger's contact is at ``share`` (B, 2)."""
    sides = torch.stack([-share, 1.0 - share], dim=-1)  # (B, finger, end)
    moment = sides[..., None].expand(-1, -1, -1, 2).flatten(2)  # (B, finger, 4)
    forms = moment[..., :, None] * moment[..., None, :]
    whole = share.new_zeros(len(share), 10, 10)
    whole[:, :4, :4], whole[:, 4:8, 4:8] = forms[:, 0], forms[:, 1]
    return whole


def _positions(ends: Tensor, share: Tensor, curvature: Tensor, options: LayerOptions) -> Tensor:
    """(B, T, 2) shares between ``ends`` near ``share`` (B, 2), for which the fingers' accelerations are small."""
    start = ends[..., 0, :].permute(0, 2, 3, 1)  # (B, finger, x or y, T)
    along = (ends[..., 1, :] - ends[..., 0, :]).permute(0, 2, 3, 1)
    change = curvature * along[..., None, :]  # (B, finger, x or y, T, T)
    offset = curvature @ start[..., None]
    weight = options.acceleration_weight
    eye = torch.eye(change.shape[-1], dtype=ends.dtype, device=ends.device)
    form = weight * (change.mT @ change).sum(2) + options.share_weight * eye
    linear = options.share_weight * share[..., None] - weight * (change.mT @ offset).sum(2)[..., 0]
    keyframes = eye.shape[0]
    lower = ends.new_zeros(1, 1, keyframes)
    solved = _box_qp(form.flatten(0, 1), linear.flatten(0, 1), lower, torch.ones_like(lower))
    return solved.unflatten(0, (ends.shape[0], 2)).mT


def _box_qp(form: Tensor, linear: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """The minimum (N, n) of x'form x / 2 - linear'x with lower <= x <= upper, (N or 1, 1, n)."""
    # One step of a trajectory that starts at zero, so that the limits on its change are limits on x.
    zero, dims = torch.zeros_like(linear), range(linear.shape[1])
    options = {"alpha": 0.0, "trajectory": dims, "previous": zero, "start": zero[:, None]}
    return boxqp_torch.solve(form, linear[:, None], lower, upper, **options)[:, 0]


def layer_loss(actions: Actions, fingers: Tensor, forces: Tensor, *, slack_weight: float, force_scale: float) -> Tensor:
    """(B,) equation 7 against the expert's fingers (B, T, 2, 2) and forces, in comparable units.

    Args:
        actions: the layer's.
        fingers: (B, T, 2, 2) in m.
        forces: (B, T, 2, 2) in N.
        slack_weight: weight of the slack, in N and N m.
        force_scale: the force in N that counts as much as 1 cm.
    """
    slack = actions.slack.abs().mean((1, 2))
    position = ((100.0 * (actions.fingers - fingers)) ** 2).mean((1, 2, 3))
    force = (((actions.forces - forces) / force_scale) ** 2).mean((1, 2, 3))
    return slack_weight * slack + position + force
