import numpy as np
import pytest

from dto_agents.demos.dataset import Demonstrations, Episode
from dto_agents.demos.plot import plot_demonstrations
from dto_agents.demos.statistics import describe, operator_figures, pooled_differences


def episode(actions):
    return Episode(np.zeros((len(actions), 19)), np.asarray(actions, dtype=np.float64))


@pytest.fixture
def lift():
    first = np.zeros((3, 7))
    first[:, :3] = [[0, 0, 0], [0.6, 0.3, 0.0], [0.5, 0.0, 0.0]]
    second = np.zeros((2, 7))
    second[1, 3:] = [0.2, 0.0, 0.1, 1.0]
    return Demonstrations("dto/Lift-v0", (episode(first), episode(second)))


def test_figures_by_hand(lift):
    description = describe(lift)
    assert (description.episodes, description.steps, description.lengths) == (2, 5, (2, 2.5, 3))
    linear, rotational = description.groups["linear"], description.groups["rotational"]
    assert linear.max_difference == pytest.approx((0.6 + 0.3) / 3 / 2)
    assert linear.mean_difference == pytest.approx((0.35 + 0.3) / 3 / 2)
    assert linear.exceeding == pytest.approx(3 / 9), "0.6, 0.3 and 0.3 of nine differences; 0.1 is the bound itself"
    assert rotational.max_difference == pytest.approx((0.2 + 0.1) / 3 / 2)
    assert linear.human_max == (0.6, 0.8) and rotational.human_mean == (0.006, 0.01)


def test_a_persons_pauses_and_corrections_by_hand():
    actions = np.zeros((6, 7))
    actions[:, 0] = [0.6, 0.05, -0.6, 0.0, 0.05, 0.6]
    actions[:, 1] = [0.0, 0.0, 0.8, 0.0, 0.05, 0.8]
    figures = operator_figures("worse_operator_1", Demonstrations("dto/Lift-v0", (episode(actions), episode(actions))))
    assert (figures.name, figures.episodes, figures.length) == ("worse_operator_1", 2, 6)
    assert figures.still == pytest.approx(3 / 6)
    assert figures.turns == 2, "x goes from 0.6 to -0.6 and back; y stays on its side"
    assert figures.speed == pytest.approx((0.6 + 1.0 + 1.0) / 3)


def test_no_difference_spans_two_episodes(lift):
    assert len(pooled_differences(lift)) == 2 + 1


def test_push_t_is_measured_on_its_own_scale_and_has_no_table_to_compare_with():
    actions = np.array([[12.0, 25.0], [12.0 + 249.5, 25.0]])
    demonstrations = Demonstrations("dto/PushT-v0", (Episode(np.zeros((2, 20)), actions),))
    (figures,) = describe(demonstrations).groups.values()
    assert figures.max_difference == pytest.approx(0.5)
    assert figures.human_max is None


def test_the_picture_is_a_png(lift, tmp_path):
    path = tmp_path / "new" / "lift.png"
    plot_demonstrations(lift, path)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
