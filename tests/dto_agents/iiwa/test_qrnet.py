"""QRnet near the goal and at its limits, as the paper's Section III-B and Appendix B describe it."""

import math

import numpy as np
import pytest

pytest.importorskip("mujoco")

import torch

from dto_agents.iiwa.lqr import goal_regulator
from dto_agents.iiwa.qrnet import (
    WIDTHS,
    Blend,
    ControlNetwork,
    Ensemble,
    Policy,
    Saturation,
    TimeNetwork,
    regulator_gain,
    regulator_torque,
)
from dto_agents.iiwa.weights import load_policy, pack, save_policy, unpack
from dto_agents.zoo import DamagedWeightsError
from dto_envs.iiwa import constants
from dto_envs.iiwa.model import goal_state, goal_torque


def policy(kind="qrnet", seed=0, blend=None, widths=WIDTHS) -> Policy:
    torch.manual_seed(seed)
    return Policy(ControlNetwork(kind, blend, widths), TimeNetwork(widths))


def states(count: int) -> np.ndarray:
    return goal_state() + np.random.default_rng(0).standard_normal((count, 14))


def test_saturation_keeps_the_rest_its_slope_and_the_limits():
    rest = torch.tensor(goal_torque())
    high = torch.tensor(constants.TORQUE_LIMITS, dtype=torch.float64)
    saturation = Saturation(-high, high, rest)
    torch.testing.assert_close(saturation(rest), rest)
    slope = (saturation(rest + 1e-4) - saturation(rest - 1e-4)) / 2e-4
    torch.testing.assert_close(slope, torch.ones(7, dtype=torch.float64), rtol=1e-6, atol=1e-6)
    assert (saturation(rest + 1e6) <= high).all() and (saturation(rest - 1e6) >= -high).all()
    with pytest.raises(ValueError, match="between the limits"):
        Saturation(-high, high, high + 1)


def test_at_the_goal_the_torque_holds_it_whatever_the_weights():
    for seed in range(3):
        np.testing.assert_allclose(policy(seed=seed).torques(goal_state()[None])[0], goal_torque(), atol=1e-4)
    assert np.abs(policy("mlp").torques(goal_state()[None])[0] - goal_torque()).max() > 1e-3


def test_the_blended_gain_is_the_regulators():
    times = np.array([0.0, 0.05, 0.1234, 0.9, 1.2, 5.0])
    gains = regulator_gain(torch.tensor(times, dtype=torch.float32), Blend()).numpy()
    expected = goal_regulator().gain(times)
    np.testing.assert_allclose(gains, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max(axis=(1, 2)).min())
    weights = Blend(0.8, 1.6).weight(torch.tensor([0.1, 0.8, 1.2, 1.6, 3.0]))
    torch.testing.assert_close(weights, torch.tensor([1.0, 1.0, 0.5, 0.0, 0.0]))
    torch.testing.assert_close(Blend(0.8, math.inf).weight(torch.tensor([0.1, 3.0])), torch.ones(2))
    with pytest.raises(ValueError, match="full <= none"):
        Blend(2.0, 1.0)


def test_a_network_of_zeros_is_the_saturated_regulator():
    made = policy()
    torch.nn.init.zeros_(made.control.network[-1].weight)
    where = torch.tensor(states(4), dtype=torch.float32)
    lqr, _ = regulator_torque(where, made.time(where), made.control.blend)
    expected = made.control.saturation(lqr).detach().numpy()
    np.testing.assert_allclose(made.torques(states(4)), expected, rtol=1e-5)


def test_a_faded_network_is_silent_where_the_regulator_rules():
    made = policy("faded", blend=Blend(0.2, 0.5))
    where = torch.tensor(states(3), dtype=torch.float32)
    lqr, share = regulator_torque(where, torch.tensor([0.1, 0.35, 0.6]), made.control.blend)
    torch.testing.assert_close(share, torch.tensor([0.0, 0.5, 1.0]))
    torques = made.control(where, lqr, share)
    torch.testing.assert_close(torques[0], made.control.saturation(lqr)[0])
    assert (torques[1:] - made.control.saturation(lqr)[1:]).abs().max() > 0.01
    torch.testing.assert_close(lqr[2], torch.tensor(goal_torque(), dtype=torch.float32))


def test_networks_have_the_papers_shape():
    made = policy()
    assert [layer.out_features for layer in made.control.network[::2]] == [32, 64, 64, 32, 7]
    assert [type(layer).__name__ for layer in made.control.network[1::2]] == ["Tanh", "Tanh", "ELU", "ELU"]
    assert [type(layer).__name__ for layer in made.time.network[1::2]] == ["ELU"] * 4
    assert (made.remaining(100 * states(50)) > 0).all()


def test_an_ensemble_is_the_mean():
    members = [policy(seed=seed) for seed in range(3)]
    mean = np.mean([each.torques(states(5)) for each in members], axis=0)
    np.testing.assert_array_equal(Ensemble(members).torques(states(5)), mean)
    with pytest.raises(ValueError, match="at least one"):
        Ensemble([])


@pytest.mark.parametrize(("kind", "widths"), [("qrnet", WIDTHS), ("mlp", WIDTHS), ("faded", (8, 16, 16, 8))])
def test_weights_come_back(kind, widths, tmp_path):
    made = policy(kind, blend=Blend(0.5, 1.5), widths=widths)
    made.control.set_scales(torch.ones(14), 2 * torch.ones(14), 3 * torch.eye(7))
    save_policy(tmp_path / "policy.safetensors", made, {"points": 7})
    back, notes = load_policy(tmp_path / "policy.safetensors")
    assert notes["points"] == 7 and back.control.blend == Blend(0.5, 1.5)
    np.testing.assert_array_equal(back.torques(states(5)), made.torques(states(5)))
    tensors, description = pack([made, policy(kind, widths=widths)])
    assert len(unpack(tensors, description)) == 2
    tensors.pop("1.time.network.0.weight")
    with pytest.raises(DamagedWeightsError, match="no weights of an iiwa policy"):
        unpack(tensors, description)
    (tmp_path / "policy.safetensors").write_bytes(b"nothing")
    with pytest.raises(DamagedWeightsError, match="delete it"):
        load_policy(tmp_path / "policy.safetensors")
