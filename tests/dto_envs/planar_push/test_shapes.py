"""Objects: the invariants of every random shape, oracles for area, inertia and distance, and what is refused."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_envs.planar_push.constants import MAX_RADIUS, MIN_SCALE
from dto_envs.planar_push.shapes import (
    MAX_GAP,
    Polygon,
    ShapeError,
    check_convex,
    random_polygon,
    rotation,
    smooth_polygon,
    to_body,
    to_world,
)

SQUARE = np.array([[0.0, 0.0], [0.2, 0.0], [0.2, 0.2], [0.0, 0.2]])

seeds = st.integers(0, 2**32 - 1)
polygons = st.one_of(
    st.builds(lambda seed, facets: random_polygon(np.random.default_rng(seed), facets), seeds, st.integers(4, 12)),
    st.builds(lambda seed: smooth_polygon(np.random.default_rng(seed)), seeds),
)


@settings(max_examples=80, deadline=None)
@given(polygons)
def test_random_shapes_are_convex_objects_of_the_right_size(polygon):
    shape = shapely.Polygon(polygon.vertices)
    assert shape.is_valid and shape.exterior.is_ccw
    assert shape.convex_hull.area == pytest.approx(shape.area, rel=1e-9)
    np.testing.assert_allclose(shape.centroid.coords[0], 0.0, atol=1e-12)
    assert polygon.area == pytest.approx(shape.area, rel=1e-12)
    assert MIN_SCALE * MAX_RADIUS - 1e-4 < polygon.radius <= MAX_RADIUS
    assert polygon.lengths.min() > 0.008  # two fingers of 4 mm fit
    assert polygon.mass == 1.0


@settings(max_examples=40, deadline=None)
@given(polygons)
def test_facets_normals_and_tangents_agree(polygon):
    start, end = polygon.facets[:, 0], polygon.facets[:, 1]
    np.testing.assert_array_equal(end, np.roll(polygon.vertices, -1, axis=0))
    np.testing.assert_allclose(start + polygon.lengths[:, None] * polygon.tangents, end, atol=1e-14)
    np.testing.assert_allclose((polygon.normals * polygon.tangents).sum(axis=1), 0.0, atol=1e-14)
    heights = polygon.vertices @ polygon.normals.T - polygon.offsets
    assert heights.max() < 1e-12  # every vertex lies behind every facet: the normals point outwards
    assert (np.abs(heights) < 1e-12).sum() == 2 * len(polygon.vertices)
    middle = polygon.points(np.arange(len(start)), np.full(len(start), 0.5))
    np.testing.assert_allclose(middle, (start + end) / 2, atol=1e-15)


@settings(max_examples=30, deadline=None)
@given(polygons, seeds)
def test_distances_and_projections_are_shapelys(polygon, seed):
    shape = shapely.Polygon(polygon.vertices)
    points = np.random.default_rng(seed).uniform(-0.25, 0.25, (40, 2))
    outline = shapely.distance(shape.exterior, shapely.points(points))
    inside = shapely.contains(shape, shapely.points(points))
    np.testing.assert_allclose(polygon.distance(points), np.where(inside, -outline, outline), atol=1e-12)
    projected = polygon.project_outside(points)
    np.testing.assert_array_equal(projected[~inside], points[~inside])
    np.testing.assert_allclose(shapely.distance(shape.exterior, shapely.points(projected[inside])), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(projected - points, axis=1)[inside], outline[inside], atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_inertia_is_what_sampling_measures(seed):
    polygon = random_polygon(np.random.default_rng(seed), 4 + 2 * seed)
    points = np.random.default_rng(0).uniform(-MAX_RADIUS, MAX_RADIUS, (100_000, 2))
    points = points[polygon.distance(points) <= 0]
    assert polygon.inertia == pytest.approx((points**2).sum(axis=1).mean() * polygon.mass, rel=0.02)


def test_inertia_of_a_square_is_the_textbooks():
    assert Polygon.from_points(SQUARE, mass=3.0).inertia == pytest.approx(3.0 * (0.2**2 + 0.2**2) / 12)


@pytest.mark.parametrize("points", [SQUARE, SQUARE[::-1], SQUARE + [50.0, -80.0]])
def test_points_in_any_frame_and_direction_become_the_same_object(points):
    polygon = Polygon.from_points(points)
    assert shapely.Polygon(polygon.vertices).exterior.is_ccw
    np.testing.assert_allclose(np.sort(polygon.vertices, axis=0), np.sort(SQUARE - 0.1, axis=0), atol=1e-12)


def test_a_polygon_cannot_be_changed():
    polygon = Polygon.from_points(SQUARE)
    with pytest.raises(ValueError, match="read-only"):
        polygon.vertices[0, 0] = 1.0


def test_random_shapes_have_no_splinters():
    for seed in range(50):
        polygon = random_polygon(np.random.default_rng(seed), 4)
        corners = np.arccos(np.clip((polygon.normals * np.roll(polygon.normals, 1, axis=0)).sum(axis=1), -1, 1))
        assert np.pi - corners.max() > (2 * np.pi - 2 * MAX_GAP) / 4  # inscribed angles


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[0, 0], [0.1, 0]], "at least 3 corners"),
        ([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0]], "at least 3 corners"),
        ([[0, 0], [0.1, 0], [0, np.nan]], "finite"),
        ([[0, 0], [0.2, 0.2], [0.2, 0], [0, 0.2]], "intersects itself"),
        ([[0, 1], [0.6, -0.8], [-0.95, 0.3], [0.95, 0.3], [-0.6, -0.8]], "intersects itself"),
        ([[0, 0], [0.2, 0], [0.05, 0.05], [0, 0.2]], "not convex"),
        ([[0, 0], [0.2, 0], [0.2, 0.001], [0, 0.001]], "facet 1 is"),
        ([[0, 0], [0.2, 0], [0.1, 0.003]], "degenerate"),
        ([[0, 0], [0.1, 0], [0.2, 0]], "degenerate"),
        ([[0, 0], [0.1, 0], [0.1, 0], [0, 0.1]], "facet 1 is"),
    ],
)
def test_what_is_not_an_object_is_refused(points, message):
    with pytest.raises(ShapeError, match=message):
        check_convex(np.array(points, dtype=float))
    with pytest.raises(ShapeError, match=message):
        Polygon.from_points(np.array(points, dtype=float))


def test_the_constructor_insists_on_frame_direction_and_mass():
    with pytest.raises(ShapeError, match="from_points moves it"):
        Polygon(SQUARE)
    with pytest.raises(ShapeError, match="clockwise"):
        Polygon((SQUARE - 0.1)[::-1])
    with pytest.raises(ShapeError, match="mass"):
        Polygon(SQUARE - 0.1, mass=-1.0)
    with pytest.raises(ShapeError, match="at least 3 facets"):
        random_polygon(np.random.default_rng(0), 2)


def test_frames_turn_counter_clockwise_and_back():
    pose = np.array([1.0, 2.0, np.pi / 2])
    np.testing.assert_allclose(to_world(pose, np.array([[1.0, 0.0]])), [[1.0, 3.0]], atol=1e-15)
    poses = np.random.default_rng(0).normal(size=(5, 3))
    points = np.random.default_rng(1).normal(size=(7, 2))
    world = to_world(poses, points)
    assert world.shape == (5, 7, 2)
    np.testing.assert_allclose(to_body(poses, world), np.broadcast_to(points, world.shape), atol=1e-14)
    np.testing.assert_allclose(np.linalg.det(rotation(poses[:, 2])), 1.0)
