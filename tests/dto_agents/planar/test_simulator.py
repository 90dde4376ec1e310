import dataclasses

import numpy as np
import pytest
import torch

from dto_agents.planar import simulator
from dto_agents.planar.expert import plan
from dto_agents.planar.simulator import Scene, SimulatorOptions, simulate
from dto_envs.planar_push import constants, physics
from dto_envs.planar_push.shapes import to_world
from dto_envs.planar_push.tasks import Task, make_task


@pytest.fixture(scope="module")
def tasks():
    return [make_task("train", index) for index in (0, 1, 2, 3, 7, 8, 9)] + [make_task("test", 0)]


@pytest.fixture(scope="module")
def plans(tasks):
    return [plan(task) for task in tasks]


def targets_of(plans, noise: float = 0.0) -> torch.Tensor:
    exact = np.stack([made.fingers + made.forces / constants.POSITION_STIFFNESS for made in plans])
    return torch.from_numpy(exact + noise * np.random.default_rng(0).standard_normal(exact.shape))


def desired_of(tasks) -> torch.Tensor:
    return torch.from_numpy(np.stack([task.poses for task in tasks]))


def away() -> torch.Tensor:
    return torch.tensor(constants.HOME, dtype=torch.float64).expand(1, 5, 2, 2)


def test_an_object_that_nobody_holds_falls_freely(tasks):
    task = next(task for task in tasks if task.airborne)
    high = Task(task.polygon, task.poses + [0.0, 2.0, 0.0], airborne=True)
    for dt, tolerance in ((0.002, 6e-3), (0.0005, 1.5e-3)):
        poses = simulate(Scene.of([high]), away(), options=SimulatorOptions(dt=dt))[0].numpy()
        time = high.times[:, None]
        expected = high.poses[0] + time * high.velocity - 0.5 * 9.8 * time**2 * [0.0, 1.0, 0.0]
        np.testing.assert_allclose(poses, expected, atol=tolerance)


def test_an_object_rests_on_the_ground(tasks):
    task = next(task for task in tasks if not task.airborne)
    still = Task(task.polygon, np.tile(task.poses[0], (5, 1)), airborne=False)
    poses = simulate(Scene.of([still]), away())[0].numpy()
    np.testing.assert_allclose(poses[:, 1:], still.poses[:, 1:], atol=1e-3)
    np.testing.assert_allclose(poses[:, 0], still.poses[:, 0], atol=1e-3)


def test_a_sliding_object_is_braked_by_friction(tasks):
    """On the ground at 1 m/s, without fingers: it slows down by friction times gravity."""
    task = next(task for task in tasks if not task.airborne)
    poses = np.tile(task.poses[0], (5, 1))
    poses[:, 0] += 0.1 * np.arange(5)
    sliding = Task(task.polygon, poses, airborne=False)
    end = simulate(Scene.of([sliding]), away())[0, -1].numpy()
    assert end[0] - poses[0, 0] == pytest.approx(0.4 - 0.5 * task.ground_friction * 9.8 * 0.4**2, abs=0.005)


@pytest.mark.parametrize("feed_forward", [False, True])
def test_plans_move_objects_as_in_the_environment(tasks, plans, feed_forward):
    targets = torch.from_numpy(np.stack([made.fingers for made in plans])) if feed_forward else targets_of(plans)
    forces = np.stack([made.forces for made in plans])
    poses = simulate(Scene.of(tasks), targets, torch.from_numpy(forces) if feed_forward else None).numpy()
    gaps = []
    for index, task in enumerate(tasks):
        done = physics.simulate(task, targets[index].numpy(), forces[index] if feed_forward else None)
        gaps.append(np.linalg.norm(poses[index, :, :2] - done.poses[:, :2], axis=1).max())
    assert np.median(gaps) < 0.0018 and max(gaps) < 0.01  # m


def test_a_plan_with_small_errors_moves_objects_as_in_the_environment(tasks, plans):
    targets = targets_of(plans, 0.003)
    poses = simulate(Scene.of(tasks), targets).numpy()
    done = [physics.simulate(task, target.numpy()).poses for task, target in zip(tasks, targets, strict=True)]
    gaps = [np.linalg.norm(a[:, :2] - b[:, :2], axis=1).max() for a, b in zip(poses, done, strict=True)]
    moved = [np.linalg.norm(b[:, :2] - t.poses[:, :2], axis=1).max() for b, t in zip(done, tasks, strict=True)]
    assert np.median(gaps) < 0.5 * np.median(moved)


def test_sharper_contacts_come_nearer_to_hard_ones(tasks, plans):
    gaps = []
    for kappa in (300.0, 1000.0, 5000.0):
        poses = simulate(Scene.of(tasks), targets_of(plans), options=SimulatorOptions(kappa=kappa)).numpy()
        done = [physics.simulate(t, target.numpy()).poses for t, target in zip(tasks, targets_of(plans), strict=True)]
        gaps.append(
            np.median([np.linalg.norm(a[:, :2] - b[:, :2], axis=1).max() for a, b in zip(poses, done, strict=True)])
        )
    assert gaps[0] > gaps[1] > gaps[2]


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_gradients_are_those_of_central_differences(tasks, plans, noise):
    scene, desired, targets = Scene.of(tasks), desired_of(tasks), targets_of(plans, noise)

    def loss(points: torch.Tensor) -> torch.Tensor:
        return simulator.trajectory_loss(simulate(scene, points), desired)

    inputs = targets.clone().requires_grad_()
    loss(inputs).sum().backward()
    assert inputs.grad is not None
    numeric = torch.zeros(len(tasks), 20, dtype=torch.float64)
    with torch.no_grad():
        for k in range(20):
            change = torch.zeros(20, dtype=torch.float64)
            change[k] = 1e-6
            change = change.view(5, 2, 2)
            numeric[:, k] = (loss(targets + change) - loss(targets - change)) / 2e-6
    cosines = torch.nn.functional.cosine_similarity(inputs.grad.flatten(1), numeric, dim=1)
    assert (cosines >= 0.97).all() and cosines.median() > 0.9999


def test_gradients_by_forces_are_those_of_central_differences(tasks, plans):
    scene, desired = Scene.of(tasks), desired_of(tasks)
    fingers = torch.from_numpy(np.stack([made.fingers for made in plans]))
    forces = torch.from_numpy(np.stack([made.forces for made in plans])).requires_grad_()
    simulator.trajectory_loss(simulate(scene, fingers, forces), desired).sum().backward()
    assert forces.grad is not None
    direction = torch.from_numpy(np.random.default_rng(1).standard_normal(forces.shape))
    with torch.no_grad():
        sides = [
            simulator.trajectory_loss(simulate(scene, fingers, forces + step * direction), desired)
            for step in (1e-4, -1e-4)
        ]
    numeric = (sides[0] - sides[1]) / 2e-4
    torch.testing.assert_close((forces.grad * direction).sum((1, 2, 3)), numeric, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("feed_forward", [False, True])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_the_compiled_steps_and_their_adjoint_are_those_of_torch(tasks, plans, feed_forward, noise):
    scene, desired, targets = Scene.of(tasks), desired_of(tasks), targets_of(plans, noise)
    pushes = torch.from_numpy(np.stack([made.forces for made in plans]))
    found = []
    for backend in ("torch", "compiled"):
        inputs = [targets.clone().requires_grad_(), *([pushes.clone().requires_grad_()] if feed_forward else [])]
        poses = simulate(scene, *inputs, backend=backend)
        simulator.trajectory_loss(poses, desired).sum().backward()
        found.append([poses.detach(), *(tensor.grad for tensor in inputs)])
    for one, other in zip(*found, strict=True):
        assert one is not None and other is not None
        difference = (one - other).flatten(1).norm(dim=1) / one.flatten(1).norm(dim=1)
        assert difference.max() < 1e-6, difference


def test_no_finger_is_stronger_than_its_motors(tasks):
    """A target deep inside an object at rest in the air accelerates it by the largest force."""
    given = next(task for task in tasks if task.airborne)
    still = Task(given.polygon, np.tile(given.poses[0] + [0.0, 1.0, 0.0], (5, 1)), airborne=True)
    point = to_world(still.poses[0], still.polygon.points(np.array([0]), np.array([0.5])))[0]
    inward = still.poses[0, :2] - point
    fingers = torch.tensor(np.array(constants.HOME)[None, None].repeat(5, axis=1))
    fingers[0, :, 0] = torch.from_numpy(point + 0.05 * inward / np.linalg.norm(inward))
    for backend in ("torch", "compiled"):
        ends = []
        for strongest in (68.0, 34.0):
            options = SimulatorOptions(max_force=strongest)
            poses = simulate(Scene.of([still]), fingers, options=options, backend=backend)[0, 1, :2].numpy()
            free = still.poses[0, :2] - [0.0, 0.5 * 9.8 * 0.01]
            ends.append(np.linalg.norm(poses - free))
        assert ends[1] < 0.8 * ends[0]


def test_the_scene_has_gradients_too(tasks, plans):
    scene = Scene.of(tasks[:2])
    mass = scene.mass.clone().requires_grad_()
    poses = simulate(dataclasses.replace(scene, mass=mass), targets_of(plans[:2]))
    poses[..., 1].sum().backward()
    assert mass.grad is not None and mass.grad.abs().min() > 0


def test_descent_in_the_simulator_helps_in_the_environment(tasks, plans):
    targets = targets_of(plans, 0.01)
    scene, desired = Scene.of(tasks), desired_of(tasks)

    def judged(points: torch.Tensor) -> float:
        done = [physics.simulate(task, point.numpy()) for task, point in zip(tasks, points, strict=True)]
        return float(np.median([physics.trajectory_loss(d.poses, t.poses) for d, t in zip(done, tasks, strict=True)]))

    points = targets.clone().requires_grad_()
    optimizer = torch.optim.Adam([points], lr=1e-3)
    for _ in range(60):
        optimizer.zero_grad()
        simulator.trajectory_loss(simulate(scene, points), desired).sum().backward()
        assert points.grad is not None
        points.grad /= points.grad.flatten(1).norm(dim=1)[:, None, None, None] + 1e-9
        optimizer.step()
    assert judged(points.detach()) < 0.3 * judged(targets)


def test_samples_of_a_batch_do_not_know_each_other(tasks, plans):
    targets = targets_of(plans, 0.01)
    together = simulate(Scene.of(tasks), targets)
    for index in (0, len(tasks) - 1):
        alone = simulate(Scene.of([tasks[index]]), targets[index : index + 1])
        torch.testing.assert_close(alone[0], together[index], atol=1e-9, rtol=0)


def test_the_loss_is_that_of_the_environment(tasks):
    desired = desired_of(tasks)
    poses = desired + 0.01 * torch.randn(desired.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = physics.trajectory_loss(poses.numpy(), desired.numpy())
    np.testing.assert_allclose(simulator.trajectory_loss(poses, desired).numpy(), expected, rtol=1e-12)


def test_fingers_follow_the_splines_of_the_environment():
    places, speeds, _ = simulator._reference(5, 0.1, 50)
    targets = np.random.default_rng(0).standard_normal((5, 2))
    from dto_envs.planar_push.tasks import natural_spline

    spline = natural_spline(targets[:4], 0.1)  # on the way to keyframe 3 the last target is not known yet
    times = 0.2 + 0.002 * np.arange(50)
    np.testing.assert_allclose(places[100:150].numpy() @ targets, spline(times), atol=1e-12)
    np.testing.assert_allclose(speeds[100:150].numpy() @ targets, spline(times, 1), atol=1e-10)


def test_bad_input(tasks):
    scene = Scene.of(tasks[:2])
    fingers = torch.zeros(2, 5, 2, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"fingers must have the shape \(2, 5, 2, 2\)"):
        simulate(scene, fingers[:1])
    with pytest.raises(ValueError, match="must be float64"):
        simulate(scene, fingers.float())
    with pytest.raises(ValueError, match="no whole number of steps of 0.003 s"):
        simulate(scene, fingers, options=SimulatorOptions(dt=0.003))
    with pytest.raises(ValueError, match="at least one task"):
        Scene.of([])
    slower = dataclasses.replace(tasks[0], dt=0.15)
    with pytest.raises(ValueError, match="same keyframes"):
        Scene.of([tasks[0], slower])
