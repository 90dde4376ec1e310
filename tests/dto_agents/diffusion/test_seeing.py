"""Training in two phases: what the second is shown of the first's codes."""

import pytest
import torch

from dto_agents.diffusion.seeing import Codes, SeeingRecipe

STEPS = torch.tensor([[0, 1], [5, 6], [2, 2]]).repeat(200, 1)


def test_a_window_is_shown_in_any_one_view():
    views = torch.arange(4.0)[:, None, None] + 10 * torch.arange(7.0)[:, None].expand(4, 7, 3)
    torch.manual_seed(0)
    drawn = Codes(views, 0.0).draw(STEPS)
    assert drawn.shape == (600, 2, 3)
    view = drawn - 10 * STEPS[..., None]
    assert sorted(view.unique().tolist()) == [0, 1, 2, 3]
    torch.testing.assert_close(view, view[:, :1, :1].expand_as(view), rtol=0, atol=0)


def test_noise_is_a_share_of_the_codes_deviation_and_the_same_on_all_of_a_window():
    torch.manual_seed(0)
    views = torch.randn(4, 7, 3) * torch.tensor([1.0, 10.0, 0.0])
    still = views[:1].expand(4, -1, -1)
    noise = Codes(still, 0.2).draw(STEPS) - still[0][STEPS]
    torch.testing.assert_close(noise[:, 0], noise[:, 1], rtol=0, atol=1e-6)
    torch.testing.assert_close(noise[:, 0].std(0), 0.2 * still.std((0, 1)), rtol=0.1, atol=0)
    assert not noise[..., 2].any() and len(noise[:, 0, 0].unique()) > 500, "of every window another"


def test_recipes_that_make_no_sense_are_refused():
    for name in ("code_noise", "state_weight"):
        with pytest.raises(ValueError, match=f"{name} must be 0 or more, not -0.1"):
            SeeingRecipe(**{name: -0.1})
    with pytest.raises(ValueError, match="mix_arms are for policies on states"):
        SeeingRecipe(mix_arms=True)
