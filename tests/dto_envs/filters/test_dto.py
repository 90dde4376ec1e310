"""The DTO layer and the sources of its quadratic form."""

import numpy as np
import pytest
import torch

from dto_envs.filters import violation
from dto_envs.filters.dto import DTOLayer, LearnedMatrixQ, StaticQ, TransformerQ, positive_definite
from dto_envs.layouts import PUSHT_LAYOUT, ROBOMIMIC_LAYOUT


def chunk_of(layout, seed=0, batch=5, horizon=15):
    rng = np.random.default_rng(seed)
    chunk = np.clip(np.cumsum(0.2 * rng.normal(size=(batch, horizon, layout.size)), axis=1), -1, 1)
    return chunk, np.clip(chunk[:, 0] + 0.3 * rng.normal(size=(batch, layout.size)), -1, 1)


def sources(layout, horizon=15):
    torch.manual_seed(0)
    return [StaticQ(), LearnedMatrixQ(horizon, layout), TransformerQ(horizon, layout, width=32, feedforward=32)]


@pytest.mark.parametrize("index", range(3))
def test_quadratic_forms_begin_near_the_identity_and_are_positive_definite(index):
    chunk = torch.from_numpy(chunk_of(PUSHT_LAYOUT)[0]).float()
    source = sources(PUSHT_LAYOUT)[index].eval()
    q = source(chunk)
    assert q.shape == (5, 30, 30)
    torch.testing.assert_close(q, q.mT)
    assert (q - torch.eye(30)).abs().max() < 0.4
    assert torch.linalg.eigvalsh(q).min() > 0.1


def test_algorithm_one():
    entries = torch.randn(2, 4, 4, dtype=torch.float64) * 20
    entries[0, 0, 0], entries[0, 1, 1] = 800.0, 0.3
    entries.requires_grad_()
    q = positive_definite(entries)
    lower = torch.tril(entries.detach().clamp(-10, 10), -1)
    diagonal = (torch.diagonal(entries.detach(), dim1=1, dim2=2).exp() + 1e-4).clamp(max=10)
    factor = lower + torch.diag_embed(diagonal)
    torch.testing.assert_close(q, factor @ factor.mT + 1e-4 * torch.eye(4, dtype=torch.float64))
    q.sum().backward()
    assert torch.isfinite(entries.grad).all()


def test_the_papers_encoder_fits_a_checkpoint():
    assert sum(p.numel() for p in TransformerQ(15, ROBOMIMIC_LAYOUT).parameters()) < 2_000_000
    names = [name for name, _ in TransformerQ(15, ROBOMIMIC_LAYOUT).encoder.layers.named_children()]
    assert names == ["0", "1"]


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("linked", [True, False])
def test_layer_keeps_the_limits_and_agrees_with_its_torch_side(index, linked):
    chunk, previous = chunk_of(ROBOMIMIC_LAYOUT)
    last = previous if linked else None
    layer = DTOLayer(sources(ROBOMIMIC_LAYOUT)[index], ROBOMIMIC_LAYOUT)
    tamed = layer(chunk, last)
    assert layer.training
    assert violation(tamed, last, ROBOMIMIC_LAYOUT).max() <= 1e-12
    layer.eval()
    tensor = layer(torch.from_numpy(chunk).float(), None if last is None else torch.from_numpy(last))
    np.testing.assert_allclose(tensor.detach().numpy(), tamed, atol=1e-5)
    assert tensor.dtype == torch.float32
    assert violation(tensor.detach().numpy(), last, ROBOMIMIC_LAYOUT).max() <= 1e-6


def test_gripper_is_in_the_quadratic_form_alone():
    """With Q = I nothing couples it to the others; with a full Q it moves, and jumps freely."""
    chunk, previous = chunk_of(ROBOMIMIC_LAYOUT)
    chunk[:, ::2, 6], chunk[:, 1::2, 6] = 1.0, -1.0
    static = DTOLayer(StaticQ(), ROBOMIMIC_LAYOUT)(chunk, previous)
    np.testing.assert_allclose(static[:, :, 6], chunk[:, :, 6], atol=1e-12)
    source = LearnedMatrixQ(15, ROBOMIMIC_LAYOUT)
    torch.nn.init.normal_(source.entries, std=0.1)
    learned = DTOLayer(source, ROBOMIMIC_LAYOUT)(chunk, previous)
    assert np.abs(learned[:, :, 6] - chunk[:, :, 6]).max() > 0.01
    assert np.abs(np.diff(learned[:, :, 6], axis=1)).max() > 0.5


def test_transformer_rows_do_not_depend_on_the_batch():
    chunk, previous = chunk_of(PUSHT_LAYOUT, batch=40)
    torch.manual_seed(1)
    layer = DTOLayer(TransformerQ(15, PUSHT_LAYOUT), PUSHT_LAYOUT)
    together = layer(chunk, previous)
    order = np.random.default_rng(0).permutation(40)
    assert np.array_equal(together[order], layer(chunk[order], previous[order]))
    for b in (0, 17, 39):
        assert np.array_equal(together[b : b + 1], layer(chunk[b : b + 1], previous[b : b + 1]))


def test_a_transformer_without_spread_begins_at_the_identity():
    chunk, previous = chunk_of(PUSHT_LAYOUT, batch=4)
    begins, static = (DTOLayer(q, PUSHT_LAYOUT) for q in (TransformerQ(15, PUSHT_LAYOUT, spread=0.0), StaticQ()))
    np.testing.assert_allclose(begins(chunk, previous), static(chunk, previous), atol=1e-3)


@pytest.mark.parametrize("index", [1, 2])
def test_training_lowers_the_loss(index):
    """Dataset training (DiffOG, equation 10): the layer learns to stay near the demonstrated chunk."""
    chunk = torch.from_numpy(chunk_of(PUSHT_LAYOUT, seed=3, batch=8)[0]).float()
    limits = {"alpha": 10.0, "bound": 0.3}
    layer = DTOLayer(sources(PUSHT_LAYOUT)[index], PUSHT_LAYOUT, **limits)
    layer.eval()
    optimizer = torch.optim.Adam(layer.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (layer(chunk) - chunk).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    projected = DTOLayer(StaticQ(), PUSHT_LAYOUT, alpha=0.0, bound=0.3)(chunk)
    assert losses[-1] >= (projected - chunk).square().mean().item() - 1e-9


def test_wrong_horizon_and_alpha_are_refused():
    chunk, previous = chunk_of(PUSHT_LAYOUT, horizon=9)
    for source in sources(PUSHT_LAYOUT)[1:]:
        with pytest.raises(ValueError, match=r"\(B, 15, 2\)"):
            DTOLayer(source, PUSHT_LAYOUT)(chunk, previous)
    with pytest.raises(ValueError, match="alpha"):
        DTOLayer(StaticQ(), PUSHT_LAYOUT, alpha=-1.0)
