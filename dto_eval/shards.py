"""How a run's episodes are laid out over members and inits, and cut into shards. Depends on the protocol alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dto_eval.records import Protocol


@dataclass(frozen=True)
class Shard:
    """The unit of work, of resume and of batching: consecutive inits of one member.

    Attributes:
        index: position in the run's plan.
        member: name of the member that acts.
        inits: reset seeds of the environments, ascending.
    """

    index: int
    member: str
    inits: tuple[int, ...]

    @property
    def keys(self) -> tuple[tuple[str, int], ...]:
        """The (member, init) pairs of this shard's episodes."""
        return tuple((self.member, init) for init in self.inits)


def episodes_per_member(episodes: int, members: int) -> tuple[int, ...]:
    """Spread ``episodes`` over ``members`` so that no two members differ by more than one; earlier ones get more."""
    if episodes < 1 or members < 1:
        raise ValueError(f"there must be at least one episode and one member, not {episodes} and {members}")
    share, rest = divmod(episodes, members)
    return tuple(share + (index < rest) for index in range(members))


def plan(protocol: Protocol) -> tuple[Shard, ...]:
    """Cut a run into shards, member by member; member ``m`` gets the inits ``first_init + 0 .. first_init + n_m - 1``.

    The plan knows nothing of workers, so that neither batches nor results depend on how many there are.
    """
    shards: list[Shard] = []
    counts = episodes_per_member(protocol.episodes, len(protocol.members))
    for member, count in zip(protocol.members, counts, strict=True):
        for start in range(0, count, protocol.shard_size):
            stop = min(start + protocol.shard_size, count)
            inits = tuple(range(protocol.first_init + start, protocol.first_init + stop))
            shards.append(Shard(index=len(shards), member=member.name, inits=inits))
    return tuple(shards)


def agent_seed(run_seed: int, init: int) -> int:
    """Seed of the agent's randomness in one episode, 63 bits.

    It depends on the run's seed and the init only, so that agents that are compared on the same inits draw the same
    noise, whatever their members, filters and shards are.
    """
    return int(np.random.SeedSequence([run_seed, init]).generate_state(1, np.uint64)[0] >> np.uint64(1))
