"""The shared training loop: learning, resuming bit for bit, refusing what cannot go on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from dto_agents.training import Plan, TrainingError, fit

PLAN = Plan(steps=40, learning_rate=0.05, warmup_steps=4, checkpoints=8, keep=3)


class Killed(Exception):
    """What the tests throw to end a run in its middle."""


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Linear(8, 1))


def loss(model: nn.Module) -> torch.Tensor:
    inputs = torch.randn(16, 3)
    return (model(inputs) - inputs.sum(dim=1, keepdim=True)).square().mean()


def run(folder: Path, plan: Plan = PLAN, *, seed: int = 1, stop_at: int | None = None, fingerprint: str = "a"):
    seen = []

    def report(finished: int, value: float) -> None:
        seen.append((finished, value))
        if finished == stop_at:
            raise Killed

    weights = fit(build, loss, plan, seed=seed, folder=folder, fingerprint=fingerprint, report=report)
    return weights, seen


def test_learns_and_reports_every_step(tmp_path):
    _, seen = run(tmp_path, replace(PLAN, steps=300))
    assert [finished for finished, _ in seen] == list(range(301))
    assert math.isnan(seen[0][1])
    first, last = (sum(value for _, value in part) / 20 for part in (seen[1:21], seen[-20:]))
    assert last < 0.3 * first


@pytest.mark.parametrize("stop_at", [3, 5, 23, 39])
def test_killed_run_ends_with_the_same_weights(tmp_path, stop_at):
    whole, _ = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "cut", stop_at=stop_at)
    torch.manual_seed(999)
    resumed, seen = run(tmp_path / "cut")
    assert seen[0][0] == stop_at - stop_at % 5 - (5 if stop_at % 5 == 0 else 0)
    assert whole.keys() == resumed.keys()
    for name in whole:
        assert torch.equal(whole[name], resumed[name])


def test_seed_decides_and_the_callers_generator_is_left_alone(tmp_path):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, _ = run(tmp_path / "a")
    assert torch.equal(torch.rand(3), expected)
    again, _ = run(tmp_path / "b")
    other, _ = run(tmp_path / "c", seed=2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_keeps_the_newest_checkpoints(tmp_path):
    run(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"step{step:08d}.safetensors" for step in (30, 35, 40)]
    with safe_open(tmp_path / names[-1], framework="pt") as file:
        assert file.metadata()["step"] == "40"


def test_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path):
    whole, _ = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "cut", stop_at=23)
    newest = tmp_path / "cut" / "step00000020.safetensors"
    newest.write_bytes(newest.read_bytes()[:200])
    resumed, seen = run(tmp_path / "cut")
    assert seen[0][0] == 15
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_checkpoints_of_another_run_are_refused_with_what_differs(tmp_path):
    run(tmp_path, fingerprint='{"seed": 1, "width": 8}')
    with pytest.raises(TrainingError, match=r"width: 8 there, 16 here.*--out"):
        run(tmp_path, fingerprint='{"seed": 1, "width": 16}')


def test_diverged_loss_stops(tmp_path):
    with pytest.raises(TrainingError, match="learning rate"):
        fit(
            build,
            lambda model: loss(model) * math.nan,
            PLAN,
            seed=1,
            folder=tmp_path,
            fingerprint="a",
            report=lambda finished, value: None,
        )


def test_rate_warms_up_and_falls_to_zero():
    rates = [PLAN.rate(step) for step in range(41)]
    assert rates[0] == pytest.approx(0.05 / 4)
    assert max(rates) == rates[3] == rates[4] == 0.05
    assert rates[40] == pytest.approx(0.0, abs=1e-12)
    assert all(a >= b for a, b in zip(rates[4:], rates[5:], strict=False))
    assert 0 < PLAN.decay(0) < PLAN.decay(10) < PLAN.decay(10**9) == PLAN.ema_max
