"""The learned car: agreement with torch, equation 2, independence of the batch, its files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from torch import nn

from dto_envs.rc_car.learned import CarNetwork, NetworkError, list_models, read_network, rollout, write_network


def make_network(actions=1, depth=8, width=64, activation="gelu", residual=True, seed=0):
    rng = np.random.default_rng(seed)
    sizes = [3 + 2 * actions, *[width] * depth, 3]
    layers = list(zip(sizes[:-1], sizes[1:], strict=True))

    def array(values):
        return np.asarray(values, dtype=np.float32)

    return CarNetwork(
        weights=tuple(array(rng.normal(size=(o, i)) * np.sqrt(2 / i)) for i, o in layers),
        biases=tuple(array(0.1 * rng.normal(size=o)) for _, o in layers),
        input_mean=array(0.1 * rng.normal(size=sizes[0])),
        input_scale=array(rng.uniform(0.5, 2, sizes[0])),
        output_mean=array(0.1 * rng.normal(size=3)),
        output_scale=array(np.full(3, 0.2)),
        dt=0.05,
        activation=activation,
        residual=residual,
        actions=actions,
    )


def torch_rollout(network, states, controls, past, dtype):
    """The same in plain torch, with torch's own GELU."""
    act = nn.GELU(approximate="tanh") if network.activation == "gelu" else nn.ReLU()
    state, controls, past = (torch.as_tensor(array, dtype=dtype) for array in (states, controls, past))
    mean, scale, out_mean, out_scale = (
        torch.from_numpy(getattr(network, name)).to(dtype)
        for name in ("input_mean", "input_scale", "output_mean", "output_scale")
    )
    actions, found = torch.cat([past, controls], dim=1), [state]
    for step in range(controls.shape[1]):
        recent = actions[:, step : step + network.actions].flatten(1)
        hidden = (torch.cat([state[:, 3:], recent], dim=1) - mean) / scale
        for index, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
            hidden = hidden @ torch.from_numpy(weight).to(dtype).T + torch.from_numpy(bias).to(dtype)
            hidden = act(hidden) if index < len(network.weights) - 1 else hidden
        velocity = hidden * out_scale + out_mean + (state[:, 3:] if network.residual else 0)
        cos, sin = torch.cos(state[:, 2]), torch.sin(state[:, 2])
        moved = [cos * velocity[:, 0] - sin * velocity[:, 1], sin * velocity[:, 0] + cos * velocity[:, 1]]
        pose = state[:, :3] + network.dt * torch.stack([*moved, velocity[:, 2]], dim=1)
        state = torch.cat([pose, velocity], dim=1)
        found.append(state)
    return torch.stack(found, dim=1)


def make_batch(network, batch, steps, seed=1):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(batch, 6)),
        rng.uniform(-1, 1, (batch, steps, 2)),
        rng.uniform(-1, 1, (batch, network.actions - 1, 2)),
    )


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize(("residual", "actions", "batch"), [(True, 1, 1), (False, 1, 3), (True, 4, 150)])
def test_agrees_with_torch_to_float32_rounding(activation, residual, actions, batch):
    network = make_network(actions, activation=activation, residual=residual)
    inputs = make_batch(network, batch, 8)
    exact = torch_rollout(network, *inputs, torch.float64).numpy()
    torchs_own = np.abs(torch_rollout(network, *inputs, torch.float32).numpy() - exact).max()
    assert np.abs(rollout(network, *inputs) - exact).max() < 10 * torchs_own + 1e-6


def test_one_step_agrees_over_the_whole_range_of_the_activation():
    network = make_network(depth=1, width=8)
    wide = replace(network, weights=(network.weights[0] * np.float32(40), network.weights[1]))
    states, controls, past = make_batch(wide, 300, 1)
    exact = torch_rollout(wide, states, controls, past, torch.float64).numpy()
    np.testing.assert_allclose(rollout(wide, states, controls, past), exact, rtol=2e-6, atol=2e-5)


def test_the_pose_follows_the_velocity_exactly():
    network = make_network()
    states = rollout(network, *make_batch(network, 5, 10))
    heading, velocity = states[:, :-1, 2], states[:, 1:, 3:]
    forward = np.stack([np.cos(heading), np.sin(heading)], axis=-1) * velocity[..., :1]
    sideways = np.stack([-np.sin(heading), np.cos(heading)], axis=-1) * velocity[..., 1:2]
    np.testing.assert_allclose(np.diff(states[..., :2], axis=1), 0.05 * (forward + sideways), atol=1e-12)
    np.testing.assert_allclose(np.diff(states[..., 2], axis=1), 0.05 * velocity[..., 2], atol=1e-12)


def test_a_trajectory_does_not_depend_on_its_neighbours():
    network = make_network(actions=2)
    states, controls, past = make_batch(network, 200, 10)
    together = rollout(network, states, controls, past)
    alone = rollout(network, states[130:131], controls[130:131], past[130:131])
    np.testing.assert_allclose(together[130:131], alone, atol=2e-5)


def test_one_start_serves_all_candidates():
    network = make_network(actions=3)
    states, controls, past = make_batch(network, 4, 5)
    repeated = rollout(network, np.tile(states[0], (4, 1)), controls, np.tile(past[0], (4, 1, 1)))
    np.testing.assert_array_equal(rollout(network, states[0], controls, past[0]), repeated)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"controls": np.zeros((3, 5))}, "controls must be"),
        ({"states": np.zeros((2, 6))}, "states must be"),
        ({"past": np.zeros((3, 2, 2))}, "past actions must be"),
    ],
)
def test_wrong_shapes_are_refused(change, message):
    given = {"states": np.zeros((3, 6)), "controls": np.zeros((3, 5, 2)), "past": None, **change}
    with pytest.raises(ValueError, match=message):
        rollout(make_network(), **given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "tanh"}, "activation"),
        ({"actions": 2}, "weight0"),
        ({"output_scale": np.zeros(3, dtype=np.float32)}, "positive"),
        ({"output_mean": np.zeros(3)}, "output_mean must be finite float32"),
        ({"output_mean": np.full(3, np.nan, dtype=np.float32)}, "output_mean must be finite"),
        ({"dt": 0}, "dt"),
        ({"biases": ()}, "0 biases"),
    ],
)
def test_arrays_that_make_no_network_are_refused(change, message):
    with pytest.raises(NetworkError, match=message):
        replace(make_network(), **change)


def test_a_file_gives_the_same_network(tmp_path):
    network = make_network(actions=3, activation="relu", residual=False, depth=2, width=5)
    sha256 = write_network(tmp_path / "seed7.safetensors", network, {"seed": 7})
    again = read_network(tmp_path / "seed7.safetensors")
    assert (again.dt, again.activation, again.residual, again.actions) == (0.05, "relu", False, 3)
    assert again.tensors().keys() == network.tensors().keys()
    assert all(np.array_equal(array, network.tensors()[name]) for name, array in again.tensors().items())
    card = json.loads((tmp_path / "seed7.json").read_text())
    assert card["seed"] == 7 and card["weights_sha256"] == sha256 and card["parameters"] == network.parameters


def damage_card(path):
    path.with_suffix(".json").write_text("{}")


def change_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def cut(path):
    path.with_suffix(".json").unlink()
    path.write_bytes(path.read_bytes()[:100])


def replace_by_another_kind(path):
    path.with_suffix(".json").unlink()
    path.write_bytes(save({"weight0": np.zeros(3)}, metadata={"description": json.dumps({"kind": "diffusion"})}))


def drop_a_bias(path):
    path.with_suffix(".json").unlink()
    tensors = load(path.read_bytes())
    del tensors["bias1"]
    description = {"kind": "rc-car-dynamics", "dt": 0.05, "activation": "gelu", "residual": True, "actions": 1}
    path.write_bytes(save(tensors, metadata={"description": json.dumps(description)}))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (damage_card, "with its card"),
        (change_a_byte, "its card says"),
        (cut, "cannot read"),
        (replace_by_another_kind, "holds no rc-car-dynamics"),
        (drop_a_bias, "lacks 'bias1'"),
        (lambda path: path.with_suffix(".json").unlink() or path.unlink(), "cannot read"),
    ],
)
def test_damaged_and_foreign_files_get_one_clear_error(tmp_path, harm, message):
    path = tmp_path / "seed1.safetensors"
    write_network(path, make_network(depth=2, width=4), {})
    harm(path)
    with pytest.raises(NetworkError, match=message):
        read_network(path)


def test_models_are_listed_by_seed(tmp_path):
    for seed in (142, 42):
        write_network(tmp_path / "simulated" / f"seed{seed}.safetensors", make_network(depth=1, width=2), {})
    assert [path.stem for path in list_models("simulated", tmp_path)] == ["seed42", "seed142"]
    with pytest.raises(NetworkError, match="no networks"):
        list_models("real", tmp_path)
