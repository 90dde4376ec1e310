"""How the networks that push objects are trained."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        steps: iterations on each loss.
        learning_rate: Adam's, at the start; it falls to zero along a cosine where ``decay`` is set.
        simulation_rate: Adam's on L_sim.
        decay: whether rates fall.
        batch: examples an iteration.
        symmetries: whether mirror images and airborne motions that run backwards are used too.
        extra: further training tasks beside the 20 of the training set; L_sim then uses all of them, without labels.
        clip: largest norm of a gradient.
        facet_weight: weight of facets in L_P against that of all other parameters. Where fingers go depends on facets
            nearly alone: with true facets, and all else as predicted, plans of trained networks have a median loss of
            0.00, and with predicted facets, and all else true, no smaller one than without any truth.
    """

    steps: int = 600
    learning_rate: float = 1e-3
    simulation_rate: float = 3e-4
    decay: bool = True
    batch: int = 40
    symmetries: bool = True
    extra: int = 0
    clip: float = 1.0
    facet_weight: float = 100.0


# The paper's numbers: 100 iterations with Adam at 1e-4 on all 20 tasks at once.
PAPER = Recipe(
    steps=100,
    learning_rate=1e-4,
    simulation_rate=1e-4,
    decay=False,
    batch=20,
    symmetries=False,
    clip=math.inf,
    facet_weight=1.0,
)
