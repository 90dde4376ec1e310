import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dto_agents.rc_car.logs import Log, body_velocities
from dto_agents.rc_car.preparing import concatenate, cut_windows, decimate, mirrored, prepare, smooth
from dto_agents.rc_car.validation import advance

speeds = st.floats(-3, 3)
turns = st.floats(-8, 8)


def log_of(poses: np.ndarray, dt: float = 0.05, controls: np.ndarray | None = None) -> Log:
    controls = np.zeros((len(poses), 2)) if controls is None else controls
    return Log(np.arange(len(poses)) * dt, poses, controls, dt)


def driven(velocities: np.ndarray, start: np.ndarray, dt: float) -> np.ndarray:
    states = [np.concatenate([start, np.zeros(3)])[None]]
    for velocity in velocities:
        states.append(advance(states[-1], velocity[None], dt))
    return np.concatenate(states)[:, :3]


def numbered(samples: int, dt: float = 0.05) -> Log:
    """A log in which sample i has x = i and the controls (i, -i)."""
    count = np.arange(samples, dtype=float)
    poses = np.stack([count, np.zeros(samples), np.zeros(samples)], axis=1)
    return log_of(poses, dt, np.stack([count, -count], axis=1))


@given(st.integers(0, 10_000), st.integers(2, 30))
def test_velocities_integrate_to_the_poses_and_back(seed, steps):
    rng = np.random.default_rng(seed)
    poses = np.cumsum(rng.normal(size=(steps, 3)), axis=0)
    velocities = body_velocities(poses, 0.05)
    np.testing.assert_allclose(driven(velocities, poses[0], 0.05), poses, atol=1e-9)


@given(speeds, speeds, turns, st.floats(-10, 10))
def test_a_constant_twist_is_recovered_at_the_control_rate(forward, left, turning, heading):
    """Poses on the circle of a twist, recorded at 240 Hz: after smoothing, each control step has the same velocity."""
    rate, every = 240.0, 12
    t = np.arange(20 * every + 1) / rate
    angle = heading + turning * t
    # The pose's exact path, by the closed form of the integral of the turning velocity.
    half = 0.5 * turning * t
    chord = t * np.sinc(half / np.pi)
    x = chord * (np.cos(heading + half) * forward - np.sin(heading + half) * left)
    y = chord * (np.sin(heading + half) * forward + np.cos(heading + half) * left)
    smoothed = smooth(log_of(np.stack([x, y, angle], axis=1), 1 / rate), 0.05)
    found = body_velocities(decimate(smoothed, 0.05).poses, 0.05)
    half_step = 0.5 * turning * 0.05
    shrink = np.sinc(half_step / np.pi)
    expected = [
        shrink * (np.cos(half_step) * forward - np.sin(half_step) * left),
        shrink * (np.sin(half_step) * forward + np.cos(half_step) * left),
        turning,
    ]
    np.testing.assert_allclose(found, np.tile(expected, (20, 1)), atol=2e-3)


@given(st.lists(st.floats(-5, 5), min_size=4, max_size=4), st.sampled_from([0.04, 0.1, 0.2]))
def test_smoothing_leaves_cubics_alone(coefficients, window):
    t = np.arange(100) / 240
    poses = np.stack([np.polyval(coefficients, t)] * 3, axis=1)
    np.testing.assert_allclose(smooth(log_of(poses, 1 / 240), window).poses, poses, atol=1e-9)


def test_smoothing_takes_noise_away_and_leaves_controls():
    rng = np.random.default_rng(0)
    t = np.arange(2400) / 240
    clean = np.stack([np.sin(t), np.cos(t), t], axis=1)
    controls = rng.uniform(-1, 1, (2400, 2))
    smoothed = smooth(log_of(clean + rng.normal(size=clean.shape) * 0.01, 1 / 240, controls), 0.2)
    assert np.abs(smoothed.poses - clean).mean() < 0.4 * np.abs(rng.normal(size=clean.shape) * 0.01).mean()
    np.testing.assert_array_equal(smoothed.controls, controls)


def test_windows_line_up_velocities_controls_and_targets():
    windows = cut_windows(numbered(10), actions=3, steps=2)
    assert len(windows) == 6 and windows.inputs.shape == (6, 9)
    for row, sample in enumerate(range(2, 8)):
        np.testing.assert_array_equal(windows.controls[row, :, 0], [sample - 2, sample - 1, sample, sample + 1])
        np.testing.assert_array_equal(
            windows.inputs[row, 3:], np.ravel([[i, -i] for i in range(sample - 2, sample + 1)])
        )
    np.testing.assert_allclose(windows.targets[..., 0], 20.0)


def test_windows_reach_the_last_sample_and_stay_in_their_log():
    one = cut_windows(numbered(5), actions=1)
    np.testing.assert_array_equal(one.controls[:, 0, 0], [1, 2, 3])
    both = prepare([numbered(5), numbered(4)], dt=0.05, actions=1)
    np.testing.assert_array_equal(both.controls[:, 0, 0], [1, 2, 3, 1, 2])
    assert len(cut_windows(numbered(3), actions=4)) == 0


@given(st.integers(0, 1000))
def test_the_mirror_of_a_mirror_is_the_drive(seed):
    rng = np.random.default_rng(seed)
    poses = np.cumsum(rng.normal(size=(8, 3)), axis=0)
    windows = cut_windows(log_of(poses, 0.05, rng.uniform(-1, 1, (8, 2))), actions=2)
    both = mirrored(windows)
    flipped = cut_windows(
        log_of(poses * [1, -1, -1], 0.05, both.controls[len(windows)][:1].repeat(8, axis=0)), actions=2
    )
    np.testing.assert_allclose(both.velocities[len(windows) :], flipped.velocities, atol=1e-9)
    np.testing.assert_allclose(both.targets[len(windows) :], flipped.targets, atol=1e-9)
    np.testing.assert_array_equal(both.controls[len(windows) :, :, 0], windows.controls[..., 0])
    np.testing.assert_array_equal(both.controls[len(windows) :, :, 1], -windows.controls[..., 1])
    assert len(concatenate([windows, both])) == 3 * len(windows)


def test_decimation_keeps_the_beginning_of_each_control_step():
    kept = decimate(numbered(25, 1 / 240), 0.05)
    np.testing.assert_array_equal(kept.controls[:, 0], [0, 12, 24])
    assert kept.dt == 0.05


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smooth(numbered(100, 1 / 240), 0.01), "too few for order 3"),
        (lambda: smooth(numbered(10, 1 / 240), 0.2), "fewer than the 49 of the smoothing window"),
        (lambda: decimate(numbered(100, 1 / 30), 0.05), "no multiple of the control rate of 20 Hz; resample it"),
        (lambda: decimate(numbered(12, 1 / 240), 0.05), "fewer than two control steps"),
        (lambda: prepare([numbered(5)], dt=0.05, actions=8), "drive for longer"),
    ],
)
def test_bad_input_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()
