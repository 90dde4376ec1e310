import dataclasses

import numpy as np
import pytest
import torch

from dto_agents.planar import dataset, qp_layer
from dto_agents.planar.mechanics import LENGTH
from dto_agents.planar.qp_layer import Actions, LayerOptions, Mechanics, inverse_dynamics
from dto_envs.planar_push.physics import simulate, trajectory_loss


@pytest.fixture(scope="module")
def examples():
    return list(dataset.solve_set("train"))


def noisy(mechanics: Mechanics, scale: float) -> Mechanics:
    generator = torch.Generator().manual_seed(0)
    names = ("poses", "facets", "cones", "external_point")
    changed = {
        name: getattr(mechanics, name)
        + scale * torch.randn(getattr(mechanics, name).shape, generator=generator, dtype=torch.float64)
        for name in names
    }
    return dataclasses.replace(mechanics, **changed)


def test_forces_carry_the_object(examples):
    actions = inverse_dynamics(Mechanics.of(examples))
    slack = actions.slack.abs().amax((1, 2))
    assert slack.median() < 1e-3 and slack.max() < 0.5  # N and N m; the objects weigh 9.8 N
    for example, forces, pushed in zip(examples, actions.forces, actions.external_force, strict=True):
        task = example.task
        total = forces.sum(1).numpy() + pushed.numpy()
        wanted = task.polygon.mass * (task.accelerations[:, :2] + [0.0, task.gravity])
        np.testing.assert_allclose(total, wanted, atol=0.5)
        assert np.linalg.norm(forces.numpy(), axis=-1).max() > 1.0


def test_the_slack_is_what_is_missing_in_the_dynamics(examples):
    mechanics = noisy(Mechanics.of(examples), 0.02)
    actions = inverse_dynamics(mechanics)
    arms = actions.fingers - mechanics.poses[:, :, None, :2]
    torque = (arms[..., 0] * actions.forces[..., 1] - arms[..., 1] * actions.forces[..., 0]).sum(-1)
    outer = mechanics.external_point - mechanics.poses[..., :2]
    torque += outer[..., 0] * actions.external_force[..., 1] - outer[..., 1] * actions.external_force[..., 0]
    from scipy.interpolate import CubicSpline

    spline = CubicSpline(0.1 * np.arange(5), mechanics.poses.numpy(), axis=1, bc_type="natural")
    acceleration = torch.from_numpy(spline(0.1 * np.arange(5), 2))
    mass, inertia = mechanics.mass[:, None], mechanics.inertia[:, None]
    total = actions.forces.sum(2) + actions.external_force
    missing = [
        mass * acceleration[..., 0] - total[..., 0],
        mass * (acceleration[..., 1] + 9.8) - total[..., 1],
        inertia * acceleration[..., 2] - torque,
    ]
    torch.testing.assert_close(actions.slack, torch.stack(missing, -1), atol=1e-8, rtol=0)
    assert actions.slack.abs().max() > 0.01


def test_executed_actions_follow_the_motion(examples):
    actions = inverse_dynamics(Mechanics.of(examples))
    losses = [
        trajectory_loss(simulate(e.task, fingers.numpy(), forces.numpy()).poses, e.task.poses)
        for e, fingers, forces in zip(examples, actions.fingers, actions.forces, strict=True)
    ]
    assert np.median(losses) < 0.05 and max(losses) < 1.0


def test_step_one_is_the_program_with_explicit_slack(examples):
    """Equation 6 on a keyframe as ProxQP solves it, the slack a variable of its own."""
    import proxsuite

    mechanics = noisy(Mechanics.of(examples[:4]), 0.01)
    options = LayerOptions(slack_weight=100.0, ray_weight=0.01)
    curvature = qp_layer._second_derivative(5, 0.1)
    required = qp_layer._required(mechanics, curvature, 9.8) / (9.8 * mechanics.mass[:, None, None])
    span = torch.tensor(options.span)
    ends = mechanics.facets[..., :1, :] + span[:, None] * (mechanics.facets[..., 1:, :] - mechanics.facets[..., :1, :])
    lengths = qp_layer._ray_lengths(mechanics, required, ends, options, 9.8)
    for b, t in np.ndindex(4, 5):
        rays, columns = [], []
        for finger, end, ray in np.ndindex(2, 2, 2):
            direction = mechanics.cones[b, t, finger, ray].numpy()
            arm = (ends[b, t, finger, end] - mechanics.poses[b, t, :2]).numpy()
            rays.append(direction)
            columns.append([*direction, (arm[0] * direction[1] - arm[1] * direction[0]) / LENGTH])
        for ray in range(2):
            direction = mechanics.external_cone[b, t, ray].numpy()
            arm = (mechanics.external_point[b, t] - mechanics.poses[b, t, :2]).numpy()
            rays.append(direction)
            columns.append([*direction, (arm[0] * direction[1] - arm[1] * direction[0]) / LENGTH])
        rays, columns = np.array(rays), np.array(columns)
        hessian = np.zeros((13, 13))
        for part, weight in ((slice(0, 4), 1.0), (slice(4, 8), 1.0), (slice(8, 10), options.ground_weight)):
            hessian[part, part] = weight * rays[part] @ rays[part].T
        hessian[range(10), range(10)] += options.ray_weight
        hessian[range(10, 13), range(10, 13)] = options.slack_weight
        equations = np.hstack([columns.T, np.eye(3)])
        low = np.r_[np.full(8, options.least_force / 4 / 9.8), np.zeros(2)]
        solver = proxsuite.proxqp.dense.QP(13, 3, 10)
        solver.settings.eps_abs, solver.settings.eps_rel = 1e-11, 0.0
        rows = np.eye(10, 13)
        solver.init(
            hessian, np.zeros(13), equations, required[b, t].numpy(), rows, low, np.full(10, options.longest_ray)
        )
        solver.solve()
        np.testing.assert_allclose(lengths[b, t].numpy(), solver.results.x[:10], atol=1e-7)


def test_gradients_are_those_of_central_differences(examples):
    given = noisy(Mechanics.of(examples[:5]), 0.003)
    generator = torch.Generator().manual_seed(1)
    shape = (5, 5, 2, 2)
    weights = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2)]

    def objective(mechanics: Mechanics) -> torch.Tensor:
        actions = inverse_dynamics(mechanics, LayerOptions(slack_weight=1e3))
        return (actions.fingers * weights[0]).sum((1, 2, 3)) + 0.02 * (actions.forces * weights[1]).sum((1, 2, 3))

    names = [field.name for field in dataclasses.fields(Mechanics)]
    inputs = {name: getattr(given, name).clone().requires_grad_() for name in names}
    objective(Mechanics(**inputs)).sum().backward()
    for name in names:
        gradient = inputs[name].grad
        assert gradient is not None
        for _ in range(3):
            # A cone of zeros, where nothing touches, is a kink: a ray of the opposite sign cannot push.
            direction = torch.randn(gradient.shape, generator=generator, dtype=torch.float64) * (inputs[name] != 0)
            step = 1e-6
            sides = []
            for sign in (1.0, -1.0):
                moved = dataclasses.replace(given, **{name: getattr(given, name) + sign * step * direction})
                sides.append(objective(moved))
            difference = (sides[0] - sides[1]) / (2 * step)
            analytic = (gradient * direction).flatten(1).sum(1) if gradient.ndim > 1 else gradient * direction
            # At a kink, where a force reaches its limit, a sample's one-sided derivatives differ.
            close = (difference - analytic).abs() <= 1e-4 * (1.0 + difference.abs())
            assert close.sum() >= 4, (name, difference, analytic)


def test_a_ground_that_is_nearly_nothing_carries_nearly_nothing(examples):
    airborne = [example for example in examples if example.task.airborne]
    mechanics = Mechanics.of(airborne)
    faint = torch.tensor([[-0.001, 0.01], [0.001, 0.01]], dtype=torch.float64).expand(len(airborne), 5, 2, 2)
    actions = inverse_dynamics(dataclasses.replace(mechanics, external_cone=faint))
    assert actions.external_force.abs().max() < 1.5  # N


def test_samples_of_a_batch_do_not_know_each_other(examples):
    whole = inverse_dynamics(Mechanics.of(examples[:3]))
    for index in range(3):
        alone = inverse_dynamics(Mechanics.of(examples[index : index + 1]))
        for field in dataclasses.fields(Actions):
            torch.testing.assert_close(
                getattr(alone, field.name)[0], getattr(whole, field.name)[index], atol=1e-9, rtol=1e-9
            )


def test_the_loss_is_zero_at_the_expert(examples):
    expert = [torch.tensor(np.stack([getattr(e, name) for e in examples[:2]])) for name in ("fingers", "forces")]
    zero = torch.zeros(2, 5, 3, dtype=torch.float64)
    actions = Actions(expert[0], expert[1], zero[..., :2], zero, zero[..., :2])
    options = {"slack_weight": 0.1, "force_scale": 1.0}
    assert not qp_layer.layer_loss(actions, *expert, **options).any()
    moved = dataclasses.replace(actions, fingers=actions.fingers + 0.01)
    torch.testing.assert_close(qp_layer.layer_loss(moved, *expert, **options), torch.ones(2, dtype=torch.float64))


def test_bad_input(examples):
    mechanics = Mechanics.of(examples[:2])
    with pytest.raises(ValueError, match=r"facets must have the shape \(2, 5, 2, 2, 2\)"):
        inverse_dynamics(dataclasses.replace(mechanics, facets=mechanics.facets[:, :, :1]))
    with pytest.raises(ValueError, match="poses must be float64"):
        inverse_dynamics(dataclasses.replace(mechanics, poses=mechanics.poses.float()))
    with pytest.raises(ValueError, match="cones has numbers that are not finite"):
        inverse_dynamics(dataclasses.replace(mechanics, cones=mechanics.cones * float("nan")))
