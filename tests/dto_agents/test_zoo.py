"""The zoo: members are found, verified and named; what is missing or damaged says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dto_agents import zoo
from dto_envs.registry import UnknownEnvError

PUSHT = "dto/PushT-v0"


@pytest.fixture
def copied(tiny_zoo: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_zoo, tmp_path / "zoo"))


def test_members_come_by_seed_with_their_hash(tiny_zoo):
    entries = zoo.list_members("diffusion", PUSHT, tiny_zoo)
    assert [(entry.name, entry.seed) for entry in entries] == [("seed42", 42), ("seed142", 142)]
    assert entries[0].label == "PushT/diffusion/seed42.safetensors"
    assert entries[0].card["data"]["episodes"] and entries[0].card["measured"] is None
    assert entries[0].sha256 != entries[1].sha256


def test_a_measurement_is_noted_in_the_card_alone(copied):
    before = zoo.find_member("diffusion", PUSHT, "seed42", copied)
    zoo.note_measurement(before, {"score": 0.5, "episodes": 10})
    after = zoo.find_member("diffusion", PUSHT, "seed42", copied)
    assert after.card["measured"] == {"score": 0.5, "episodes": 10}
    assert after.sha256 == before.sha256 and after.card["data"] == before.card["data"]


def test_missing_weights_name_the_command(tmp_path):
    with pytest.raises(zoo.MissingWeightsError, match="dto-train --agent diffog --env dto/Lift-v0"):
        zoo.list_members("diffog", "dto/Lift-v0", tmp_path)
    with pytest.raises(UnknownEnvError):
        zoo.list_members("diffusion", "dto/Pusht", tmp_path)


def test_unknown_member_lists_those_there_are(tiny_zoo):
    with pytest.raises(zoo.MissingWeightsError, match="seed42, seed142"):
        zoo.find_member("diffusion", PUSHT, "seed7", tiny_zoo)


def test_a_changed_byte_is_noticed(copied):
    path = zoo.member_path("diffusion", PUSHT, 42, copied)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(zoo.DamagedWeightsError, match="its card says"):
        zoo.list_members("diffusion", PUSHT, copied)


@pytest.mark.parametrize("card", [None, "{", "[]", json.dumps({"agent": "diffusion"})])
def test_a_missing_or_broken_card_is_noticed(copied, card):
    path = zoo.member_path("diffusion", PUSHT, 42, copied).with_suffix(".json")
    path.unlink() if card is None else path.write_text(card)
    with pytest.raises(zoo.DamagedWeightsError, match="card"):
        zoo.list_members("diffusion", PUSHT, copied)


def test_files_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    zoo.write(path, {"x": torch.ones(2)}, {"kind": "matrix"}, {})
    assert zoo.read(path, "matrix")[1]["x"].dtype == torch.float32
    with pytest.raises(zoo.DamagedWeightsError, match="does not hold weights of 'diffusion'"):
        zoo.read(path, "diffusion")
    path.write_bytes(b"not safetensors")
    with pytest.raises(zoo.DamagedWeightsError, match="cannot read"):
        zoo.read(path, "diffusion")


@given(arrays(np.float32, (3, 4), elements=st.floats(-50, 50, width=32)), st.booleans())
@example(np.full((3, 4), 2**-24, np.float32), True)
@example(np.full((3, 4), 127 * 1.49 * 2**-24, np.float32), True)
def test_rounded_weights_are_within_half_a_step(tmp_path_factory, values, int8):
    path = tmp_path_factory.mktemp("zoo") / "a.safetensors"
    matrix = torch.from_numpy(values)
    tensors = {"matrix": matrix, "vector": matrix[0], "convolution": matrix.view(3, 2, 2), "exact": matrix.double()}
    zoo.write(path, tensors, {"kind": "matrix"}, {}, int8=int8)
    found = zoo.read(path, "matrix")[1]
    assert {name: value.dtype for name, value in found.items()} == {
        name: value.dtype for name, value in tensors.items()
    }
    assert found["exact"].equal(tensors["exact"])
    assert found["vector"].equal(matrix[0].half().float())
    # A scale is a largest entry over 127, and at least 1e-7: half a step, and a little more.
    step = matrix.abs().amax(dim=1, keepdim=True) / 127 + 1e-7 if int8 else matrix.abs() / 1024 + 1e-7
    assert (found["matrix"] - matrix).abs().le(0.57 * step).all()
    assert found["convolution"].equal(found["matrix"].view(3, 2, 2))


def test_8_bit_weights_are_half_as_large(tmp_path):
    sizes = []
    for int8 in (False, True):
        zoo.write(tmp_path / "a.safetensors", {"x": torch.randn(256, 256)}, {"kind": "matrix"}, {}, int8=int8)
        sizes.append((tmp_path / "a.safetensors").stat().st_size)
    assert sizes[1] < 0.51 * sizes[0]


def test_a_member_is_built_of_what_its_file_describes(copied):
    entry = zoo.find_member("matrix", PUSHT, "seed42", copied)
    built = zoo.load(entry, "matrix", PUSHT, lambda description, tensors: (description["horizon"], list(tensors)))
    assert built[0] == 15 and built[1]
    with pytest.raises(zoo.DamagedWeightsError, match="was trained for dto/PushT-v0, not for dto/Lift-v0"):
        zoo.load(entry, "matrix", "dto/Lift-v0", lambda description, tensors: None)
    with pytest.raises(zoo.DamagedWeightsError, match="does not fill the network it describes: 'width'"):
        zoo.load(entry, "matrix", PUSHT, lambda description, tensors: tensors["width"])


def test_parts_of_a_file_are_found_by_their_prefix():
    one, two = torch.ones(1), torch.ones(2)
    assert zoo.part({"network.a": one, "range.low": two}, "network.") == {"a": one}


def test_float64_is_kept_and_float32_is_rounded(tmp_path):
    path = tmp_path / "a.safetensors"
    wide, narrow = torch.full((1,), 1 / 3, dtype=torch.float64), torch.full((1,), 1 / 3)
    zoo.write(path, {"wide": wide, "narrow": narrow}, {"kind": "k"}, {})
    tensors = zoo.read(path, "k")[1]
    assert torch.equal(tensors["wide"], wide)
    assert torch.equal(tensors["narrow"], narrow.half().float())


def test_trained_weights_are_never_overwritten(tiny_zoo):
    with pytest.raises(FileExistsError, match="--out"):
        zoo.claim("diffusion", PUSHT, 42, tiny_zoo)
    assert zoo.claim("diffusion", PUSHT, 43, tiny_zoo).name == "seed43.safetensors"


def test_the_shipped_zoo_is_whole_and_small():
    """Every shipped file matches its card and weighs at most 4 MB; there is nothing to check where none is shipped."""
    paths = sorted(zoo.SHIPPED.glob("*/*/seed*.safetensors"))
    for path in paths:
        assert path.stat().st_size <= 4_000_000, path
        env_id = json.loads(path.with_suffix(".json").read_text())["env_id"]
        entry = zoo.find_member(path.parent.name, env_id, path.stem)
        assert entry.path == path
        assert zoo.read(path, path.parent.name)[0]["env_id"] == env_id
