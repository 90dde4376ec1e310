import pytest
from hypothesis import given
from hypothesis import strategies as st

from dto_eval.records import Member, Protocol
from dto_eval.shards import agent_seed, episodes_per_member, plan


def protocol(episodes=10, members=3, shard_size=25, first_init=100_000):
    return Protocol(
        env_id="dto/PushT-v0",
        env_spec="{}",
        agent="hold",
        base="hold",
        members=tuple(Member(name=f"seed{k}") for k in range(members)),
        episodes=episodes,
        shard_size=shard_size,
        first_init=first_init,
    )


@given(st.integers(1, 2000), st.integers(1, 30))
def test_episodes_are_spread_evenly(episodes, members):
    counts = episodes_per_member(episodes, members)
    assert sum(counts) == episodes and len(counts) == members
    assert max(counts) - min(counts) <= 1


@given(st.integers(1, 400), st.integers(1, 5), st.integers(1, 60))
def test_a_plan_covers_each_member_with_consecutive_inits(episodes, members, shard_size):
    shards = plan(protocol(episodes, members, shard_size))
    keys = [key for shard in shards for key in shard.keys]
    assert len(keys) == len(set(keys)) == episodes
    assert [shard.index for shard in shards] == list(range(len(shards)))
    for member in {name for name, _ in keys}:
        inits = [init for name, init in keys if name == member]
        assert inits == list(range(100_000, 100_000 + len(inits)))
    assert all(1 <= len(shard.inits) <= shard_size for shard in shards)


def test_the_papers_protocol():
    shards = plan(protocol(episodes=1500, members=3, shard_size=25))
    assert len(shards) == 60 and all(len(shard.inits) == 25 for shard in shards)


def test_no_episodes_is_an_error():
    with pytest.raises(ValueError, match="at least one episode"):
        episodes_per_member(0, 3)


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_agent_seeds_fit_generators_and_depend_on_both(run_seed, init):
    seed = agent_seed(run_seed, init)
    assert 0 <= seed < 2**63 and seed == agent_seed(run_seed, init)
    assert seed not in {agent_seed(run_seed + 1, init), agent_seed(run_seed, init + 1)}
