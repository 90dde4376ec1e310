from dataclasses import replace

import imageio.v2 as imageio
import pytest

from dto_eval.evaluate import evaluate, resolve_protocol
from dto_eval.settings import env_spec
from dto_eval.video import VideoError, check_rendering, write_videos


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    protocol = resolve_protocol("dto/PushT-v0", "hold", episodes=2)
    return evaluate(protocol, tmp_path_factory.mktemp("run"), workers=1).finished


def test_a_film_shows_every_step_of_its_episode(finished):
    (path,) = write_videos(finished, 1)
    assert path.name == "only-init100000-failure.mp4" and list(path.parent.iterdir()) == [path]
    with imageio.get_reader(path) as reader:
        assert reader.count_frames() == 1 + finished.episodes["only", 100000].steps
        assert reader.get_meta_data()["fps"] == 10


def test_an_environment_with_few_steps_is_shown_in_slow_motion(tmp_path):
    short = evaluate(resolve_protocol("dto/PlanarPush-v0", "hold", episodes=1), tmp_path, workers=1).finished
    (path,) = write_videos(short, 1)
    with imageio.get_reader(path) as reader:
        assert reader.count_frames() == 1 + 41


def test_a_film_of_another_episode_is_refused(finished, tmp_path):
    key = ("only", 100000)
    for change, message in (({"init_hash": "0" * 64}, "initial state differs"), ({"score": 0.5}, "another outcome")):
        record = finished.episodes[key].model_copy(update=change)
        with pytest.raises(VideoError, match=f"cannot film only, init 100000: the .*{message}"):
            write_videos(replace(finished, path=tmp_path, episodes={key: record}), 1)
    assert list((tmp_path / "videos").iterdir()) == []


def test_rendering_is_checked_beforehand():
    check_rendering(env_spec("dto/PushT-v0"))
    blind = env_spec("dto/PushT-v0").replace("dto_envs.pusht:PushTEnv", "harness_work:Blind")
    with pytest.raises(VideoError, match="cannot render for --video: RuntimeError: no screen; .* need OpenGL"):
        check_rendering(blind)
