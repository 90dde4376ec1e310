from dataclasses import replace

import numpy as np
import pytest
import torch

from dto_agents.rc_car.preparing import Windows
from dto_agents.rc_car.training import Recipe, TrainingError, train
from dto_agents.rc_car.validation import one_step_losses
from dto_envs.rc_car.learned import rollout

TINY = Recipe(depth=2, width=16, epochs=30, batch_size=64, learning_rate=5e-3)


def made_up(count: int = 512, actions: int = 3, steps: int = 3, seed: int = 0) -> Windows:
    """A car without inertia to speak of: velocities follow the controls with a lag, and turn with speed."""
    rng = np.random.default_rng(seed)
    controls = rng.uniform(-1, 1, (count, actions - 1 + steps, 2))
    velocity = rng.normal(size=(count, 3)) * [1.0, 0.1, 1.0]
    start, targets = velocity, []
    for step in range(steps):
        now = controls[:, actions - 1 + step]
        forward = 0.8 * velocity[:, 0] + 0.5 * now[:, 0]
        velocity = np.stack([forward, 0.1 * forward * now[:, 1], 2 * forward * now[:, 1]], axis=1)
        targets.append(velocity)
    return Windows(start, controls, np.stack(targets, axis=1), actions)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("loss", ["l1", "l2", "relative"])
@pytest.mark.parametrize(("activation", "residual"), [("gelu", True), ("relu", False)])
def test_training_lowers_its_loss(loss, activation, residual):
    recipe = replace(TINY, loss=loss, activation=activation, residual=residual)
    windows, fresh = made_up(), made_up(seed=1)
    short = one_step_losses(train(windows, 0.05, replace(recipe, epochs=1), seed=1), fresh, recipe.epsilon)
    full = one_step_losses(train(windows, 0.05, recipe, seed=1), fresh, recipe.epsilon)
    assert full[loss] < 0.5 * short[loss]


def test_the_network_computes_what_was_trained():
    """The loss that training reports is that of the network it returns."""
    reported: list[float] = []
    windows = made_up(64)
    recipe = replace(TINY, mirror=False, epochs=2)
    network = train(windows, 0.05, recipe, seed=3, report=lambda step, loss: reported.append(loss))
    assert len(reported) == 2
    network_before_last = train(windows, 0.05, replace(recipe, epochs=1), seed=3)
    assert one_step_losses(network, windows)["l1"] < one_step_losses(network_before_last, windows)["l1"]
    frozen = train(windows, 0.05, replace(recipe, learning_rate=1e-12), seed=3)
    assert one_step_losses(frozen, windows)["l1"] == pytest.approx(reported[0], rel=1e-4)


def test_the_same_seed_gives_the_same_bits_and_leaves_the_callers_generator_alone():
    state = torch.get_rng_state()
    first, again = (train(made_up(), 0.05, replace(TINY, epochs=2), seed=5) for _ in range(2))
    other = train(made_up(), 0.05, replace(TINY, epochs=2), seed=6)
    for name, tensor in first.tensors().items():
        np.testing.assert_array_equal(tensor, again.tensors()[name])
    assert not np.array_equal(first.weights[0], other.weights[0])
    assert torch.equal(state, torch.get_rng_state())


def test_looking_ahead_trains_on_the_networks_own_predictions():
    windows = made_up()
    recipe = replace(TINY, epochs=20)

    def error_after_three(network):
        start = np.concatenate([np.zeros((len(windows), 3)), windows.velocities], axis=1)
        path = rollout(network, start, windows.controls[:, 2:], windows.controls[:, :2])
        return np.abs(path[:, 1:, 3:] - windows.targets).sum(axis=2).mean()

    untrained = train(windows, 0.05, replace(recipe, epochs=1, steps=3), seed=1)
    assert error_after_three(train(windows, 0.05, replace(recipe, steps=3), seed=1)) < 0.5 * error_after_three(
        untrained
    )


def test_mirror_images_make_left_and_right_alike():
    """Trained on right turns only, a network drives left turns as well if it saw them in the mirror."""
    windows = made_up(2048)
    right = windows.controls[:, 2, 1] < 0
    half = Windows(windows.velocities[right], windows.controls[right], windows.targets[right], windows.actions)
    left = Windows(windows.velocities[~right], windows.controls[~right], windows.targets[~right], windows.actions)
    errors = [
        one_step_losses(train(half, 0.05, replace(TINY, epochs=epochs, mirror=mirror), seed=1), left)["l1"]
        for epochs, mirror in ((30, True), (60, False))
    ]
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 0}, "depth must be at least 1, not 0"),
        ({"epochs": -1}, "epochs must be at least 1"),
        ({"epsilon": 0.0}, "epsilon must be positive"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
    ],
)
def test_recipes_that_cannot_be_trained_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**changes)


def test_windows_that_do_not_fit_the_recipe_are_told():
    with pytest.raises(ValueError, match="the windows hold 3 actions and 3 steps; the recipe needs 2 and 1"):
        train(made_up(), 0.05, replace(TINY, actions=2), seed=1)


def test_a_loss_that_is_not_finite_stops_the_training():
    windows = made_up(64)
    broken = Windows(windows.velocities, windows.controls, np.full_like(windows.targets, np.nan), 3)
    with pytest.raises(TrainingError, match="check the data"):
        train(broken, 0.05, TINY, seed=1)
