"""The judge is right about what is drawn, and does not see what is not there."""

import random

import numpy as np
import pytest
from PIL import Image, ImageFilter

from benchmarks.judge import Judge, difference_outside
from resources.miniature.scenes import BACKGROUNDS, OBJECTS, SceneObject, caption, draw_scene, random_content


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge()


@pytest.mark.parametrize("count", [8, pytest.param(100, marks=pytest.mark.slow)])
def test_it_is_right_about_drawn_scenes(judge: Judge, count: int) -> None:
    rng = random.Random(7)
    scenes = [draw_scene(rng, *random_content(rng, held_out=rng.random() < 0.5)) for _ in range(count)]
    wrong = [scene.caption for scene in scenes if not judge.judge(scene.image).shows(scene.caption)]
    assert len(wrong) <= count / 100, wrong


@pytest.mark.parametrize("name", OBJECTS)
def test_it_knows_every_object_and_where_it_is(judge: Judge, name: str) -> None:
    scene = draw_scene(random.Random(3), [SceneObject(name, "white")], "snow")
    (found,) = judge.judge(scene.image).objects
    assert found.thing == scene.objects[0]
    assert np.abs(np.array(found.box) - scene.boxes[0]).max() <= 1
    assert found.fit > 0.9
    assert (found.mask & scene.masks[0]).sum() > 0.9 * (found.mask | scene.masks[0]).sum()


def test_it_tells_left_from_right(judge: Judge) -> None:
    ball, cat = SceneObject("ball", "red"), SceneObject("cat", "blue")
    verdict = judge.judge(draw_scene(random.Random(0), [ball, cat], "road").image)
    assert verdict.shows(caption([ball, cat], "road"))
    assert not verdict.shows(caption([cat, ball], "road"))
    assert not verdict.shows(caption([ball], "road"))


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_it_sees_nothing_in_an_empty_scene(judge: Judge, background: str) -> None:
    scene = draw_scene(random.Random(1), [SceneObject("ball", "red")], background)
    empty = draw_scene(random.Random(1), [], background, scene.layout.without(0))
    verdict = judge.judge(empty.image)
    assert verdict.objects == ()
    assert verdict.background == background


def test_it_takes_no_blur_and_no_noise_for_an_object(judge: Judge) -> None:
    scene = draw_scene(random.Random(2), [SceneObject("kite", "green")], "sand")
    blurred = np.array(Image.fromarray(scene.image).filter(ImageFilter.GaussianBlur(5)))
    noise = np.random.default_rng(0).integers(0, 256, scene.image.shape, np.uint8)
    assert judge.judge(blurred).objects == ()
    assert judge.judge(noise).objects == ()


def test_it_knows_no_background_of_another_colour(judge: Judge) -> None:
    assert judge.judge(np.full((64, 64, 3), (255, 0, 255), np.uint8)).background is None


def test_the_difference_outside_leaves_the_objects_out(judge: Judge) -> None:
    rng = random.Random(4)
    source = draw_scene(rng, [SceneObject("ball", "red")], "sea")
    target = draw_scene(rng, [SceneObject("cube", "red")], "sea", source.layout)
    found = judge.judge(source.image).objects + judge.judge(target.image).objects
    assert difference_outside(source.image, target.image, found) > 60
    assert difference_outside(source.image, target.image, ()) < 30


def test_a_caption_of_another_world_is_refused(judge: Judge) -> None:
    verdict = judge.judge(draw_scene(random.Random(0)).image)
    with pytest.raises(ValueError, match="Not a caption"):
        verdict.shows("a zebra on the quay")
