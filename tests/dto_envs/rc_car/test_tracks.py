"""Tracks: closed, smooth, of the length they say, and a projection that is the nearest point and differentiates."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_envs.rc_car.tracks import TRACKS, Track, get_track, rounded

every_track = pytest.mark.parametrize("track", TRACKS.values(), ids=TRACKS)
quick = settings(max_examples=60, deadline=None)
names = st.sampled_from(sorted(TRACKS))


def dense(track: Track, count: int = 20_000) -> np.ndarray:
    return track.poses(np.arange(count) * track.length / count)


@every_track
def test_centre_lines_are_closed_and_smooth_and_as_long_as_they_say(track):
    assert track.length == pytest.approx({"oval": 15.6, "L": 21.2}[track.name], abs=1e-9)
    line = dense(track)
    steps = np.diff(np.vstack([line, line[:1]]), axis=0)
    steps[:, 2] = (steps[:, 2] + math.pi) % (2 * math.pi) - math.pi
    assert np.hypot(steps[:, 0], steps[:, 1]).sum() == pytest.approx(track.length, rel=1e-5)
    assert np.abs(steps).max() < 2 * track.length / len(line)
    assert steps[:, 2].sum() == pytest.approx(2 * math.pi, abs=1e-9)


@every_track
def test_edges_never_touch_and_the_tracks_fit_a_room(track):
    """Points of the inner edge are nowhere nearer to the centre line than half the width."""
    for side in (-1, 1):
        edge = track.poses(np.linspace(0, track.length, 500), side * track.width / 2)
        np.testing.assert_allclose(track.project(edge[:, :2])[:, 1], side * track.width / 2, atol=1e-9)
    assert (np.ptp(dense(track)[:, :2], axis=0) + track.width < (8.0, 8.0)).all()


@quick
@given(names, st.floats(0, 30), st.floats(-0.4, 0.4))
def test_projecting_undoes_placing(name, progress, offset):
    track = get_track(name)
    pose = track.poses(np.array([progress]), offset)[0]
    here, aside, heading, curvature = track.project(pose[None, :2])[0]
    assert abs(track.ahead(here, progress)) < 1e-6 and aside == pytest.approx(offset, abs=1e-9)
    assert math.cos(heading - pose[2]) == pytest.approx(1.0, abs=1e-9)
    if 0.01 < progress % track.length < track.length - 0.01 and abs(curvature) > 0:
        assert curvature in (track.curvatures(np.array([progress - 1e-6, progress + 1e-6])))


@quick
@given(names, st.floats(-4.5, 4.5), st.floats(-4.5, 4.5))
def test_the_projection_is_the_nearest_point(name, x, y):
    track = get_track(name)
    line = dense(track, 4000)
    here, offset, heading, _ = track.project(np.array([[x, y]]))[0]
    nearest = np.hypot(line[:, 0] - x, line[:, 1] - y).min()
    spacing = track.length / 4000  # half of it may lie between the foot and the nearest of the line's points
    assert abs(offset) - 1e-9 <= nearest <= math.hypot(offset, spacing) + 1e-5
    foot = track.poses(np.array([here]))[0]
    np.testing.assert_allclose(
        foot[:2] + offset * np.array([-math.sin(heading), math.cos(heading)]), [x, y], rtol=0, atol=1e-6
    )


@quick
@given(names, st.floats(0, 30), st.floats(-0.39, 0.39))
def test_derivatives_are_those_the_docstring_gives(name, progress, offset):
    track, h = get_track(name), 1e-6
    at = track.poses(np.array([progress]), offset)[0, :2]
    here, aside, heading, curvature = track.project(at[None])[0]
    around = track.project(at + h * np.array([(1, 0), (-1, 0), (0, 1), (0, -1)]))
    if len(set(around[:, 3])) > 1:
        return  # on a joint of two pieces, where the curvature jumps
    numeric = [
        (track.ahead(around[i, 0], around[i + 1, 0]) / (2 * h), (around[i, 1] - around[i + 1, 1]) / (2 * h))
        for i in (0, 2)
    ]
    tangent = np.array([math.cos(heading), math.sin(heading)])
    np.testing.assert_allclose([n[0] for n in numeric], tangent / (1 - curvature * aside), atol=1e-4)
    np.testing.assert_allclose([n[1] for n in numeric], [-tangent[1], tangent[0]], atol=1e-4)


@every_track
def test_gates_are_evenly_spaced_from_the_start_line(track):
    assert track.gates[0] == 0 and len(track.gates) == 8
    np.testing.assert_allclose(np.diff(track.gates), track.length / 8)
    assert track.ahead(0.1, track.length - 0.1) == pytest.approx(0.2)
    assert track.ahead(track.length - 0.1, 0.1) == pytest.approx(-0.2)


def test_tracks_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="track is 'ring'; choose one of 'oval', 'L'"):
        get_track("ring")
    square = np.array([(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0)])
    with pytest.raises(ValueError, match="too short"):
        rounded("square", square, 1.1)
    with pytest.raises(ValueError, match="no inner edge"):
        rounded("square", square, 0.3)
    with pytest.raises(ValueError, match=r"points must be \(N, 2\)"):
        TRACKS["oval"].project(np.zeros(2))
