import os

import h5py
import numpy as np
import pytest

from dto_agents.demos.dataset import DemonstrationError, load_demonstrations
from dto_agents.demos.importing import import_demonstrations

LIFT = "dto/Lift-v0"


def to(path):
    return lambda env_id: path


def test_a_low_dim_file_keeps_its_numbers_and_its_subsets(robomimic_file, tmp_path):
    out = tmp_path / "mine.hdf5"
    imported = import_demonstrations(robomimic_file, to(out))
    assert (imported.env_id, imported.episodes, imported.state, imported.images) == (LIFT, 3, True, ())
    assert "robosuite 1.4.1" in imported.notes[0]
    for mask in (None, "train", "valid"):
        theirs = load_demonstrations(robomimic_file, LIFT, mask=mask)
        mine = load_demonstrations(out, LIFT, mask=mask)
        assert len(theirs.episodes) == len(mine.episodes)
        for a, b in zip(theirs.episodes, mine.episodes, strict=True):
            np.testing.assert_array_equal(a.observations, b.observations)
            np.testing.assert_array_equal(a.actions, b.actions)
    with h5py.File(out) as file:
        assert set(file["data"]) == {"demo_0", "demo_1", "demo_2"}
        assert "robot0_joint_pos" not in file["data/demo_0/obs"]
        assert file["data/demo_2"].attrs["model_file"] == "<mujoco/>"
        assert file["data"].attrs["total"] == 36


def test_images_come_along_when_asked_for(make_robomimic, tmp_path):
    source = make_robomimic(tmp_path / "image.hdf5", image=True, version="1.5.1")
    without = import_demonstrations(source, to(tmp_path / "without.hdf5"))
    assert (without.state, without.images, without.notes) == (True, (), ())
    with_images = import_demonstrations(source, to(tmp_path / "with.hdf5"), images=True)
    assert with_images.images == ("agentview_image",)
    with h5py.File(source) as theirs, h5py.File(tmp_path / "with.hdf5") as mine:
        for side in ("obs", "next_obs"):
            np.testing.assert_array_equal(
                theirs[f"data/demo_10/{side}/agentview_image"][()], mine[f"data/demo_2/{side}/agentview_image"][()]
            )


def test_a_file_of_images_alone_needs_the_option(make_robomimic, tmp_path):
    source = make_robomimic(tmp_path / "image.hdf5", image=True, state=False)
    with pytest.raises(DemonstrationError, match="agentview_image: import them with --images"):
        import_demonstrations(source, to(tmp_path / "mine.hdf5"))
    assert not (tmp_path / "mine.hdf5").exists()
    imported = import_demonstrations(source, to(tmp_path / "mine.hdf5"), images=True)
    assert (imported.state, imported.images) == (False, ("agentview_image",))
    with pytest.raises(DemonstrationError, match="has no object"):
        load_demonstrations(tmp_path / "mine.hdf5", LIFT)


def test_push_t_becomes_hdf5_with_the_same_numbers(pusht_zarr, tmp_path):
    out = tmp_path / "pusht.hdf5"
    imported = import_demonstrations(pusht_zarr, to(out), images=True)
    assert (imported.env_id, imported.episodes, imported.images) == ("dto/PushT-v0", 2, ("image",))
    theirs, mine = (load_demonstrations(path, "dto/PushT-v0") for path in (pusht_zarr, out))
    for a, b in zip(theirs.episodes, mine.episodes, strict=True):
        np.testing.assert_array_equal(a.observations, b.observations)
        np.testing.assert_array_equal(a.actions, b.actions)
    with h5py.File(out) as file:
        demo = file["data/demo_1"]
        assert demo["states"].shape == (20, 5)
        assert demo["obs/image"].dtype == np.uint8 and demo["obs/image"].shape == (20, 96, 96, 3)
        np.testing.assert_array_equal(demo["obs/agent_pos"][1:], demo["next_obs/agent_pos"][:-1])
        assert ((demo["rewards"][()] >= 0) & (demo["rewards"][()] <= 1)).all()


def test_the_rewards_of_push_t_are_the_environments(make_pusht, tmp_path):
    import gymnasium
    import zarr

    import dto_envs  # noqa: F401

    source = make_pusht(tmp_path / "pusht.zarr", lengths=(3,))
    root = zarr.open(str(source), mode="r+")
    poses = np.array([[100, 100, 300, 300, 0.5], [100, 100, 270, 262, 0.7], [100, 100, 256, 256, np.pi / 4]])
    root["data/state"][:] = poses
    import_demonstrations(source, to(tmp_path / "mine.hdf5"))
    env = gymnasium.make("dto/PushT-v0")
    with h5py.File(tmp_path / "mine.hdf5") as file:
        rewards = file["data/demo_0/rewards"][()]
    assert rewards[1] == pytest.approx(1.0)
    for reward, pose in zip(rewards[:1], poses[1:2], strict=True):
        env.reset(options={"state": pose})
        assert reward == pytest.approx(env.step(pose[:2])[1], abs=1e-3)
    env.close()


def test_nothing_is_overwritten_and_nothing_half_written(robomimic_file, tmp_path):
    out = tmp_path / "mine.hdf5"
    out.write_text("precious")
    with pytest.raises(DemonstrationError, match="is there already"):
        import_demonstrations(robomimic_file, to(out))
    assert out.read_text() == "precious"
    with h5py.File(robomimic_file, "r+") as file:
        file["data/demo_10/actions"][3, 0] = np.inf
    with pytest.raises(DemonstrationError, match="demo_10: actions must be finite"):
        import_demonstrations(robomimic_file, to(tmp_path / "other.hdf5"))
    assert not list(tmp_path.glob("other*"))


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_truncated_sources(robomimic_file, tmp_path, share):
    os.truncate(robomimic_file, int(share * robomimic_file.stat().st_size))
    with pytest.raises(DemonstrationError, match="truncated or damaged"):
        import_demonstrations(robomimic_file, to(tmp_path / "mine.hdf5"))
    assert not list(tmp_path.glob("mine*"))


def test_foreign_sources(robomimic_file, pusht_zarr, tmp_path):
    out = to(tmp_path / "mine.hdf5")
    with pytest.raises(DemonstrationError, match="there is nothing at"):
        import_demonstrations(tmp_path / "none", out)
    with pytest.raises(DemonstrationError, match="of Lift, not of NutAssemblySquare"):
        import_demonstrations(robomimic_file, out, env_id="dto/Square-v0")
    with pytest.raises(DemonstrationError, match="not dto/Lift-v0"):
        import_demonstrations(pusht_zarr, out, env_id=LIFT)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DemonstrationError, match="is not a Push-T replay buffer"):
        import_demonstrations(tmp_path / "empty", out)
    assert not list(tmp_path.glob("mine*"))
