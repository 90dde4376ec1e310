"""Pictures of demonstrations: drawn from recorded states, read again, and refused where there is nothing to draw."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from dto_agents.demos import pictures
from dto_agents.demos.collect import Collection, collect
from dto_agents.demos.dataset import DemonstrationError, load_demonstrations
from dto_agents.demos.importing import import_demonstrations

CAMERAS = ("agentview", "robot0_eye_in_hand")


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    path = tmp_path_factory.mktemp("demos") / "lift.hdf5"
    collect(Collection("dto/Lift-v0", 2), path)
    return path


class Painter:
    """Stands in for an environment that draws: every picture is of the state that was asked for."""

    def __init__(self):
        self.calls = []

    def reset(self, *, seed, options):
        self.calls.append((seed, options["state"]))
        value = np.uint8(abs(hash(options["state"].tobytes())) % 256)
        return {camera: np.full((8, 8, 3), value, dtype=np.uint8) for camera in CAMERAS}, {}

    @property
    def observation_space(self):
        import gymnasium

        box = gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8)
        return gymnasium.spaces.Dict(dict.fromkeys(CAMERAS, box))

    def close(self):
        pass


def test_every_recorded_state_is_drawn_and_all_else_is_kept(collected, tmp_path, monkeypatch):
    painter = Painter()
    monkeypatch.setattr("gymnasium.make", lambda env_id, obs_type: painter)
    out, reports = tmp_path / "drawn.hdf5", []
    assert pictures.draw_demonstrations(collected, out, report=lambda *counts: reports.append(counts)) == CAMERAS
    before, after = (load_demonstrations(path, "dto/Lift-v0") for path in (collected, out))
    assert reports == [(1, 2), (2, 2)] and len(painter.calls) == before.steps
    for one, other in zip(before.episodes, after.episodes, strict=True):
        np.testing.assert_array_equal(one.actions, other.actions)
        np.testing.assert_array_equal(one.observations, other.observations)
    read = pictures.load_pictures(out, "dto/Lift-v0", CAMERAS)
    assert [picture.shape for picture in read] == [(len(e), 2, 8, 8, 3) for e in before.episodes]
    with h5py.File(collected) as file:
        states = np.concatenate([file[f"data/demo_{k}/states"][()] for k in range(2)])  # type: ignore[index]
        seeds = [int(file[f"data/demo_{k}"].attrs["seed"]) for k in range(2)]  # type: ignore[arg-type]
    np.testing.assert_array_equal([state for _, state in painter.calls], states)
    assert [seed for seed, _ in painter.calls if seed is not None] == seeds


def test_what_cannot_be_drawn_is_refused(collected, tmp_path):
    with pytest.raises(DemonstrationError, match="dto-demos draw"):
        pictures.load_pictures(collected, "dto/Lift-v0", CAMERAS)
    with pytest.raises(DemonstrationError, match="is there already"):
        pictures.draw_demonstrations(collected, collected)
    with pytest.raises(DemonstrationError, match="--episodes must be at least 1"):
        pictures.draw_demonstrations(collected, tmp_path / "x.hdf5", episodes=0)
    with pytest.raises(DemonstrationError, match="nothing at"):
        pictures.draw_demonstrations(tmp_path / "none.hdf5", tmp_path / "x.hdf5")


def test_recorded_pictures_of_push_t_are_read_from_either_file(pusht_zarr, tmp_path):
    read = pictures.load_pictures(pusht_zarr, "dto/PushT-v0", ("image",))
    assert [picture.shape for picture in read] == [(30, 1, 96, 96, 3), (20, 1, 96, 96, 3)]
    copy, blind = tmp_path / "with.hdf5", tmp_path / "without.hdf5"
    import_demonstrations(pusht_zarr, lambda env_id: copy, images=True)
    import_demonstrations(pusht_zarr, lambda env_id: blind)
    for one, other in zip(read, pictures.load_pictures(copy, "dto/PushT-v0", ("image",)), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(DemonstrationError, match="no pictures of image; import the recording again.* --images"):
        pictures.load_pictures(blind, "dto/PushT-v0", ("image",))
