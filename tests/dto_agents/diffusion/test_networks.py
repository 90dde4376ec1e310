"""Denoisers that read observations more exactly than they compute."""

import pytest
import torch

from dto_agents.diffusion.networks import build_denoiser
from dto_agents.diffusion.recipe import DiffusionRecipe


@pytest.mark.parametrize(("denoiser", "width"), [("mlp", 32), ("unet", 8)])
@pytest.mark.parametrize("exact", [False, True])
def test_exact_inputs_tell_apart_what_bfloat16_does_not(denoiser, width, exact):
    """The embedding of 0.7 and 0.7005, whose bfloat16 is the same number."""
    recipe = DiffusionRecipe(denoiser=denoiser, width=width, exact_inputs=exact)
    torch.manual_seed(0)
    network = build_denoiser(recipe, action_size=3, condition_size=5)
    near = torch.full((2, 5), 0.7)
    near[1] += 0.0005
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        read = network.embedding.layers[0](torch.cat([torch.zeros(2, 64), near], dim=-1))
    assert (read.dtype == torch.float32) == exact
    assert (read[0] != read[1]).any() == exact


@pytest.mark.parametrize(("denoiser", "width"), [("mlp", 32), ("unet", 8)])
def test_exact_inputs_change_nothing_where_all_is_float32(denoiser, width):
    networks = []
    for exact in (False, True):
        torch.manual_seed(0)
        recipe = DiffusionRecipe(denoiser=denoiser, width=width, exact_inputs=exact)
        networks.append(build_denoiser(recipe, action_size=3, condition_size=5))
        torch.nn.init.normal_(networks[-1].drop.weight)  # the MLP begins with zeros
    given = torch.randn(4, 16, 3), torch.arange(4), torch.randn(4, 5)
    plain, exact = (network(*given) for network in networks)
    assert plain.equal(exact) and plain.abs().max() > 0
