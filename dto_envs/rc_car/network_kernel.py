"""The compiled learned dynamics: rollouts of a network, its derivatives, the implicit function theorem's sweeps.

A network comes as two flat float32 arrays (``packed``: every layer's weights transposed, then its biases;
``straight``: the weights as they are, for the way back) and the widths of its layers. Rows are handled in blocks that
are small enough for BLAS to stay in this thread.

All loops live in one file because numba's cache notices changes only in the file of the function that it compiled.
"""

from __future__ import annotations

import math

import numba
import numpy as np

BLOCK_WORK = 64 * 64 * 64  # multiplications of one product; above this OpenBLAS would start threads

# Without numba's own check for division by zero, the loops over activations use vector units.
_jit = numba.njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")

# tanh(z) = z P(z^2) / Q(z^2) for |z| <= 8.5, fitted to a relative error of 1.2e-8.
_P0, _P1, _P2 = np.float32(1.0), np.float32(0.134132503), np.float32(3.53403082e-03)
_P3, _P4 = np.float32(2.12511073e-05), np.float32(1.42693123e-08)
_Q0, _Q1, _Q2 = np.float32(1.0), np.float32(0.467465731), np.float32(2.60227666e-02)
_Q3, _Q4 = np.float32(3.34887118e-04), np.float32(8.14515849e-07)
_CLAMP = np.float32(8.5)
_SCALE, _CUBIC = np.float32(math.sqrt(2.0 / math.pi)), np.float32(0.044715)
_CUBIC_SLOPE = np.float32(3.0 * 0.044715)
_HALF, _ONE, _ZERO = np.float32(0.5), np.float32(1.0), np.float32(0.0)


@_jit
def _activate(values, bias, relu):  # pragma: no cover - compiled
    """Overwrite values (rows, width) with the activation of values + bias."""
    rows, width = values.shape
    for r in range(rows):
        row = values[r]
        if relu:
            for c in range(width):
                row[c] = max(row[c] + bias[c], _ZERO)
        else:
            for c in range(width):
                x = row[c] + bias[c]
                z = _SCALE * (x + _CUBIC * x * x * x)
                z = min(max(z, -_CLAMP), _CLAMP)
                s = z * z
                above = z * (_P0 + s * (_P1 + s * (_P2 + s * (_P3 + s * _P4))))
                below = _Q0 + s * (_Q1 + s * (_Q2 + s * (_Q3 + s * _Q4)))
                row[c] = _HALF * x * (_ONE + above / below)


@_jit
def _activate_with_slope(values, bias, relu, slopes):  # pragma: no cover - compiled
    """As :func:`_activate`, and write the activation's derivative."""
    rows, width = values.shape
    for r in range(rows):
        row, slope = values[r], slopes[r]
        if relu:
            for c in range(width):
                x = row[c] + bias[c]
                slope[c] = _ONE if x > _ZERO else _ZERO
                row[c] = max(x, _ZERO)
        else:
            for c in range(width):
                x = row[c] + bias[c]
                z = _SCALE * (x + _CUBIC * x * x * x)
                z = min(max(z, -_CLAMP), _CLAMP)
                s = z * z
                above = z * (_P0 + s * (_P1 + s * (_P2 + s * (_P3 + s * _P4))))
                below = _Q0 + s * (_Q1 + s * (_Q2 + s * (_Q3 + s * _Q4)))
                t = above / below
                inner = _SCALE * (_ONE + _CUBIC_SLOPE * x * x)
                slope[c] = _HALF * (_ONE + t) + _HALF * x * (_ONE - t * t) * inner
                row[c] = _HALF * x * (_ONE + t)


@_jit
def _multiply(left, right, out):  # pragma: no cover - compiled
    """Write left (R, I) times right (I, O); a single row is not worth a call of BLAS."""
    if left.shape[0] > 1:
        np.dot(left, right, out)
        return
    inner, width = right.shape
    row, result = left[0], out[0]
    for c in range(width):
        result[c] = _ZERO
    k = 0
    while k + 4 <= inner:
        a0, a1, a2, a3 = row[k], row[k + 1], row[k + 2], row[k + 3]
        r0, r1, r2, r3 = right[k], right[k + 1], right[k + 2], right[k + 3]
        for c in range(width):
            result[c] = result[c] + a0 * r0[c] + a1 * r1[c] + a2 * r2[c] + a3 * r3[c]
        k += 4
    while k < inner:
        a0, r0 = row[k], right[k]
        for c in range(width):
            result[c] += a0 * r0[c]
        k += 1


@_jit
def _block_rows(sizes):  # pragma: no cover - compiled
    """How many rows of the widest product BLAS takes on in one thread."""
    largest = 1
    for layer in range(sizes.shape[0] - 1):
        largest = max(largest, sizes[layer] * sizes[layer + 1])
    return max(1, BLOCK_WORK // largest)


@_jit
def _fill_inputs(velocities, controls, past, step, means, scales, inputs):  # pragma: no cover - compiled
    """Write the standardised inputs (R, 3 + 2k) of ``step``: velocity, then the last k actions, the latest last."""
    rows, recorded = velocities.shape[0], past.shape[1]
    for r in range(rows):
        for c in range(3):
            inputs[r, c] = (np.float32(velocities[r, c]) - means[c]) * scales[c]
        for a in range(recorded + 1):
            index = step - recorded + a
            for c in range(2):
                value = controls[r, index, c] if index >= 0 else past[r, recorded + index, c]
                column = 3 + 2 * a + c
                inputs[r, column] = (np.float32(value) - means[column]) * scales[column]


@_jit
def _forward(packed, sizes, relu, first, second, rows):  # pragma: no cover - compiled
    """Run the network on the inputs in the buffer ``first``; returns its raw outputs (rows, 3), a view of a buffer."""
    layers = sizes.shape[0] - 1
    offset = 0
    values = first[: rows * sizes[0]].reshape((rows, sizes[0]))
    for layer in range(layers):
        inner, width = sizes[layer], sizes[layer + 1]
        matrix = packed[offset : offset + inner * width].reshape((inner, width))
        bias = packed[offset + inner * width : offset + inner * width + width]
        offset += (inner + 1) * width
        target = (second if layer % 2 == 0 else first)[: rows * width].reshape((rows, width))
        _multiply(values, matrix, target)
        if layer < layers - 1:
            _activate(target, bias, relu)
        else:
            for r in range(rows):
                for c in range(width):
                    target[r, c] += bias[c]
        values = target
    return values


@_jit
def _advance(states, nexts, outputs, output_scale, output_mean, residual, dt):  # pragma: no cover - compiled
    """Equation 2: write the states (R, 6) that follow, from the network's outputs (R, 3)."""
    for r in range(states.shape[0]):
        for c in range(3):
            value = np.float64(outputs[r, c] * output_scale[c] + output_mean[c])
            nexts[r, 3 + c] = value + states[r, 3 + c] if residual else value
        cosine, sine = math.cos(states[r, 2]), math.sin(states[r, 2])
        vx, vy = nexts[r, 3], nexts[r, 4]
        nexts[r, 0] = states[r, 0] + dt * (cosine * vx - sine * vy)
        nexts[r, 1] = states[r, 1] + dt * (sine * vx + cosine * vy)
        nexts[r, 2] = states[r, 2] + dt * nexts[r, 5]


@_jit
def rollout(packed, sizes, relu, residual, dt, standard, initial, controls, past):  # pragma: no cover - compiled
    """States (B, n + 1, 6) from ``initial`` (B, 6) under controls (B, n, 2) after the actions past (B, k - 1, 2)."""
    batch, steps = controls.shape[0], controls.shape[1]
    means, scales, output_mean, output_scale = standard
    states = np.empty((batch, steps + 1, 6))
    block = min(_block_rows(sizes), batch)
    first = np.empty(block * sizes.max(), dtype=np.float32)
    second = np.empty(block * sizes.max(), dtype=np.float32)
    for begin in range(0, batch, block):
        end = min(begin + block, batch)
        rows = end - begin
        states[begin:end, 0] = initial[begin:end]
        inputs = first[: rows * sizes[0]].reshape((rows, sizes[0]))
        for step in range(steps):
            current, following = states[begin:end, step], states[begin:end, step + 1]
            _fill_inputs(current[:, 3:], controls[begin:end], past[begin:end], step, means, scales, inputs)
            outputs = _forward(packed, sizes, relu, first, second, rows)
            _advance(current, following, outputs, output_scale, output_mean, residual, dt)
    return states


@_jit
def _input_jacobians(packed, straight, sizes, relu, inputs, jacobians):  # pragma: no cover - compiled
    """Write the derivatives (R, 3, inputs) of the raw outputs with regard to the standardised inputs (R, inputs)."""
    rows, layers = inputs.shape[0], sizes.shape[0] - 1
    widest = sizes.max()
    slopes = np.empty(rows * sizes[1:layers].sum(), dtype=np.float32)
    first, second = np.empty(3 * rows * widest, dtype=np.float32), np.empty(3 * rows * widest, dtype=np.float32)
    values = first[: rows * sizes[0]].reshape((rows, sizes[0]))
    values[:] = inputs
    offset, slope_offset = 0, 0
    for layer in range(layers - 1):
        inner, width = sizes[layer], sizes[layer + 1]
        matrix = packed[offset : offset + inner * width].reshape((inner, width))
        bias = packed[offset + inner * width : offset + inner * width + width]
        offset += (inner + 1) * width
        target = (second if layer % 2 == 0 else first)[: rows * width].reshape((rows, width))
        slope = slopes[slope_offset : slope_offset + rows * width].reshape((rows, width))
        slope_offset += rows * width
        _multiply(values, matrix, target)
        _activate_with_slope(target, bias, relu, slope)
        values = target

    # Back through the layers with the three outputs' cotangents as rows 3 r, 3 r + 1 and 3 r + 2.
    width = sizes[layers - 1]
    offset = straight.shape[0] - 3 * width
    last = straight[offset:].reshape((3, width))
    cotangents = first[: 3 * rows * width].reshape((3 * rows, width))
    for r in range(3 * rows):
        cotangents[r] = last[r % 3]
    for layer in range(layers - 2, -1, -1):
        inner, width = sizes[layer], sizes[layer + 1]
        offset -= inner * width
        slope_offset -= rows * width
        matrix = straight[offset : offset + inner * width].reshape((width, inner))
        slope = slopes[slope_offset : slope_offset + rows * width].reshape((rows, width))
        for r in range(3 * rows):
            row, factor = cotangents[r], slope[r // 3]
            for c in range(width):
                row[c] *= factor[c]
        target = (second if (layers - layer) % 2 == 0 else first)[: 3 * rows * inner].reshape((3 * rows, inner))
        _multiply(cotangents, matrix, target)
        cotangents = target
    jacobians[:] = cotangents.reshape((rows, 3, sizes[0]))


@_jit
def step_jacobians(
    packed, straight, sizes, relu, residual, standard, states, controls, past
):  # pragma: no cover - compiled
    """Derivatives (B, n, 3, 3 + 2k) of the next velocity with regard to the velocity and the last k actions."""
    batch, steps, width = controls.shape[0], controls.shape[1], sizes[0]
    means, scales, _, output_scale = standard
    inputs = np.empty((batch * steps, width), dtype=np.float32)
    ordered = inputs.reshape((batch, steps, width))
    for b in range(batch):
        for step in range(steps):
            row = ordered[b, step : step + 1]
            velocity = states[b : b + 1, step, 3:]
            _fill_inputs(velocity, controls[b : b + 1], past[b : b + 1], step, means, scales, row)
    raw = np.empty((batch * steps, 3, width), dtype=np.float32)
    block = max(1, _block_rows(sizes) // 3)
    for begin in range(0, batch * steps, block):
        end = min(begin + block, batch * steps)
        _input_jacobians(packed, straight, sizes, relu, inputs[begin:end], raw[begin:end])
    jacobians = np.empty((batch, steps, 3, width))
    for index in range(batch * steps):
        b, step = index // steps, index % steps
        for o in range(3):
            for c in range(width):
                jacobians[b, step, o, c] = raw[index, o, c] * output_scale[o] * scales[c]
            if residual:
                jacobians[b, step, o, o] += 1.0
    return jacobians


@_jit
def sweep_back(dt, states, jacobians, state_costs, control_costs):  # pragma: no cover - compiled
    """Equation 7 with equation 9's inverse applied from the left: one sweep over the blocks, last step first.

    ``state_costs`` (B, n + 1, 6) and ``control_costs`` (B, n, 2) are the partial derivatives of the cost; the result
    (B, n, 2) is its total derivative with regard to the controls.
    """
    gradient = control_costs.copy()
    batch, steps = control_costs.shape[0], control_costs.shape[1]
    actions = (jacobians.shape[3] - 3) // 2
    pulled = np.empty(3)
    for b in range(batch):
        multiplier = state_costs[b, steps].copy()
        for step in range(steps - 1, -1, -1):
            cosine, sine = math.cos(states[b, step, 2]), math.sin(states[b, step, 2])
            vx, vy = states[b, step + 1, 3], states[b, step + 1, 4]
            mx, my, turn = multiplier[0], multiplier[1], multiplier[2]
            pulled[0] = multiplier[3] + dt * (cosine * mx + sine * my)
            pulled[1] = multiplier[4] + dt * (cosine * my - sine * mx)
            pulled[2] = multiplier[5] + dt * turn
            block = jacobians[b, step]
            for a in range(actions):
                index = step - actions + 1 + a
                if index >= 0:
                    for c in range(2):
                        column = 3 + 2 * a + c
                        for o in range(3):
                            gradient[b, index, c] += block[o, column] * pulled[o]
            multiplier[2] += dt * (mx * (-sine * vx - cosine * vy) + my * (cosine * vx - sine * vy))
            for c in range(3):
                multiplier[3 + c] = block[0, c] * pulled[0] + block[1, c] * pulled[1] + block[2, c] * pulled[2]
            for c in range(6):
                multiplier[c] += state_costs[b, step, c]
    return gradient


@_jit
def sweep_forward(dt, states, jacobians):  # pragma: no cover - compiled
    """Equation 9 written out: dx/du (B, n + 1, 6, n, 2), solved block row by block row."""
    batch, steps = jacobians.shape[0], jacobians.shape[1]
    actions = (jacobians.shape[3] - 3) // 2
    full = np.zeros((batch, steps + 1, 6, steps, 2))
    for b in range(batch):
        for step in range(steps):
            before, after, block = full[b, step], full[b, step + 1], jacobians[b, step]
            cosine, sine = math.cos(states[b, step, 2]), math.sin(states[b, step, 2])
            vx, vy = states[b, step + 1, 3], states[b, step + 1, 4]
            for a in range(actions):
                index = step - actions + 1 + a
                if index >= 0:
                    for o in range(3):
                        for c in range(2):
                            after[3 + o, index, c] = block[o, 3 + 2 * a + c]
            for j in range(step + 1):
                for c in range(2):
                    for o in range(3):
                        for i in range(3):
                            after[3 + o, j, c] += block[o, i] * before[3 + i, j, c]
                    dvx, dvy, turn = after[3, j, c], after[4, j, c], before[2, j, c]
                    dx = cosine * dvx - sine * dvy + (-sine * vx - cosine * vy) * turn
                    dy = sine * dvx + cosine * dvy + (cosine * vx - sine * vy) * turn
                    after[0, j, c] = before[0, j, c] + dt * dx
                    after[1, j, c] = before[1, j, c] + dt * dy
                    after[2, j, c] = turn + dt * after[5, j, c]
    return full
