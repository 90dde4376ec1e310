import numpy as np
import pytest

from dto_agents.rc_car.driving import Drive, Recordings, cut_trajectories, drive, write_log
from dto_agents.rc_car.reading import read_log
from dto_envs.rc_car import car

SHORT = Drive(duration_s=90.0)


@pytest.fixture(scope="module")
def driven():
    return drive(SHORT, 3)


def test_the_same_seed_drives_the_same_way(driven):
    again, other = drive(SHORT, 3), drive(SHORT, 4)
    np.testing.assert_array_equal(driven.log.poses, again.log.poses)
    np.testing.assert_array_equal(driven.log.controls, again.log.controls)
    assert not np.array_equal(driven.log.controls, other.log.controls)


def test_the_car_stays_in_the_hall_and_controls_in_their_range(driven):
    assert np.all(np.abs(driven.true.poses[:, :2]) < np.array(SHORT.area_m) / 2)
    assert np.abs(driven.log.controls).max() <= 1
    held = driven.log.controls.reshape(-1, SHORT.substeps, 2)
    np.testing.assert_array_equal(held, held[:, :1].repeat(SHORT.substeps, axis=1))


def test_the_drive_has_all_kinds_of_driving(driven):
    """Forward and backward, fast, at rest, gripping and sliding, both ways round; never long in one place."""
    poses = driven.true.poses[:: SHORT.substeps]
    along = np.diff(poses[:, :2], axis=0) / SHORT.dt
    forward = along[:, 0] * np.cos(poses[:-1, 2]) + along[:, 1] * np.sin(poses[:-1, 2])
    turning = np.diff(poses[:, 2]) / SHORT.dt
    assert forward.max() > 2 and forward.min() < -1
    assert turning.max() > 3 and turning.min() < -3
    assert 0.03 < np.mean(np.abs(driven.slip) > 0.4) < 0.5
    stands = np.hypot(*along.T) < 0.05
    assert 0 < stands.mean() < 0.2


def test_the_recording_is_the_drive_with_noise(driven):
    noise = driven.log.poses - driven.true.poses
    np.testing.assert_allclose(noise.std(axis=0), [0.001, 0.001, 0.01], rtol=0.05)
    np.testing.assert_array_equal(driven.log.controls, driven.true.controls)


def test_the_drive_is_what_the_car_does(driven):
    """From rest, the analytic car under the recorded controls takes the recorded path, at the control rate too."""
    steps = 200
    start = car.initial_state(driven.true.poses[:1], np.zeros((1, 3)))
    controls = driven.true.controls[None, : steps * SHORT.substeps : SHORT.substeps]
    path = car.rollout(start, controls, SHORT.dt)[0]
    recorded = driven.true.poses[: (steps + 1) * SHORT.substeps : SHORT.substeps]
    np.testing.assert_allclose(path[:, car.POSE], recorded, atol=1e-6)


def test_half_of_the_trajectories_drift():
    plan = Drive()
    trajectories = cut_trajectories(plan, 5, count=6, seconds=3.0)
    assert len(trajectories) == 6
    assert {len(log) for log in trajectories} == {round(3.5 * plan.rate_hz) + 1}
    slips = []
    for log in trajectories:
        poses = log.poses[120 :: plan.substeps]
        along = np.diff(poses[:, :2], axis=0)
        travel = np.arctan2(along[:, 1], along[:, 0])
        middle = (poses[1:, 2] + poses[:-1, 2]) / 2
        slip = np.abs(np.arctan(np.tan(travel - middle)))
        slips.append(np.mean(slip[np.hypot(*along.T) > 0.4 * plan.dt] > 0.45))
    assert min(slips[:3]) > max(slips[3:])


def test_recordings_are_read_back_as_they_were_written(tmp_path):
    driven = drive(Drive(duration_s=3.0), 1).log
    path = write_log(tmp_path / "log.npz", [driven.part(0, 300), driven.part(360, 700)])
    recording = read_log(path)
    assert len(recording.pieces) == 2
    for piece, (start, stop) in zip(recording.pieces, [(0, 300), (360, 700)], strict=True):
        np.testing.assert_array_equal(piece.poses, driven.poses[start:stop])
        np.testing.assert_array_equal(piece.controls, driven.controls[start:stop])
        assert piece.dt == driven.dt


def test_three_recordings_are_made_of_different_driving(tmp_path):
    made = Recordings.make(Drive(duration_s=5.0), 7, count=2)
    paths = made.write(tmp_path / "new")
    assert [path.name for path in paths] == ["train.npz", "test.npz", "validation.npz"]
    assert len(read_log(paths[2]).pieces) == 2
    assert not np.array_equal(made.train.controls[:1200], made.test.controls[:1200])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"duration_s": 0.05}, "shorter than two control steps"),
        ({"rate_hz": 110.0}, "no multiple of the control rate"),
        ({"area_m": (1.0, 10.0)}, "too small to brake in"),
    ],
)
def test_drives_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Drive(**wrong)


def test_too_few_trajectories_are_told():
    with pytest.raises(ValueError, match="pass another seed or fewer"):
        cut_trajectories(Drive(tremor=0.0), 1, count=2, seconds=20.0)
