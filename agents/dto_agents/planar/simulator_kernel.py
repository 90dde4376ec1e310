"""The compiled simulator: the steps of :mod:`dto_agents.planar.simulator` in scalars, and their adjoint.

A state is ten numbers: x, y, angle of the object, their velocities, and where the two fingers touch in its frame. The
adjoint goes back through the recorded states and computes each step anew.
"""

from __future__ import annotations

import math

import numba
import numpy as np

STATE = 10
NEGLIGIBLE = 40.0  # exp(-40) is nothing beside one

_jit = numba.njit(cache=True, nogil=True)


@_jit
def _soft(kappa, height):  # pragma: no cover - compiled
    """Softplus depth, and the sigmoid that is its slope, of a point ``height`` above a surface."""
    x = -kappa * height
    if x < -NEGLIGIBLE:
        return 0.0, 0.0
    if x > NEGLIGIBLE:
        return -height, 1.0
    e = math.exp(-abs(x))
    return (max(x, 0.0) + math.log1p(e)) / kappa, (1.0 if x > 0.0 else e) / (1.0 + e)


@_jit
def _surface(normals, offsets, kappa, x, y, weights):  # pragma: no cover - compiled
    """Blended normal, its length before it was scaled, and offset of the facets near (x, y); fills ``weights``."""
    count = offsets.shape[0]
    top = -math.inf
    for j in range(count):
        weights[j] = kappa * (normals[j, 0] * x + normals[j, 1] * y - offsets[j])
        top = max(top, weights[j])
    total = 0.0
    for j in range(count):
        weights[j] = math.exp(weights[j] - top) if weights[j] - top > -NEGLIGIBLE else 0.0
        total += weights[j]
    a = b = offset = 0.0
    for j in range(count):
        weights[j] /= total
        a += weights[j] * normals[j, 0]
        b += weights[j] * normals[j, 1]
        offset += weights[j] * offsets[j]
    length = math.sqrt(a * a + b * b)
    return a / length, b / length, length, offset


@_jit
def _surface_back(normals, offsets, kappa, weights, n, length, by_n, by_offset):  # pragma: no cover - compiled
    """Derivatives by the point of :func:`_surface`, from those by its normal and offset."""
    along = n[0] * by_n[0] + n[1] * by_n[1]
    by_a, by_b = (by_n[0] - n[0] * along) / length, (by_n[1] - n[1] * along) / length
    mean = 0.0
    for j in range(offsets.shape[0]):
        mean += weights[j] * (by_a * normals[j, 0] + by_b * normals[j, 1] + by_offset * offsets[j])
    x = y = 0.0
    for j in range(offsets.shape[0]):
        if weights[j] > 0.0:
            by_weight = by_a * normals[j, 0] + by_b * normals[j, 1] + by_offset * offsets[j]
            slope = kappa * weights[j] * (by_weight - mean)
            x += slope * normals[j, 0]
            y += slope * normals[j, 1]
    return x, y


@_jit
def _start(body, targets, facets, kappa, state, weights):  # pragma: no cover - compiled
    """Write the first state: the object as given, fingers inside it on its surface."""
    normals, offsets = facets[:, :2], facets[:, 2]
    state[:6] = body[:6]
    c, s = math.cos(body[2]), math.sin(body[2])
    for f in range(2):
        dx, dy = targets[f, 0] - body[0], targets[f, 1] - body[1]
        x, y = c * dx + s * dy, -s * dx + c * dy
        a, b, _, offset = _surface(normals, offsets, kappa, x, y, weights)
        depth, _ = _soft(kappa, a * x + b * y - offset)
        state[6 + 2 * f], state[7 + 2 * f] = x + depth * a, y + depth * b


@_jit
def _start_back(body, targets, facets, kappa, by_state, by_targets, weights):  # pragma: no cover - compiled
    """Add derivatives by ``targets`` of :func:`_start`."""
    normals, offsets = facets[:, :2], facets[:, 2]
    c, s = math.cos(body[2]), math.sin(body[2])
    for f in range(2):
        dx, dy = targets[f, 0] - body[0], targets[f, 1] - body[1]
        x, y = c * dx + s * dy, -s * dx + c * dy
        a, b, length, offset = _surface(normals, offsets, kappa, x, y, weights)
        depth, active = _soft(kappa, a * x + b * y - offset)
        qx, qy = by_state[6 + 2 * f], by_state[7 + 2 * f]
        height = -active * (a * qx + b * qy)
        by_n = (depth * qx + height * x, depth * qy + height * y)
        sx, sy = _surface_back(normals, offsets, kappa, weights, (a, b), length, by_n, -height)
        rx, ry = qx + height * a + sx, qy + height * b + sy
        by_targets[f, 0] += c * rx - s * ry
        by_targets[f, 1] += s * rx + c * ry


@_jit
def _touch(state, place, speed, f, facets, numbers, weights):  # pragma: no cover - compiled
    """What the contact of finger ``f`` consists of, in the body frame; see :func:`_step` for the names."""
    kappa, _, stiffness, damping, friction, _, _, _, strongest = numbers
    c, s = math.cos(state[2]), math.sin(state[2])
    qx, qy = state[6 + 2 * f], state[7 + 2 * f]
    dx, dy = place[f, 0] - state[0], place[f, 1] - state[1]
    r = (c * dx + s * dy, -s * dx + c * dy)
    u = (c * state[3] + s * state[4], -s * state[3] + c * state[4])
    w = (c * speed[f, 0] + s * speed[f, 1], -s * speed[f, 0] + c * speed[f, 1])
    a, b, length, offset = _surface(facets[:, :2], facets[:, 2], kappa, qx, qy, weights)
    relative = (w[0] - u[0] + state[5] * qy, w[1] - u[1] - state[5] * qx)
    height = a * r[0] + b * r[1] - offset
    stretch = a * (r[1] - qy) - b * (r[0] - qx)
    depth, active = _soft(kappa, height)
    approach = a * relative[0] + b * relative[1]
    push = max(stiffness * depth - damping * active * approach, 0.0)
    pull = stiffness * stretch + damping * (a * relative[1] - b * relative[0])
    limit = friction * push
    held = min(max(pull, -limit), limit)
    kept = min(max(stretch, -limit / stiffness), limit / stiffness)
    size = math.sqrt(push * push + pull * pull)
    scale = strongest / size if size > strongest else 1.0
    return r, u, w, (a, b), length, relative, stretch, depth, active, approach, push, pull, held, kept, size, scale


@_jit
def _step(state, place, speed, facets, corners, body, numbers, after, weights):  # pragma: no cover - compiled
    """Write the state ``after`` a step."""
    kappa, dt, _, _, _, ground_stiffness, ground_damping, sliding_speed, _ = numbers
    mass, inertia, gravity, ground_friction = body[6], body[7], body[8], body[9]
    c, s = math.cos(state[2]), math.sin(state[2])
    bx = by = torque = 0.0
    for f in range(2):
        r, _, _, n, _, _, _, depth, _, _, push, _, held, kept, _, scale = _touch(
            state, place, speed, f, facets, numbers, weights
        )
        gx, gy = scale * (-push * n[0] - held * n[1]), scale * (-push * n[1] + held * n[0])
        bx += gx
        by += gy
        torque += state[6 + 2 * f] * gy - state[7 + 2 * f] * gx
        after[6 + 2 * f] = r[0] + depth * n[0] + kept * n[1]
        after[7 + 2 * f] = r[1] + depth * n[1] - kept * n[0]
    fx, fy = c * bx - s * by, s * bx + c * by
    least_speed = 6.0 * dt * ground_friction / mass
    for j in range(corners.shape[0]):
        ax, ay = c * corners[j, 0] - s * corners[j, 1], s * corners[j, 0] + c * corners[j, 1]
        depth, active = _soft(kappa, state[1] + ay)
        push = ground_stiffness * depth - ground_damping * active * (state[4] + state[5] * ax)
        if corners[j, 2] > 0.0 and push > 0.0:
            width = sliding_speed + least_speed * push
            along = -ground_friction * push * math.tanh((state[3] - state[5] * ay) / width)
            fx += along
            fy += push
            torque += ax * push - ay * along
    after[3] = state[3] + dt * fx / mass
    after[4] = state[4] + dt * (fy / mass - gravity)
    after[5] = state[5] + dt * torque / inertia
    for k in range(3):
        after[k] = state[k] + dt * after[3 + k]


@_jit
def _ground_back(state, corners, body, numbers, by_force, by_torque, by):  # pragma: no cover - compiled
    """Add derivatives of the ground's forces to ``by``, those by the state before the step."""
    kappa, dt, _, _, _, ground_stiffness, ground_damping, sliding_speed, _ = numbers
    ground_friction = body[9]
    c, s = math.cos(state[2]), math.sin(state[2])
    least_speed = 6.0 * dt * ground_friction / body[6]
    for j in range(corners.shape[0]):
        ax, ay = c * corners[j, 0] - s * corners[j, 1], s * corners[j, 0] + c * corners[j, 1]
        depth, active = _soft(kappa, state[1] + ay)
        rise = state[4] + state[5] * ax
        push = ground_stiffness * depth - ground_damping * active * rise
        if corners[j, 2] == 0.0 or push <= 0.0:
            continue
        width = sliding_speed + least_speed * push
        ratio = (state[3] - state[5] * ay) / width
        sliding = math.tanh(ratio)
        along = -ground_friction * push * sliding
        by_along, by_push = by_force[0] - ay * by_torque, by_force[1] + ax * by_torque
        by_ax, by_ay = by_torque * push, -by_torque * along
        by_push -= ground_friction * sliding * by_along
        by_ratio = -ground_friction * push * by_along * (1.0 - sliding * sliding)
        by_push -= least_speed * by_ratio * ratio / width
        by_slip = by_ratio / width
        by_rise = -ground_damping * active * by_push
        by_height = -active * ground_stiffness * by_push
        by_height += kappa * active * (1.0 - active) * ground_damping * rise * by_push
        by_ax += state[5] * by_rise
        by_ay += by_height - state[5] * by_slip
        by[1] += by_height
        by[2] += -ay * by_ax + ax * by_ay
        by[3] += by_slip
        by[4] += by_rise
        by[5] += ax * by_rise - ay * by_slip


@_jit
def _step_back(
    state, place, speed, facets, corners, body, numbers, by_after, by, by_place, by_speed, weights
):  # pragma: no cover - compiled
    """From derivatives ``by_after`` a step to those ``by`` the state before it and by the fingers' place and speed."""
    kappa, dt, stiffness, damping, friction, _, _, _, strongest = numbers
    c, s = math.cos(state[2]), math.sin(state[2])
    for k in range(3):
        by[k] = by_after[k]
        by[3 + k] = by_after[3 + k] + dt * by_after[k]
    by_force = (dt / body[6] * by[3], dt / body[6] * by[4])
    by_torque = dt / body[7] * by[5]
    _ground_back(state, corners, body, numbers, by_force, by_torque, by)
    for f in range(2):
        r, u, w, n, length, relative, stretch, depth, active, approach, push, pull, held, kept, size, scale = _touch(
            state, place, speed, f, facets, numbers, weights
        )
        qx, qy = state[6 + 2 * f], state[7 + 2 * f]
        gx, gy = -push * n[0] - held * n[1], -push * n[1] + held * n[0]
        world = (scale * (c * gx - s * gy), scale * (s * gx + c * gy))
        by[2] += -world[1] * by_force[0] + world[0] * by_force[1]
        hx = c * by_force[0] + s * by_force[1] - qy * by_torque
        hy = -s * by_force[0] + c * by_force[1] + qx * by_torque
        by_qx, by_qy = scale * gy * by_torque, -scale * gx * by_torque
        by_push = by_pull = by_limit = by_stretch = 0.0
        if size > strongest:
            by_size = -scale / size * (hx * gx + hy * gy)
            by_push, by_pull = by_size * push / size, by_size * pull / size
        hx, hy = scale * hx, scale * hy
        ox, oy = by_after[6 + 2 * f], by_after[7 + 2 * f]
        by_push -= n[0] * hx + n[1] * hy
        by_held = n[0] * hy - n[1] * hx
        by_depth = n[0] * ox + n[1] * oy
        by_kept = n[1] * ox - n[0] * oy
        by_a = -push * hx + held * hy + depth * ox - kept * oy
        by_b = -push * hy - held * hx + depth * oy + kept * ox
        limit = friction * push
        if abs(stretch) <= limit / stiffness:
            by_stretch += by_kept
        else:
            by_limit += math.copysign(by_kept / stiffness, by_kept * stretch)
        if abs(pull) <= limit:
            by_pull += by_held
        else:
            by_limit += math.copysign(by_held, by_held * pull)
        by_push += friction * by_limit
        if push <= 0.0:
            by_push = 0.0
        by_depth += stiffness * by_push
        by_approach = -damping * active * by_push
        by_stretch += stiffness * by_pull
        by_across = damping * by_pull
        by_height = -active * by_depth + kappa * active * (1.0 - active) * damping * approach * by_push
        by_a += by_height * r[0] + by_stretch * (r[1] - qy) + by_approach * relative[0] + by_across * relative[1]
        by_b += by_height * r[1] - by_stretch * (r[0] - qx) + by_approach * relative[1] - by_across * relative[0]
        ex, ey = -n[1] * by_stretch, n[0] * by_stretch
        by_rx, by_ry = ox + by_height * n[0] + ex, oy + by_height * n[1] + ey
        lx, ly = n[0] * by_approach - n[1] * by_across, n[1] * by_approach + n[0] * by_across
        sx, sy = _surface_back(facets[:, :2], facets[:, 2], kappa, weights, n, length, (by_a, by_b), -by_height)
        by[6 + 2 * f] = by_qx - ex + sx - state[5] * ly
        by[7 + 2 * f] = by_qy - ey + sy + state[5] * lx
        by[5] += qy * lx - qx * ly
        by[2] += (w[1] - u[1]) * lx - (w[0] - u[0]) * ly + r[1] * by_rx - r[0] * by_ry
        turned = (c * lx - s * ly, s * lx + c * ly)
        by_speed[f, 0], by_speed[f, 1] = turned
        by[3] -= turned[0]
        by[4] -= turned[1]
        by_place[f, 0], by_place[f, 1] = c * by_rx - s * by_ry, s * by_rx + c * by_ry
        by[0] -= by_place[f, 0]
        by[1] -= by_place[f, 1]


@_jit
def run(bodies, facets, corners, targets, places, speeds, numbers):  # pragma: no cover - compiled
    """All states (B, N + 1, 10) of a batch.

    Args:
        bodies: (B, 10) x, y, angle, their velocities, mass, inertia, gravity, ground friction.
        facets: (B, F, 3) outward normals and offsets.
        corners: (B, F, 3) corners in the body frame, and 1 where they are there.
        targets: (B, 2, 2) where the fingers are put at first.
        places: (B, N, 2, 2) where they shall be in every step.
        speeds: (B, N, 2, 2) how they shall move.
        numbers: kappa, dt, the fingers' stiffness, damping and friction, the ground's stiffness and damping, the speed
            at which its friction is developed, the fingers' largest force.
    """
    batch, steps = places.shape[:2]
    states = np.empty((batch, steps + 1, STATE))
    weights = np.empty(facets.shape[1])
    for b in range(batch):
        _start(bodies[b], targets[b], facets[b], numbers[0], states[b, 0], weights)
        for t in range(steps):
            _step(
                states[b, t],
                places[b, t],
                speeds[b, t],
                facets[b],
                corners[b],
                bodies[b],
                numbers,
                states[b, t + 1],
                weights,
            )
    return states


@_jit
def run_back(
    bodies, facets, corners, targets, places, speeds, numbers, states, by_poses
):  # pragma: no cover - compiled
    """Derivatives by ``targets``, ``places`` and ``speeds`` from those by the poses (B, N + 1, 3) of all states."""
    batch, steps = places.shape[:2]
    by_targets, by_places, by_speeds = np.zeros_like(targets), np.empty_like(places), np.empty_like(speeds)
    weights = np.empty(facets.shape[1])
    by, by_before = np.empty(STATE), np.empty(STATE)
    for b in range(batch):
        by[:] = 0.0
        by[:3] = by_poses[b, steps]
        for t in range(steps - 1, -1, -1):
            _step_back(
                states[b, t],
                places[b, t],
                speeds[b, t],
                facets[b],
                corners[b],
                bodies[b],
                numbers,
                by,
                by_before,
                by_places[b, t],
                by_speeds[b, t],
                weights,
            )
            by[:] = by_before
            by[:3] += by_poses[b, t]
        _start_back(bodies[b], targets[b], facets[b], numbers[0], by, by_targets[b], weights)
    return by_targets, by_places, by_speeds
