import json

import h5py
import numpy as np
import pytest

from dto_agents.demos.dataset import FORMATS, load_demonstrations
from dto_agents.demos.robomimic import Recording, write_demo, write_file

LIFT = "dto/Lift-v0"


def recording(steps, seed):
    rng = np.random.default_rng(seed)
    sizes = dict(zip(FORMATS[LIFT].keys, (10, 3, 4, 2), strict=True))
    return Recording(
        observations={key: rng.normal(size=(steps + 1, size)) for key, size in sizes.items()},
        actions=rng.uniform(-1, 1, (steps, 7)),
        rewards=np.eye(steps)[-1],
        states=rng.normal(size=(steps, 32)),
        attributes={"seed": seed, "init_hash": "ab"},
    )


def fill(item):
    return lambda group: write_demo(group, item)


def test_what_is_written_is_robomimics_layout_and_reads_back(tmp_path):
    items = [recording(4 + k, k) for k in range(12)]
    path = tmp_path / "new" / "demos.hdf5"
    assert write_file(path, {"env_name": "Lift", "type": 1, "env_kwargs": {}}, map(fill, items)) == 12
    with h5py.File(path) as file:
        assert json.loads(file["data"].attrs["env_args"])["env_name"] == "Lift"
        assert file["data"].attrs["total"] == sum(len(item.actions) for item in items)
        demo = file["data/demo_11"]
        assert demo.attrs["num_samples"] == 15 and demo.attrs["seed"] == 11
        np.testing.assert_array_equal(demo["obs/object"][1:], demo["next_obs/object"][:-1])
        np.testing.assert_array_equal(demo["next_obs/object"][-1], items[11].observations["object"][-1])
        assert demo["dones"][()].tolist() == [0] * 14 + [1]
        np.testing.assert_array_equal(demo["states"], items[11].states)
        assert [name.decode() for name in file["mask/valid"]] == ["demo_9"]
        assert len(file["mask/train"]) == 11
    back = load_demonstrations(path, LIFT)
    for item, episode in zip(items, back.episodes, strict=True):
        np.testing.assert_array_equal(episode.actions, item.actions)
        np.testing.assert_array_equal(episode.observations[:, :10], item.observations["object"][:-1])


def test_a_write_that_fails_leaves_nothing(tmp_path):
    def broken(group):
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_file(tmp_path / "demos.hdf5", {}, [fill(recording(3, 0)), broken])
    assert list(tmp_path.iterdir()) == []


def test_the_same_recordings_give_the_same_bytes(tmp_path):
    for name in ("one.hdf5", "two.hdf5"):
        write_file(tmp_path / name, {"env_name": "Lift"}, [fill(recording(5, k)) for k in range(3)])
    assert (tmp_path / "one.hdf5").read_bytes() == (tmp_path / "two.hdf5").read_bytes()
