"""The one protocol behind which every action filter stands."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class ActionFilter(Protocol):
    """Turns a batch of normalised action chunks into tamed ones.

    A filter keeps no state between calls: what it has to know of the past is ``previous``. Dimensions outside the
    layout's trajectory come back as they went in, except through the optimisation layer's quadratic form.
    """

    def __call__(self, chunk: Any, previous: Any | None = None) -> Any:
        """Filter one batch.

        Args:
            chunk: (B, T, D_a) normalised actions, numpy array or torch tensor.
            previous: (B, D_a) last executed normalised actions, or None at the start of an episode, where the first
                action of the chunk is free.

        Returns:
            (B, T, D_a), same type and dtype as ``chunk``.

        Raises:
            ValueError: shapes do not fit the layout, or an action is NaN or infinite.
            InfeasibleLimitsError: the limits contradict each other or the state; names limit, dimension and step.
        """
        ...


class InfeasibleLimitsError(ValueError):
    """No trajectory satisfies the limits; the message names the limit, the dimension and the step."""
