import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dto_agents.rc_car import baselines, real
from dto_agents.rc_car.prediction import moving_starts
from dto_agents.rc_car.reading import COLUMNS, read_log
from dto_envs.rc_car.learned import write_network
from dto_eval.suites import SuiteOptions, find_suite
from dto_eval.suites.rc_car_real import interval, ratio_interval

RATE = 30


def record(path, seconds, seed):
    """A car that follows its commands late, on a curved path."""
    generator = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    steering = np.sin(2 * t + generator.uniform(0, 6))
    heading = np.cumsum(np.roll(steering, 4)) * 1.5 / RATE
    x, y = np.cumsum([1.5 * np.cos(heading) / RATE, 1.5 * np.sin(heading) / RATE], axis=1)
    columns = [t, x, y, heading, 0.3 + 0 * t, steering]
    np.savez(path, **dict(zip(COLUMNS, columns, strict=True)))
    return path


@pytest.fixture
def quick(monkeypatch):
    """Fits and networks that take no time; the page does not depend on how good they are."""
    fit = baselines.fit_bicycle
    monkeypatch.setattr(baselines, "fit_bicycle", lambda kind, starts: fit(kind, starts, starts=1, evaluations=3))
    monkeypatch.setattr(real, "PAPER", replace(real.PAPER, depth=1, width=8, epochs=2))


def test_the_page_compares_all_models_and_a_second_run_reads_what_was_fitted(tmp_path, quick, monkeypatch):
    train, test = record(tmp_path / "train.npz", 12, 0), record(tmp_path / "test.npz", 8, 1)
    for seed in (42, 142):
        network = real.train_network(read_log(train).pieces, replace(real.REAL, depth=1, width=8, epochs=2), seed=seed)
        write_network(tmp_path / "models" / "real" / f"seed{seed}.safetensors", network, {})
    options = SuiteOptions(out=tmp_path / "out", weights=tmp_path / "models", data=(train, test), episodes=20)
    page = find_suite("rc-car-real")(options).read_text()
    with (tmp_path / "out" / "errors.csv").open() as file:
        header, *rows = csv.reader(file)
    named = {row[0]: row[1:] for row in rows}
    assert list(named) == [
        "constant twist",
        "kinematic bicycle",
        "dynamic bicycle",
        *(f"the paper's network, seed{seed}" for seed in (42, 142, 242)),
        "ours, seed42",
        "ours, seed142",
        "ours, ensemble",
    ]
    starts = moving_starts(read_log(test).pieces, horizon=30, past=12, stride=3)
    starts = starts.pick(np.unique(np.linspace(0, len(starts) - 1, 20).astype(int)))
    twist = baselines.constant_twist(starts.states, starts.controls, starts.past, 1 / RATE)
    distance = np.hypot(*(twist[:, -1, :2] - starts.poses[:, -1, :2]).T)
    assert float(named["constant twist"][0]) == pytest.approx(np.median(distance))
    assert "20 starts" in page and "the bar of 0.50 is" in page

    def refuse(*_, **__):
        raise AssertionError("fitted again")

    monkeypatch.setattr(baselines, "fit_bicycle", refuse)
    monkeypatch.setattr(real, "train_network", refuse)
    assert find_suite("rc-car-real")(options).read_text() == page
    parameters = json.loads((tmp_path / "out" / "fitted" / "dynamic.json").read_text())
    assert set(parameters) == set(baselines.DYNAMIC)


def test_two_recordings_are_needed(tmp_path):
    with pytest.raises(ValueError, match="--data TRAIN TEST"):
        find_suite("rc-car-real")(SuiteOptions(out=tmp_path))


def test_intervals_hold_the_median_and_pair_what_they_compare(tmp_path):
    starts = moving_starts(read_log(record(tmp_path / "log.npz", 60, 0)).pieces, horizon=30, stride=3)
    values = np.random.default_rng(0).gamma(2.0, size=len(starts))
    lo, hi = interval(values, starts)
    assert lo < np.median(values) < hi
    assert ratio_interval(0.4 * values, values, starts) == pytest.approx((0.4, 0.4))


@pytest.mark.skipif("DTO_RC_CAR_DATA" not in os.environ, reason="DTO_RC_CAR_DATA is not set to the real recordings")
def test_shipped_networks_halve_the_constant_twists_error_on_the_recording_they_never_saw():
    from dto_agents.rc_car.prediction import errors
    from dto_agents.rc_car.validation import as_predictor
    from dto_envs.rc_car.learned import list_models, read_network

    pieces = read_log(Path(os.environ["DTO_RC_CAR_DATA"]) / "train_2.npz").pieces
    starts = moving_starts(pieces, horizon=30, stride=10)
    for path in list_models("real"):
        predicted = as_predictor(read_network(path))(starts.states, starts.controls, starts.past)
        position, heading = errors(predicted[:, -1], starts.poses[:, -1])
        assert np.median(position) < 0.13
        assert np.median(heading) < 0.10
