import numpy as np
import pytest

from dto_agents.planar.dataset import mechanical_parameters, solve_example
from dto_agents.planar.expert import plan
from dto_agents.planar.symmetries import backwards, mirrored, with_symmetries
from dto_envs.planar_push.physics import simulate, trajectory_loss
from dto_envs.planar_push.tasks import make_task


@pytest.mark.parametrize("index", [0, 2, 8])
@pytest.mark.parametrize("change", [mirrored, backwards])
def test_plans_still_work_and_parameters_belong_to_them(index, change):
    example = solve_example(make_task("train", index))
    if change is backwards and not example.task.airborne:
        with pytest.raises(ValueError, match="friction on the ground"):
            backwards(example)
        return
    made = change(example)
    poses = simulate(made.task, made.fingers, made.forces).poses
    assert trajectory_loss(poses, made.task.poses) < 0.5
    assert made.fingers[0, 0, 0] <= made.fingers[0, 1, 0]
    expected = mechanical_parameters(made.task, plan(made.task))
    arms = made.fingers - made.task.poses[:, None, :2]
    np.testing.assert_allclose(made.parameters.jacobian[:, 2, 1::2], arms[..., 0], atol=1e-12)
    np.testing.assert_allclose(made.parameters.facets, expected.facets, atol=1e-9)
    np.testing.assert_allclose(made.parameters.cones, expected.cones, atol=1e-9)
    np.testing.assert_allclose(made.parameters.external_cone, expected.external_cone, atol=1e-9)


def test_all_of_them():
    examples = [solve_example(make_task("train", index)) for index in (0, 8)]
    made = with_symmetries(examples)
    assert len(made) == 2 * (2 + sum(example.task.airborne for example in examples))
    assert len({example.task.digest for example in made}) == len(made)
