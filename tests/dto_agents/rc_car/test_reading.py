import csv

import numpy as np
import pytest

from dto_agents.rc_car.logs import body_velocities
from dto_agents.rc_car.reading import COLUMNS, LogError, read_log

RATE = 30


@pytest.fixture
def drive():
    """Three seconds of a circle of radius 1 m at 2 m/s, the heading passing pi: columns (N, 6)."""
    t = np.arange(3 * RATE + 1) / RATE
    heading = 2 * t
    controls = np.stack([np.sin(3 * t), np.cos(5 * t)], axis=1)
    return np.column_stack([t, np.sin(heading), 1 - np.cos(heading), heading, controls])


def save_npz(path, columns, **extra):
    np.savez(path, **dict(zip(COLUMNS, columns.T, strict=True)), **extra)
    return path


def save_csv(path, columns, header=COLUMNS):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(columns.tolist())
    return path


def save_eth(path, columns, keep=slice(None)):
    poses = columns[:, 1:4].copy()
    poses[:, 2] = np.arctan2(np.sin(poses[:, 2]), np.cos(poses[:, 2]))
    rest = np.full((len(poses) - 1, 9), 77.0)
    observation = np.hstack([poses[:-1], rest])[keep]
    following = np.hstack([poses[1:], rest])[keep]
    np.savez(path, observation=observation, action=columns[:-1, [5, 4]][keep], next_observation=following)
    return path


def test_a_clean_log_passes_unchanged(tmp_path, drive):
    recording = read_log(save_npz(tmp_path / "log.npz", drive))
    (log,) = recording.pieces
    assert recording.repairs == ()
    assert log.dt == 1 / RATE
    np.testing.assert_array_equal(np.column_stack([log.t, log.poses, log.controls]), drive)


def test_csv_and_npz_agree_and_headers_may_be_in_any_order_and_case(tmp_path, drive):
    order = [3, 0, 5, 2, 1, 4]
    path = save_csv(tmp_path / "log.csv", drive[:, order], [COLUMNS[i].upper() for i in order])
    (log,) = read_log(path).pieces
    np.testing.assert_array_equal(np.column_stack([log.t, log.poses, log.controls]), drive)


def test_a_wrapped_heading_is_unwrapped_and_its_yaw_rate_has_no_spike(tmp_path, drive):
    wrapped = drive.copy()
    wrapped[:, 3] = np.arctan2(np.sin(drive[:, 3]), np.cos(drive[:, 3]))
    recording = read_log(save_npz(tmp_path / "log.npz", wrapped, omega=np.zeros(len(drive))))
    np.testing.assert_allclose(body_velocities(recording.pieces[0].poses, 1 / RATE)[:, 2], 2.0, atol=1e-9)
    assert any("unwrapped" in repair for repair in recording.repairs)
    assert any("recomputed omega" in repair for repair in recording.repairs)


def test_eth_layout_swaps_the_actions_and_ignores_recorded_velocities(tmp_path, drive):
    recording = read_log(save_eth(tmp_path / "log.npz", drive))
    (log,) = recording.pieces
    np.testing.assert_allclose(log.poses, drive[:-1, 1:4], atol=1e-12)
    np.testing.assert_array_equal(log.controls, drive[:-1, 4:])
    assert log.dt == 1 / RATE


def test_eth_layout_is_cut_where_a_transition_does_not_lead_to_the_next(tmp_path, drive):
    keep = np.r_[0:40, 50:90]
    recording = read_log(save_eth(tmp_path / "log.npz", drive, keep))
    assert [len(piece) for piece in recording.pieces] == [40, 40]


@pytest.mark.parametrize("column", [1, 3])
def test_a_spike_is_left_out_and_filled_in(tmp_path, drive, column):
    spiked = drive.copy()
    spiked[50, column] += 2.0
    recording = read_log(save_npz(tmp_path / "log.npz", spiked))
    (log,) = recording.pieces
    assert any("jumped away and back" in repair for repair in recording.repairs)
    assert len(log) == len(drive)
    np.testing.assert_allclose(log.poses, drive[:, 1:4], atol=0.01)
    np.testing.assert_array_equal(log.controls[51:], drive[51:, 4:])


def test_short_gaps_are_filled_and_long_ones_cut(tmp_path, drive):
    keep = np.delete(np.arange(len(drive)), [20, *range(45, 52)])
    recording = read_log(save_npz(tmp_path / "log.npz", drive[keep]))
    assert [len(piece) for piece in recording.pieces] == [45, len(drive) - 52]
    np.testing.assert_allclose(recording.pieces[0].poses[20], drive[20, 1:4], atol=0.005)
    np.testing.assert_array_equal(recording.pieces[0].controls[20], drive[19, 4:])
    assert any("cut the log at 1 gap" in repair for repair in recording.repairs)
    assert any("filled 1 gap" in repair for repair in recording.repairs)


def test_samples_that_are_no_numbers_and_repeated_times_are_left_out(tmp_path, drive):
    damaged = np.insert(drive, 30, drive[29], axis=0)
    damaged[60, 2] = np.nan
    recording = read_log(save_csv(tmp_path / "log.csv", damaged))
    (log,) = recording.pieces
    assert len(log) == len(drive)
    np.testing.assert_allclose(log.poses, drive[:, 1:4], atol=0.005)
    assert any("not finite" in repair for repair in recording.repairs)
    assert any("same time" in repair for repair in recording.repairs)


def test_a_pose_that_jumps_for_good_cuts_the_log(tmp_path, drive):
    drive[45:, 1] += 3.0
    recording = read_log(save_npz(tmp_path / "log.npz", drive))
    assert [len(piece) for piece in recording.pieces] == pytest.approx([45, 46], abs=1)
    for piece in recording.pieces:
        assert np.abs(np.diff(piece.poses[:, 0])).max() < 0.1
    assert any("1 jump(s) of the pose" in repair for repair in recording.repairs)


def test_rounded_times_are_even_but_shaken_ones_are_resampled(tmp_path, drive):
    rounded = drive.copy()
    rounded[:, 0] = np.round(rounded[:, 0], 3)
    recording = read_log(save_npz(tmp_path / "rounded.npz", rounded))
    assert recording.repairs == ()
    np.testing.assert_allclose(recording.pieces[0].dt, 1 / RATE, rtol=1e-3)
    shaken = drive.copy()
    shaken[1:-1, 0] += np.random.default_rng(0).uniform(-0.3, 0.3, len(drive) - 2) / RATE
    shaken[:, 1], shaken[:, 2], shaken[:, 3] = np.sin(2 * shaken[:, 0]), 1 - np.cos(2 * shaken[:, 0]), 2 * shaken[:, 0]
    recording = read_log(save_npz(tmp_path / "shaken.npz", shaken))
    (log,) = recording.pieces
    assert any("resampled" in repair for repair in recording.repairs)
    np.testing.assert_allclose(log.poses[:, 2], 2 * log.t, atol=1e-9)


def test_a_log_is_resampled_to_the_rate_asked_for(tmp_path, drive):
    (log,) = read_log(save_npz(tmp_path / "log.npz", drive), rate=20).pieces
    assert log.dt == 1 / 20
    assert len(log) == 3 * 20 + 1
    np.testing.assert_allclose(log.poses[:, 2], 2 * log.t, atol=1e-9)
    with pytest.raises(LogError, match="pass a lower rate"):
        read_log(tmp_path / "log.npz", rate=60)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d[:20], "no 1 s of uninterrupted driving"),
        (lambda d: d[:2], "2 samples with finite numbers"),
        (lambda d: d * [1, 100, 100, 1, 1, 1], "x and y must be in m"),
        (lambda d: d[::-1], "time runs backwards"),
        (lambda d: d * [6, 1, 1, 1, 1, 1], "a sample every 0.2 s"),
        (lambda d: d * [0, 1, 1, 1, 1, 1], "same time"),
        (lambda d: d * [1, 1, 1, 1, 1, 30], "divide each by its largest command"),
        (lambda d: np.column_stack([d[:, :3], np.degrees(d[:, 3] + 1) % 360, d[:, 4:]]), "in degrees"),
        (
            lambda d: d + np.array([0, 1, 1, 0, 0, 0]) * np.random.default_rng(0).normal(0, 1, (len(d), 1)),
            "jump by more",
        ),
    ],
)
def test_what_cannot_be_repaired_is_one_clear_error(tmp_path, drive, damage, message):
    with pytest.raises(LogError, match=message):
        read_log(save_npz(tmp_path / "log.npz", damage(drive)))


def test_columns_that_are_missing_are_named_with_what_there_is(tmp_path, drive):
    path = save_csv(tmp_path / "log.csv", drive, ["time", "x", "y", "yaw", "throttle", "steer"])
    with pytest.raises(LogError, match=r"lacks t, heading, steering; it has time, x, y, yaw.*'steer' 'steering'"):
        read_log(path)


def test_other_columns_are_ignored_and_told(tmp_path, drive):
    recording = read_log(save_npz(tmp_path / "log.npz", drive, battery=np.ones(len(drive))))
    assert recording.repairs == ("ignored the columns battery",)


def test_files_of_another_kind_are_refused(tmp_path, drive):
    (tmp_path / "log.bag").touch()
    (tmp_path / "log.npz").write_bytes(b"no archive")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "torn.csv").write_text(",".join(COLUMNS) + "\n0,0,0\n")
    (tmp_path / "words.csv").write_text(",".join(COLUMNS) + "\n0,0,zero,0,0,0\n")
    np.savez(tmp_path / "odd.npz", observation=np.zeros((5, 2)), action=np.zeros((5, 2)))
    for name, message in [
        ("log.bag", "neither .csv nor .npz"),
        ("log.npz", "not an npz file"),
        ("empty.csv", "is empty"),
        ("torn.csv", "line 2 of torn.csv has 3 cells"),
        ("words.csv", "has 'zero' for 'y'"),
        ("odd.npz", "must hold observation"),
    ]:
        with pytest.raises(LogError, match=message):
            read_log(tmp_path / name)
