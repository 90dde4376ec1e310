"""What a person does with a remote control: manoeuvres that see the car and move two sticks.

A manoeuvre is a generator. It is sent the car's view before each control step of 0.05 s, yields where it wants throttle
and steering in [-1, 1], and returns when it is done.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np

Command = tuple[float, float]


@dataclass(frozen=True)
class View:
    """What the driver sees: pose in m and rad in a frame at the middle of the hall, body velocity in m/s and rad/s."""

    x: float
    y: float
    heading: float
    forward: float
    left: float
    turning: float

    @property
    def speed(self) -> float:
        """Speed over ground in m/s."""
        return math.hypot(self.forward, self.left)


Manoeuvre = Generator[Command, View, None]
# Makes a manoeuvre from random numbers, the first view, and the half sizes (x, y) of the hall in m.
Maker = Callable[[np.random.Generator, View, tuple[float, float]], Manoeuvre]


def go_to_point(rng: np.random.Generator, view: View, half: tuple[float, float]) -> Manoeuvre:
    """Drive forward to a point in the hall at a speed of one's choice."""
    target = rng.uniform(-0.75, 0.75, 2) * half
    speed, eagerness = rng.uniform(0.6, 3.2), rng.uniform(1.0, 3.0)
    for _ in range(rng.integers(30, 80)):
        if math.dist((view.x, view.y), target) < 0.5:
            return
        off = _wrap(math.atan2(target[1] - view.y, target[0] - view.x) - view.heading)
        view = yield 0.9 * (speed - view.forward), eagerness * off - 0.1 * view.turning


def slalom(rng: np.random.Generator, view: View, half: tuple[float, float]) -> Manoeuvre:
    """Swing the steering from side to side at an even throttle."""
    throttle, swing, period = rng.uniform(0.2, 0.8), rng.uniform(0.3, 1.0), rng.uniform(0.5, 2.0)
    phase = rng.uniform(0, 2 * math.pi)
    for step in range(rng.integers(25, 60)):
        yield throttle, swing * math.sin(2 * math.pi * 0.05 * step / period + phase)


def power_slide(rng: np.random.Generator, view: View, half: tuple[float, float]) -> Manoeuvre:
    """Turn with so much throttle that the tail comes round, sometimes all the way, sometimes caught."""
    side, steering = rng.choice([-1, 1]), rng.uniform(0.4, 1.0)
    run_up, throttle = rng.uniform(0.3, 1.0), rng.uniform(0.6, 1.0)
    for _ in range(rng.integers(0, 14)):
        yield run_up, rng.normal(0, 0.1)
    for _ in range(rng.integers(10, 45)):
        yield throttle, side * steering
    caught = rng.uniform(-1.0, 0.2)
    for _ in range(rng.integers(0, 12)):
        yield rng.uniform(0, 1) * throttle, side * caught


def flick(rng: np.random.Generator, view: View, half: tuple[float, float]) -> Manoeuvre:
    """Run up, throw the car round with full lock on or off the throttle, then drive on or brake."""
    side = rng.choice([-1, 1])
    yield from _run_up(rng, view, half, speed=rng.uniform(1.2, 3.0))
    for _ in range(rng.integers(0, 5)):  # the counter-swing of a rally driver
        yield rng.uniform(-0.3, 0.3), -0.7 * side
    braking = rng.choice([-1.0, -0.5, 0.0, 0.5])
    for _ in range(rng.integers(5, 18)):
        yield braking, side * rng.uniform(0.85, 1.0)
    after, steering = rng.choice([-1.0, -0.3, 0.0, 0.6, 1.0]), rng.uniform(-1, 1)
    for _ in range(rng.integers(4, 16)):
        yield after, steering


def corner_at_speed(rng: np.random.Generator, view: View, half: tuple[float, float]) -> Manoeuvre:
    """Run up, forward or tail first, and take a corner at the limit, with the sticks moving on the way through."""
    backward = rng.random() < 0.35
    side = rng.choice([-1, 1])
    yield from _run_up(rng, view, half, speed=rng.uniform(1.2, 3.2), backward=backward)
    along = -1.0 if backward else 1.0
    throttle, steering = along * rng.uniform(-0.4, 1.0), side * rng.uniform(0.2, 1.0)
    for _ in range(rng.integers(2, 5)):
        next_throttle = along * rng.uniform(-1.0, 1.0)
        next_steering = side * rng.uniform(-0.3, 1.0)
        steps = rng.integers(4, 14)
        moving = rng.random() < 0.6
        for step in range(steps):
            share = step / steps if moving else 0.0
            yield throttle + share * (next_throttle - throttle), steering + share * (next_steering - steering)
        throttle, steering = next_throttle, next_steering


def reverse(rng: np.random.Generator, view: View, half: tuple[float, float]) -> Manoeuvre:
    """Drive backward, steering tail first to a point."""
    target, speed = rng.uniform(-0.75, 0.75, 2) * half, rng.uniform(0.4, 2.2)
    for _ in range(rng.integers(20, 50)):
        off = _wrap(math.atan2(view.y - target[1], view.x - target[0]) - view.heading)
        view = yield 0.9 * (-speed - view.forward), -1.5 * off


def turn_out_of_reverse(rng: np.random.Generator, view: View, half: tuple[float, float]) -> Manoeuvre:
    """Reverse fast, throw the nose round, and go on, forward or not."""
    side = rng.choice([-1, 1])
    yield from _run_up(rng, view, half, speed=rng.uniform(1.0, 3.0), backward=True)
    throttle = rng.choice([-1.0, -0.3, 0.0, 0.7])
    for _ in range(rng.integers(5, 16)):
        yield throttle, side * rng.uniform(0.7, 1.0)
    after, steering = rng.uniform(0, 1), -side * rng.uniform(-0.5, 1.0)
    for _ in range(rng.integers(4, 20)):
        yield after, steering


def stop(rng: np.random.Generator, view: View, half: tuple[float, float]) -> Manoeuvre:
    """Brake, straight or with some steering, wait for a moment, and start again."""
    strength, steering = rng.uniform(0.4, 1.0), rng.choice([0.0, 0.0, rng.uniform(-1, 1)])
    for _ in range(40):
        if view.speed < 0.15:
            break
        view = yield -math.copysign(strength, view.forward), steering
    for _ in range(rng.integers(2, 12)):
        yield 0.0, steering
    throttle, steering = rng.choice([-1, 1]) * rng.uniform(0.3, 1.0), rng.uniform(-1, 1)
    for _ in range(rng.integers(5, 20)):
        yield throttle, steering


def play(rng: np.random.Generator, view: View, half: tuple[float, float]) -> Manoeuvre:
    """Put the sticks anywhere for a moment, a few times over."""
    for _ in range(rng.integers(3, 9)):
        throttle, steering = rng.uniform(-1, 1), rng.uniform(-1, 1)
        for _ in range(rng.integers(2, 14)):
            yield throttle, steering


def return_to_middle(rng: np.random.Generator, view: View, half: tuple[float, float]) -> Manoeuvre:
    """Come back after braking off, whichever way round is nearer."""
    speed = rng.uniform(0.7, 1.8)
    for _ in range(60):
        if abs(view.x) < 0.5 * half[0] and abs(view.y) < 0.6 * half[1]:
            return
        off = _wrap(math.atan2(-view.y, -view.x) - view.heading)
        if abs(off) < 0.6 * math.pi:
            view = yield 0.9 * (speed - view.forward), 2.0 * off
        else:
            view = yield 0.9 * (-speed - view.forward), -2.0 * _wrap(off + math.pi)


def _run_up(
    rng: np.random.Generator, view: View, half: tuple[float, float], *, speed: float, backward: bool = False
) -> Manoeuvre:
    """Head for the far end of the hall, nose or tail first, until the car has the speed."""
    far = (rng.uniform(-0.4, 0.4) * half[0], -math.copysign(0.95 * half[1], view.y))
    along = -1.0 if backward else 1.0
    throttle, wobble = along * rng.uniform(0.7, 1.0), rng.uniform(0.0, 0.3)
    for _ in range(70):
        off = _wrap(math.atan2(far[1] - view.y, far[0] - view.x) - view.heading - (math.pi if backward else 0.0))
        if along * view.forward > speed and abs(off) < 1.0:
            return
        ready = abs(off) < 0.8 or along * view.forward < 0.8
        view = yield (throttle if ready else 0.2 * along), along * 1.5 * off + rng.normal(0, wobble)


# How often a driver starts each; reversing and stopping are part of any hour of driving.
HABITS: tuple[tuple[Maker, float], ...] = (
    (go_to_point, 0.14),
    (slalom, 0.10),
    (power_slide, 0.13),
    (flick, 0.12),
    (corner_at_speed, 0.26),
    (reverse, 0.05),
    (turn_out_of_reverse, 0.09),
    (stop, 0.05),
    (play, 0.06),
)


def _wrap(angle: float) -> float:
    return math.remainder(angle, 2 * math.pi)
