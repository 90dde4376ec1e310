"""Training lowers the error, runs are resumable, and new data begin where loops stray."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("crocoddyl")
pytest.importorskip("mujoco")

from dto_agents.iiwa.datasets import DatasetPlan, collect_dataset, load_dataset
from dto_agents.iiwa.evaluation import evaluate, feedback_of, replay
from dto_agents.iiwa.ivp import SamplingOptions, first_departure, gather, head, resampling_points, run_sampling
from dto_agents.iiwa.training import TrainingOptions, samples_of, train_policy
from dto_agents.training import TrainingError

QUICK = TrainingOptions(epochs=6, validate_every=2, batch=128, feedback_share=0.5)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("iiwa") / "data"
    collect_dataset(DatasetPlan(train=4, validation=2, test=2), folder)
    return folder


@pytest.fixture(scope="module")
def optima(data):
    return load_dataset(data, "train")


def test_samples_are_all_steps_with_their_remaining_times(optima):
    samples = samples_of(optima)
    assert len(samples) == sum(len(each.torques) for each in optima)
    last = len(optima[0].torques) - 1
    assert samples.remaining[0].item() == pytest.approx(optima[0].duration)
    assert samples.remaining[last].item() == pytest.approx(0.01, abs=1e-6)
    with pytest.raises(TrainingError, match="no solved trajectory"):
        samples_of([])


@pytest.mark.parametrize("kind", ["qrnet", "mlp"])
def test_training_fits_better_with_time_and_repeats_itself(kind, optima):
    train = validation = samples_of(optima)
    errors = []

    def report(network, epoch, error):
        errors.append((network, error))

    options = dataclasses.replace(QUICK, kind=kind, epochs=20)
    one = train_policy(train, validation, options, 3, report)
    control = [error for network, error in errors if network == "control"]
    times = [error for network, error in errors if network == "time"]
    assert len(control) == len(times) == 10
    assert one.control_error == min(control) < 0.8 * control[0] and one.time_error == min(times) < 0.8 * times[0]
    two = train_policy(train, validation, options, 3)
    states = np.stack([each.states[0] for each in optima])
    np.testing.assert_array_equal(one.policy.torques(states), two.policy.torques(states))


def test_a_run_goes_on_where_it_was_killed(data, tmp_path):
    options = SamplingOptions(iterations=2, threshold=0.1, training=QUICK)
    policies = run_sampling(data, tmp_path / "run", options, 0)
    assert len(policies) == 3
    files = sorted(each.name for each in (tmp_path / "run").glob("*.safetensors"))
    assert files == ["labels-0.safetensors", "labels-1.safetensors", *(f"policy-{k}.safetensors" for k in range(3))]
    before = (tmp_path / "run" / "policy-2.safetensors").read_bytes()
    for name in ("labels-1", "policy-2"):
        (tmp_path / "run" / f"{name}.safetensors").unlink()
    lines = []
    run_sampling(data, tmp_path / "run", options, 0, report=lines.append)
    assert (tmp_path / "run" / "policy-2.safetensors").read_bytes() == before
    assert sum("training on" in line for line in lines) == 1
    with pytest.raises(TrainingError, match="other options"):
        run_sampling(data, tmp_path / "run", dataclasses.replace(options, threshold=0.2), 0)


def test_ivp_art_branches_off_at_the_threshold_and_dagger_on_a_grid(data, optima):
    policy = train_policy(samples_of(optima), samples_of(optima), QUICK, 0).policy
    rows, steps, states = resampling_points(policy, optima, SamplingOptions(threshold=0.2), 0)
    assert len(rows)
    for row, step, state in zip(rows, steps, states, strict=True):
        known = optima[row].states
        if step < len(known):
            assert 0.2 < np.linalg.norm(state - known[step]) < 3.0
    rows, steps, _ = resampling_points(policy, optima, SamplingOptions(method="dagger", iterations=1), 0)
    np.testing.assert_array_equal(steps, [round(len(optima[row].torques) / 2) for row in rows])


def test_departures_are_found_after_the_optimum_too(optima):
    optimum = optima[0]
    assert first_departure(optimum.states, optimum, 0.1) == -1
    strayed = optimum.states.copy()
    strayed[7:, 0] += 0.2
    assert first_departure(strayed, optimum, 0.1) == 7
    late = np.concatenate([optimum.states, optimum.states[-1:] + 1])
    assert first_departure(late, optimum, 0.1) == len(optimum.states)
    ended = np.concatenate([optimum.states[:5], np.full((9, 14), np.nan)])
    assert first_departure(ended, optimum, 0.1) == -1


def test_replacement_keeps_heads_and_union_keeps_all(data, optima, tmp_path):
    from dto_agents.iiwa.ivp import Resampled

    new = load_dataset(data, "validation")
    found = [Resampled(np.array([1, 3]), np.array([10, 20]), new)]
    union = gather(optima, found, SamplingOptions())
    assert len(union) == sum(len(each.torques) for each in [*optima, *new])
    replaced = gather(optima, found, SamplingOptions(data="replacement"))
    expected = 30 + sum(len(each.torques) for each in [optima[0], optima[2], *new])
    assert len(replaced) == expected
    part = head(optima[1], 10)
    assert len(part.torques) == 10 and part.duration == optima[1].duration
    # The remaining time of a head is that of the whole.
    assert samples_of([part]).remaining[0].item() == pytest.approx(optima[1].duration)


def test_replays_with_feedback_arrive_near_the_optimal_cost(data):
    optima = load_dataset(data, "test")
    feedback = evaluate(replay(optima, feedback=True), optima)
    assert feedback.success_rate == 1.0 and feedback.cost_ratio == pytest.approx(1.0, abs=0.02)


def test_ratios_are_capped(data):
    optima = load_dataset(data, "test")
    hopeless = evaluate(feedback_of(lambda states: np.zeros((len(states), 7))), optima)
    assert hopeless.success_rate == 0.0 and hopeless.cost_ratio == 10.0
