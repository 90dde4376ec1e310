"""Small demonstration files in other projects' formats, written by the tests themselves."""

import json

import h5py
import numpy as np
import pytest
import zarr


def write_robomimic(path, env_name="Lift", lengths=(12, 9, 15), image=False, state=True, version="1.4.1", seed=0):
    """A file as robomimic's own tools write it: more observation keys than needed, demo_10 before demo_2 in order."""
    rng = np.random.default_rng(seed)
    sizes = {"object": 10 if env_name == "Lift" else 14, "robot0_eef_pos": 3, "robot0_eef_quat": 4}
    sizes |= {"robot0_gripper_qpos": 2, "robot0_joint_pos": 7}
    numbers = [0, 2, 10][: len(lengths)]
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps({"env_name": env_name, "type": 1, "env_version": version, "env_kwargs": {}})
        data.attrs["total"] = sum(lengths)
        for number, steps in zip(numbers, lengths, strict=True):
            demo = data.create_group(f"demo_{number}")
            demo.attrs["num_samples"] = steps
            demo.attrs["model_file"] = "<mujoco/>"
            demo["actions"] = rng.uniform(-1, 1, (steps, 7))
            demo["rewards"] = np.zeros(steps)
            demo["dones"] = np.zeros(steps, dtype=np.int64)
            demo["states"] = rng.normal(size=(steps, 32))
            for side in ("obs", "next_obs"):
                for key, size in sizes.items():
                    if state or key != "object":
                        demo[f"{side}/{key}"] = rng.normal(size=(steps, size))
                if image:
                    demo[f"{side}/agentview_image"] = rng.integers(0, 255, (steps, 8, 8, 3)).astype(np.uint8)
        file["mask/train"] = np.array([f"demo_{number}" for number in numbers[1:]], dtype="S8")
        file["mask/valid"] = np.array([f"demo_{numbers[0]}"], dtype="S8")
    return path


def write_pusht(path, lengths=(30, 20), seed=0):
    """A directory as Diffusion Policy publishes it."""
    rng = np.random.default_rng(seed)
    total = sum(lengths)
    root = zarr.open(str(path), mode="w")
    state = np.concatenate([rng.uniform(100, 400, (total, 4)), rng.uniform(0, 6, (total, 1))], axis=1)
    arrays = {
        "action": state[:, :2] + 5,
        "state": state,
        "keypoint": rng.uniform(100, 400, (total, 9, 2)),
        "img": rng.integers(0, 255, (total, 96, 96, 3)),
    }
    for name, values in arrays.items():
        root.create_dataset(f"data/{name}", data=values.astype(np.float32), chunks=(16, *values.shape[1:]))
    root.create_dataset("meta/episode_ends", data=np.cumsum(lengths))
    return path


@pytest.fixture
def robomimic_file(tmp_path):
    return write_robomimic(tmp_path / "low_dim.hdf5")


@pytest.fixture
def pusht_zarr(tmp_path):
    return write_pusht(tmp_path / "pusht.zarr")


@pytest.fixture
def make_robomimic():
    return write_robomimic


@pytest.fixture
def make_pusht():
    return write_pusht
