"""Things on the table, made of primitives that collide and of one surface of revolution each that is looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

Color = tuple[float, float, float, float]
Profile = Sequence[tuple[float, float]]

SEEN, FELT = 1, 3  # MuJoCo's geom groups: what pictures show, and what collides
SIDES = 40  # of a surface of revolution
STAVES = 12  # boxes of a round wall


@dataclass(frozen=True)
class Cup:
    """A round cup, solid up to the floor of its cavity: there the next cup stops.

    Attributes:
        base: radius at the bottom, m.
        grip: radius of the upright side by which it is held, m.
        rim: inner radius at the top, m.
        height: m.
        cavity: depth of the cavity, m.
        wall: thickness at the top, m.
        mass: kg.
        color: RGBA.
    """

    base: float = 0.020
    grip: float = 0.0265
    rim: float = 0.0245
    height: float = 0.085
    cavity: float = 0.022
    wall: float = 0.002
    mass: float = 0.04
    color: Color = (0.20, 0.45, 0.80, 1.0)

    @property
    def outer(self) -> float:
        """Outer radius at the top, m."""
        return self.rim + self.wall

    @property
    def floor(self) -> float:
        """Height of the cavity's floor, m."""
        return self.height - self.cavity

    def add(self, spec: mujoco.MjSpec, name: str) -> None:
        """Add it to a model as a free body whose origin is the middle of its bottom."""
        body = free_body(spec, name, self.mass, (0.0, 0.0, 0.45 * self.height), self.grip, self.height)
        foot = 0.25 * self.height
        block(body, f"{name}/core", self.base, 0.0, self.floor, CUP_SURFACE)
        _cylinder(body, f"{name}/side", self.grip, foot, self.floor - 0.002, CUP_SURFACE)
        round_wall(body, name, self.rim, self.wall, self.floor, self.height, CUP_SURFACE)
        profile = [
            *[(0.0, 0.0), (self.base, 0.0), (self.grip, foot), (self.grip, self.floor)],
            *[(self.outer, self.height), (self.rim, self.height), (self.rim - 0.002, self.floor), (0.0, self.floor)],
        ]
        revolve(spec, body, f"{name}/seen", profile, self.color)


@dataclass(frozen=True)
class Bowl:
    """A low round bowl with an upright wall that two fingers can pinch.

    Attributes:
        inner: radius inside, m.
        height: m.
        wall: thickness of the wall, m.
        floor: thickness of the bottom, m.
        mass: kg.
        color: RGBA.
    """

    inner: float = 0.06
    height: float = 0.045
    wall: float = 0.004
    floor: float = 0.006
    mass: float = 0.04
    color: Color = (0.92, 0.90, 0.84, 1.0)

    @property
    def middle(self) -> float:
        """Radius of the middle of the wall, m."""
        return self.inner + 0.5 * self.wall

    def add(self, spec: mujoco.MjSpec, name: str) -> None:
        """Add it to a model as a free body whose origin is the middle of its bottom."""
        body = free_body(spec, name, self.mass, (0.0, 0.0, 0.4 * self.height), 0.8 * self.inner, self.height)
        outer = self.inner + self.wall
        block(body, f"{name}/floor", 0.8 * outer, 0.0, self.floor, CUP_SURFACE)
        round_wall(body, name, self.inner, self.wall, self.floor, self.height, CUP_SURFACE)
        profile = [
            *[(0.0, 0.0), (0.8 * outer, 0.0), (outer, 0.25 * self.height), (outer, self.height)],
            *[(self.inner, self.height), (self.inner, self.floor + 0.004), (0.8 * self.inner, self.floor)],
            (0.0, self.floor),
        ]
        revolve(spec, body, f"{name}/seen", profile, self.color)


@dataclass(frozen=True)
class Spoon:
    """A flat spoon that lies level; its origin is its centre of mass, its handle points along -x.

    Attributes:
        length: of the handle, m.
        width: of the handle, m.
        thickness: m.
        head: length of the half axes of the oval head along and across, m.
        mass: kg.
        color: RGBA.
    """

    length: float = 0.11
    width: float = 0.012
    thickness: float = 0.003
    head: tuple[float, float] = (0.022, 0.015)
    mass: float = 0.02
    color: Color = (0.80, 0.80, 0.84, 1.0)

    def add(self, spec: mujoco.MjSpec, name: str) -> None:
        """Add it to a model as a free body."""
        share = 0.55  # of the mass in the handle; what is left is in the head
        along = 0.5 * self.length + self.head[0]
        reach = ((share - 1.0) * along, share * along)
        body = spec.worldbody.add_body(name=name)
        body.add_freejoint(name=f"{name}/free")
        handle = (0.5 * self.length, 0.5 * self.width, 0.5 * self.thickness)
        oval = (*self.head, 0.5 * self.thickness)
        shapes = (
            ("handle", mujoco.mjtGeom.mjGEOM_BOX, handle, reach[0], share),
            ("head", mujoco.mjtGeom.mjGEOM_ELLIPSOID, oval, reach[1], 1.0 - share),
        )
        for part, kind, size, at, part_mass in shapes:
            body.add_geom(
                name=f"{name}/{part}",
                type=kind,
                size=size,
                pos=(at, 0.0, 0.0),
                mass=part_mass * self.mass,
                rgba=self.color,
                group=SEEN,
                **SPOON_SURFACE,
            )


# Fingers' rubber decides how a cup is held, since the larger friction of two geoms counts; between cups, glaze does.
CUP_SURFACE = {
    "friction": (0.5, 0.005, 0.0001),
    "condim": 4,
    "solref": (0.01, 1.0),
    "solimp": (0.9, 0.98, 0.001, 0.5, 2.0),
}
# With its priority the spoon's own friction counts on a cup: it begins to slide at 0.8 m/s².
SPOON_SURFACE = {
    "friction": (0.08, 0.005, 0.0001),
    "priority": 1,
    "condim": 3,
    "solref": (0.01, 1.0),
    "solimp": (0.9, 0.98, 0.001, 0.5, 2.0),
}


def free_body(
    spec: mujoco.MjSpec, name: str, mass: float, center: tuple[float, float, float], radius: float, height: float
) -> mujoco.MjsBody:
    """A body that moves freely, with the inertia of a solid cylinder around ``center``."""
    body = spec.worldbody.add_body(name=name)
    body.add_freejoint(name=f"{name}/free")
    across = mass * (3.0 * radius**2 + height**2) / 12.0
    body.mass, body.ipos, body.inertia = mass, center, (across, across, 0.5 * mass * radius**2)
    body.explicitinertial = True
    return body


def _cylinder(body: mujoco.MjsBody, name: str, radius: float, bottom: float, top: float, surface: dict) -> None:
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=(radius, 0.5 * (top - bottom), 0.0),
        pos=(0.0, 0.0, 0.5 * (bottom + top)),
        group=FELT,
        **surface,
    )


def block(body: mujoco.MjsBody, name: str, radius: float, bottom: float, top: float, surface: dict) -> None:
    """A square block whose corners lie on a circle of ``radius``: boxes rest on each other at four points, exactly."""
    half = radius / math.sqrt(2.0)
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=(half, half, 0.5 * (top - bottom)),
        pos=(0.0, 0.0, 0.5 * (bottom + top)),
        group=FELT,
        **surface,
    )


def round_wall(
    body: mujoco.MjsBody, name: str, inner: float, wall: float, bottom: float, top: float, surface: dict
) -> None:
    """A ring of boxes around a cylinder of radius ``inner``, from height ``bottom`` to ``top``."""
    middle = inner + 0.5 * wall
    half_width = (inner + wall) * math.tan(math.pi / STAVES)
    for index in range(STAVES):
        angle = 2.0 * math.pi * index / STAVES
        body.add_geom(
            name=f"{name}/wall{index}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=(0.5 * wall, half_width, 0.5 * (top - bottom)),
            pos=(middle * math.cos(angle), middle * math.sin(angle), 0.5 * (bottom + top)),
            quat=(math.cos(0.5 * angle), 0.0, 0.0, math.sin(0.5 * angle)),
            group=FELT,
            **surface,
        )


def revolve(spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str, profile: Profile, color: Color) -> None:
    """Show a surface of revolution about the body's z; nothing collides with it.

    Args:
        spec: the model.
        body: what it belongs to.
        name: of its mesh and its geom.
        profile: (radius, height) in m of its corners, outward side first, from the axis back to the axis.
        color: RGBA.
    """
    vertices: list[tuple[float, float, float]] = []
    for radius, height in profile:
        for turn in range(SIDES):
            angle = 2.0 * math.pi * turn / SIDES
            vertices.append((max(radius, 1e-5) * math.cos(angle), max(radius, 1e-5) * math.sin(angle), height))
    faces: list[tuple[int, int, int]] = []
    for ring in range(len(profile) - 1):
        for turn in range(SIDES):
            a, b = ring * SIDES + turn, ring * SIDES + (turn + 1) % SIDES
            faces += [(a, b, b + SIDES), (a, b + SIDES, a + SIDES)]
    mesh = spec.add_mesh(name=name)
    mesh.uservert = np.array(vertices, dtype=np.float32).ravel().tolist()
    mesh.userface = np.array(faces, dtype=np.int32).ravel().tolist()
    mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=name,
        contype=0,
        conaffinity=0,
        group=SEEN,
        rgba=color,
        mass=0.0,
    )
