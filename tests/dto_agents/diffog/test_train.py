"""Learning a filter: the loss is the paper's, the transformer improves on its start, refine sees the base's samples."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from dto_agents import zoo
from dto_agents.diffog.policy import load_filter, make_layer
from dto_agents.diffog.recipe import FilterRecipe, recipe_for
from dto_agents.diffog.train import imitation_loss, nearest, sample_base, train_filter
from dto_agents.diffusion.policy import load_policy
from dto_envs.actions import plain_layout
from dto_envs.registry import row

PUSHT = "dto/PushT-v0"


def ignore(finished: int, loss: float) -> None:
    """Drop a report."""


def test_loss_is_the_mean_square_distance_to_the_demonstration():
    layout = plain_layout(2, bound=0.2)
    recipe = FilterRecipe(source="matrix", batch_size=64)
    targets = torch.rand(1, 6, 2)
    inputs = torch.rand(1, 6, 2)
    layer = make_layer(recipe, layout, 6)
    value = imitation_loss(inputs, targets, None, 4, recipe, layout)(layer).item()
    expected = (layer(inputs) - targets).square().mean().item()
    assert value == pytest.approx(expected, rel=1e-5)


def test_executed_steps_can_weigh_more():
    layout = plain_layout(1, bound=10.0)
    recipe = FilterRecipe(source="matrix", batch_size=4, executed_weight=3.0, alpha=0.0)
    targets = torch.zeros(1, 4, 1)
    inputs = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(1, 4, 1)
    layer = make_layer(recipe, layout, 4)
    first = imitation_loss(inputs, targets, None, 1, recipe, layout)(layer).item()
    last = imitation_loss(inputs.flip(1), targets, None, 1, recipe, layout)(layer).item()
    assert first == pytest.approx(3 * last, rel=1e-3)


def test_linked_training_bounds_the_first_step():
    layout = plain_layout(1, bound=0.1)
    recipe = FilterRecipe(source="matrix", batch_size=4, alpha=0.0)
    layer = make_layer(recipe, layout, 3)
    chunk = torch.ones(1, 3, 1)
    free = imitation_loss(chunk, chunk, None, 3, recipe, layout)(layer).item()
    linked = imitation_loss(chunk, chunk, torch.zeros(1, 1), 3, recipe, layout)(layer).item()
    assert free < 1e-6 < linked
    assert linked == pytest.approx(np.mean([0.9**2, 0.8**2, 0.7**2]), rel=1e-3)


def test_a_trained_velocity_limit_is_kept_by_the_loaded_filter(demonstrations, tmp_path):
    recipe = replace(recipe_for("matrix", PUSHT), steps=2, velocity=0.4)
    train_filter("matrix", demonstrations, recipe, seed=0, root=tmp_path, report=ignore)
    entry = zoo.find_member("matrix", PUSHT, "seed0", tmp_path)
    horizon = load_filter(entry, PUSHT).q_source.horizon
    chunk = np.cumsum(np.random.default_rng(0).uniform(-0.2, 0.2, (5, horizon, 2)), axis=1)
    assert np.abs(chunk).max() > 0.6
    tamed = load_filter(entry, PUSHT)(chunk, np.zeros((5, 2)))
    assert np.abs(tamed).max() <= 0.4 + 1e-6
    loosened = load_filter(entry, PUSHT, velocity=0.6)(chunk, np.zeros((5, 2)))
    assert 0.4 < np.abs(loosened).max() <= 0.6 + 1e-6
    with pytest.raises(ValueError, match="a residual keeps no limits"):
        make_layer(FilterRecipe(source="residual"), plain_layout(1), 4, velocity=0.5)


def test_the_transformer_learns(demonstrations, tmp_path):
    recipe = FilterRecipe(width=32, feedforward=32, steps=60, batch_size=16, learning_rate=3e-3, warmup_steps=5)
    losses = []
    train_filter(
        "diffog",
        demonstrations,
        recipe,
        seed=42,
        root=tmp_path,
        report=lambda finished, loss: losses.append(loss),
    )
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[1:11])


def test_refine_training_needs_its_base_and_says_so(demonstrations, tiny_filter, tmp_path):
    with pytest.raises(zoo.MissingWeightsError, match="dto-train --agent diffusion"):
        train_filter(
            "diffog-refine",
            demonstrations,
            replace(tiny_filter, inputs="refine"),
            seed=42,
            root=tmp_path,
            base_root=tmp_path,
            report=ignore,
        )


def test_refine_training_records_the_base_it_learned_from(tiny_zoo):
    refined = zoo.find_member("diffog-refine", PUSHT, "seed42", tiny_zoo)
    base = zoo.find_member("diffusion", PUSHT, "seed42", tiny_zoo)
    assert refined.card["data"]["base_sha256"] == base.sha256
    assert zoo.find_member("diffog", PUSHT, "seed42", tiny_zoo).card["data"]["base_sha256"] is None


def test_base_samples_do_not_depend_on_how_many_are_drawn_together(tiny_zoo):
    policy = load_policy(zoo.find_member("diffusion", PUSHT, "seed42", tiny_zoo), PUSHT)
    states = torch.from_numpy(np.random.default_rng(0).uniform(50, 450, (9, 2, 20)))
    together = sample_base(policy, states, 2, seed=42)
    apart = sample_base(policy, states, 2, seed=42, at_once=4)
    assert together.shape == (2, 9, 15, 2)
    assert torch.equal(together, apart)
    assert not torch.equal(together[0], together[1])


def test_the_nearest_sample_is_taken_for_each_observation():
    targets = torch.rand(5, 4, 2)
    samples = torch.rand(3, 5, 4, 2) + 2.0
    closest = [2, 0, 1, 1, 2]
    for item, draw in enumerate(closest):
        samples[draw, item] = targets[item] + 0.01
    torch.testing.assert_close(nearest(samples, targets), targets + 0.01)


def test_filters_load_with_the_trained_bound_or_the_users(tiny_zoo):
    entry = zoo.find_member("diffog", PUSHT, "seed42", tiny_zoo)
    chunk = np.random.default_rng(0).uniform(-1, 1, (3, 15, 2))
    trained = load_filter(entry, PUSHT)(chunk)
    assert np.abs(np.diff(trained, axis=1)).max() == pytest.approx(row(PUSHT).layout.bound, abs=1e-9)
    np.testing.assert_array_equal(load_filter(entry, PUSHT, bound=0.05)(chunk), trained)
    assert np.abs(np.diff(load_filter(entry, PUSHT, bound=0.02)(chunk), axis=1)).max() <= 0.02 + 1e-12
    rough, smooth = (load_filter(entry, PUSHT, bound=9.0, alpha=alpha)(chunk) for alpha in (0.0, 100.0))
    assert np.diff(smooth, axis=1).std() < 0.2 * np.diff(rough, axis=1).std()


def test_chunks_of_another_length_are_refused(tiny_zoo):
    action_filter = load_filter(zoo.find_member("diffog", PUSHT, "seed42", tiny_zoo), PUSHT)
    with pytest.raises(ValueError, match="15"):
        action_filter(np.zeros((1, 8, 2)))


def test_a_filter_whose_tensors_do_not_fit_is_refused(tiny_zoo, tmp_path):
    source = zoo.member_path("matrix", PUSHT, 42, tiny_zoo)
    description, tensors = zoo.read(source, "matrix")
    target = zoo.member_path("matrix", PUSHT, 42, tmp_path)
    card = json.loads(source.with_suffix(".json").read_text())
    zoo.write(target, {name: value[:2] for name, value in tensors.items()}, description, card)
    with pytest.raises(zoo.DamagedWeightsError, match="does not fill"):
        load_filter(zoo.find_member("matrix", PUSHT, "seed42", tmp_path), PUSHT)


def test_recipes_by_name():
    assert recipe_for("diffog-refine", PUSHT).inputs == "refine"
    assert recipe_for("matrix", PUSHT).source == "matrix"
    wide, narrow = recipe_for("diffog", PUSHT), recipe_for("diffog", "dto/StickPush-v0")
    assert (wide.spread, wide.int8) == (0.0, True) and narrow.width < wide.width
    assert narrow == replace(wide, width=narrow.width, feedforward=narrow.feedforward)
    assert recipe_for("diffog", "dto/ToolHang-v0") == wide
    assert recipe_for("diffog", "dto/AlohaInsertion-v0") == narrow
    assert recipe_for("diffog", "dto/PlanarPush-v0") == narrow
    assert recipe_for("matrix", "dto/StickPush-v0") == recipe_for("matrix", PUSHT)
    with pytest.raises(ValueError, match="diffog-refine"):
        recipe_for("diffug", PUSHT)
    for wrong in ({"width": 10, "heads": 4}, {"steps": 0}):
        with pytest.raises(ValueError):
            FilterRecipe(**wrong)


def test_a_residual_trades_distance_for_smoothness(demonstrations, tmp_path):
    layout = row(PUSHT).layout
    inputs = torch.rand(64, 15, 2, generator=torch.Generator().manual_seed(0)) * 0.2
    roughness = {}
    for alpha in (0.01, 16.0):
        recipe = FilterRecipe(source="residual", width=16, steps=150, batch_size=32, alpha=alpha, learning_rate=1e-2)
        layer = make_layer(recipe, layout, 15)
        np.testing.assert_array_equal(layer(inputs.numpy()), inputs.numpy())
        loss = imitation_loss(inputs, inputs, None, 8, recipe, layout)
        optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
        before = loss(layer).item()
        for _ in range(150):
            optimizer.zero_grad()
            loss(layer).backward()
            optimizer.step()
        assert loss(layer).item() < (0.5 * before if alpha > 1 else 2 * before)
        roughness[alpha] = np.abs(np.diff(layer(inputs.numpy()), axis=1)).mean()
    assert roughness[16.0] < 0.7 * roughness[0.01]


def test_a_residual_is_trained_read_and_filters_rows_alone(demonstrations, tmp_path):
    recipe = FilterRecipe(source="residual", width=8, steps=4, batch_size=4)
    train_filter("residual", demonstrations, recipe, seed=42, root=tmp_path, report=ignore)
    entry = zoo.find_member("residual", PUSHT, "seed42", tmp_path)
    layer = load_filter(entry, PUSHT)
    chunk = np.random.default_rng(0).uniform(-1, 1, (40, 15, 2)).astype(np.float32)
    filtered = layer(chunk)
    assert filtered.dtype == np.float32 and not np.array_equal(filtered, chunk)
    np.testing.assert_array_equal(layer(chunk[7:9]), filtered[7:9])
    with pytest.raises(ValueError, match="keeps no limits"):
        load_filter(entry, PUSHT, bound=0.1)
    with pytest.raises(ValueError, match="15 steps"):
        layer(chunk[:, :5])
