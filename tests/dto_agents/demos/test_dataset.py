import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr

from dto_agents.demos.dataset import DemonstrationError, environment_of, load_demonstrations

LIFT = "dto/Lift-v0"


def test_a_robomimic_file_becomes_state_observations_in_numerical_order(robomimic_file):
    demonstrations = load_demonstrations(robomimic_file, LIFT)
    assert [len(episode) for episode in demonstrations.episodes] == [12, 9, 15]
    assert demonstrations.steps == 36
    with h5py.File(robomimic_file) as file:
        demo = file["data/demo_10"]
        keys = ("object", "robot0_eef_pos", "robot0_eef_quat", "robot0_gripper_qpos")
        expected = np.concatenate([demo[f"obs/{key}"][()] for key in keys], axis=1)
        np.testing.assert_array_equal(demonstrations.episodes[2].observations, expected)
        np.testing.assert_array_equal(demonstrations.episodes[2].actions, demo["actions"][()])
    assert demonstrations.episodes[0].observations.dtype == np.float64


def test_a_mask_selects_its_episodes(robomimic_file):
    assert [len(e) for e in load_demonstrations(robomimic_file, LIFT, mask="train").episodes] == [9, 15]
    assert [len(e) for e in load_demonstrations(robomimic_file, LIFT, mask="valid").episodes] == [12]
    with pytest.raises(DemonstrationError, match="no subset 'test'; it has: train, valid"):
        load_demonstrations(robomimic_file, LIFT, mask="test")


def test_push_t_observations_are_agent_and_keypoints(pusht_zarr):
    demonstrations = load_demonstrations(pusht_zarr, "dto/PushT-v0")
    assert [episode.observations.shape for episode in demonstrations.episodes] == [(30, 20), (20, 20)]
    root = zarr.open(str(pusht_zarr), mode="r")
    last = demonstrations.episodes[1]
    np.testing.assert_array_equal(last.observations[-1, :2], root["data/state"][-1, :2])
    np.testing.assert_array_equal(last.observations[-1, 2:].reshape(9, 2), root["data/keypoint"][-1])
    np.testing.assert_array_equal(last.actions, root["data/action"][30:])


def test_the_environment_is_read_from_the_file(robomimic_file, pusht_zarr, make_robomimic, tmp_path):
    assert environment_of(robomimic_file) == LIFT
    assert environment_of(pusht_zarr) == "dto/PushT-v0"
    with pytest.raises(DemonstrationError, match="holds demonstrations of TwoArmLift"):
        environment_of(make_robomimic(tmp_path / "other.hdf5", env_name="TwoArmLift"))


def test_nothing_there(tmp_path):
    with pytest.raises(DemonstrationError, match="dto-demos collect --env dto/Lift-v0"):
        load_demonstrations(tmp_path / "none.hdf5", LIFT)


def test_files_of_another_environment_or_kind(robomimic_file, pusht_zarr, tmp_path):
    with pytest.raises(DemonstrationError, match="demonstrations of Lift, not of PickPlaceCan"):
        load_demonstrations(robomimic_file, "dto/Can-v0")
    with pytest.raises(DemonstrationError, match="needs a robomimic HDF5 file"):
        load_demonstrations(pusht_zarr, LIFT)
    text = tmp_path / "notes.txt"
    text.write_text("not a data set")
    with pytest.raises(DemonstrationError, match="is not an HDF5 file"):
        load_demonstrations(text, LIFT)
    with h5py.File(tmp_path / "foreign.hdf5", "w") as file:
        file["weights"] = np.zeros(3)
    with pytest.raises(DemonstrationError, match="no group 'data'"):
        load_demonstrations(tmp_path / "foreign.hdf5", LIFT)
    with h5py.File(tmp_path / "unnamed.hdf5", "w") as file:
        file.create_group("data/demo_0")
    with pytest.raises(DemonstrationError, match="env_args"):
        load_demonstrations(tmp_path / "unnamed.hdf5", LIFT)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_file_is_called_so(robomimic_file, share):
    os.truncate(robomimic_file, int(share * robomimic_file.stat().st_size))
    with pytest.raises(DemonstrationError, match="truncated or damaged"):
        load_demonstrations(robomimic_file, LIFT)


def damage(path, name, values):
    with h5py.File(path, "r+") as file:
        del file[name]
        if values is not None:
            file[name] = values


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("data/demo_2/actions", None, "data/demo_2 has no actions"),
        ("data/demo_2/obs/object", None, "data/demo_2 has no object"),
        ("data/demo_2/obs/object", np.zeros((8, 10)), r"differ in length: \[8, 9\]"),
        ("data/demo_2/obs/object", np.zeros((9, 14)), "subset train, episode 0: observations .* has 19 numbers a step"),
        ("data/demo_2/obs/object", np.full((9, 10), np.nan), "NaN or infinite"),
        ("data/demo_2/actions", np.zeros((9, 6)), r"expected \(9, 7\)"),
        ("mask/train", np.array([b"demo_7"]), "names demo_7, which the file does not hold"),
    ],
)
def test_what_does_not_fit_is_named(robomimic_file, name, values, message):
    damage(robomimic_file, name, values)
    with pytest.raises(DemonstrationError, match=message):
        load_demonstrations(robomimic_file, LIFT, mask="train")


def test_a_zarr_with_missing_chunks_is_called_truncated(pusht_zarr):
    (pusht_zarr / "data" / "state" / "1.0").unlink()
    with pytest.raises(DemonstrationError, match="data/state misses 1 of its 4 chunks"):
        load_demonstrations(pusht_zarr, "dto/PushT-v0")


def test_a_zarr_that_is_shorter_than_it_says(pusht_zarr):
    root = zarr.open(str(pusht_zarr), mode="r+")
    root["data/action"].resize(40, 2)
    with pytest.raises(DemonstrationError, match="holds 40 steps, meta/episode_ends promises 50"):
        load_demonstrations(pusht_zarr, "dto/PushT-v0")


@pytest.mark.parametrize("part", ["data/keypoint", "meta"])
def test_a_directory_that_is_no_replay_buffer(pusht_zarr, part):
    shutil.rmtree(pusht_zarr / part)
    with pytest.raises(DemonstrationError, match="is not a Push-T replay buffer"):
        load_demonstrations(pusht_zarr, "dto/PushT-v0")


def test_the_real_push_t_demonstrations():
    path = os.environ.get("DTO_PUSHT_ZARR")
    if not path:
        pytest.skip("DTO_PUSHT_ZARR does not name the Push-T replay buffer")
    demonstrations = load_demonstrations(Path(path), "dto/PushT-v0")
    assert (len(demonstrations.episodes), demonstrations.steps) == (206, 25650)
