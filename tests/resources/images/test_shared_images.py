"""Images that several questions are about are read once, and the answers are those of reading them each time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import architectures
from benchmarks.small_parts import byte_tokenizer, chat_template
from resources.captioner import Captioner, CaptionerSettings
from resources.images import shared_images
from resources.images.crops import cut
from resources.loading import growing_cache

QUESTIONS = ["what?", "a long question about all images, is it not", "hm"]


def save_qwen2_5_vl(folder: Path) -> Path:
    """A small Qwen2.5-VL with random weights, over the vocabulary of the small Qwen3-VL."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer, template = byte_tokenizer(), chat_template()
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    text = {**architectures.SMALL_TEXT, "num_key_value_heads": 1, "vocab_size": len(tokenizer)}
    text |= {"eos_token_id": end, "bos_token_id": end}
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]}
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32}
    vision |= {"patch_size": 4, "window_size": 16, "fullatt_block_indexes": [1], **architectures.SHARP}
    names = {name: f"{name.removesuffix('_token_id')}" for name in ("vision_start_token_id", "vision_end_token_id")}
    names |= {"image_token_id": "image_pad", "video_token_id": "video_pad"}
    tokens = {name: tokenizer.convert_tokens_to_ids(f"<|{token}|>") for name, token in names.items()}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **tokens)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    sizes = {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2}
    images = Qwen2VLImageProcessor(**sizes, size={"shortest_edge": 16**2, "longest_edge": 64**2})
    Qwen2_5_VLProcessor(images, tokenizer, Qwen2VLVideoProcessor(**sizes), chat_template=template).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(
    scope="module",
    params=["llava", "llava-hf/llava-v1.6-vicuna-7b-hf", "qwen2.5-vl", "Qwen/Qwen3-VL-8B-Instruct"],
)
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CaptionerSettings:
    """One model of each family, of which one is trained."""
    folder = tmp_path_factory.mktemp("captioner")
    if request.param == "llava":
        model = "miniature:captioner"
    elif request.param == "qwen2.5-vl":
        import torch

        torch.manual_seed(0)
        model = str(save_qwen2_5_vl(folder))
    else:
        model = str(architectures.save(request.param, folder))
    return CaptionerSettings(model=model, max_new_tokens=12, batch_size=7)


@pytest.fixture(scope="module")
def captioner(settings: CaptionerSettings) -> Captioner:
    return Captioner(settings)


@pytest.fixture(scope="module")
def images() -> list[list[np.ndarray]]:
    """Of many shapes, one or two to a question; one is shown in two questions' images."""
    rng = np.random.default_rng(0)
    shapes = [(16, 16), (20, 70), (64, 30), (33, 47), (24, 24)]
    one, two, three, four, five = (rng.integers(0, 255, (*shape, 3), dtype=np.uint8) for shape in shapes)
    return [[one], [two, three], [four], [three, two], [five]]


@pytest.fixture(scope="module")
def asked(images: list[list[np.ndarray]]) -> tuple[list[list[np.ndarray]], list[str]]:
    """All questions about all images, far from each other."""
    return images * len(QUESTIONS), [question for question in QUESTIONS for _ in images]


def copies(groups: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
    return [[image.copy() for image in group] for group in groups]


def images_read(captioner: Captioner, groups: Sequence[Sequence[np.ndarray]], questions: Sequence[str]) -> int:
    """How many images the processor made ready for the model."""
    count = 0
    processor = captioner._processor.image_processor
    preprocess = processor.preprocess

    def counting(images: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal count
        count += sum(len(group) for group in images)
        return preprocess(images, *arguments, **named)

    processor.preprocess = counting
    try:
        captioner.answer(groups, questions)
    finally:
        del processor.preprocess
    return count


def test_the_answers_are_those_of_reading_each_time(captioner: Captioner, asked: Any) -> None:
    groups, questions = asked
    shared = captioner.answer(groups, questions)
    assert shared == captioner.answer(copies(groups), questions)
    assert len(set(shared)) > len(questions) / 2


def test_keys_and_values_that_grow_in_place_change_no_answer(
    captioner: Captioner, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = captioner.answer(*asked)
    assert growing_cache.growing_cache(captioner._model)
    monkeypatch.setattr(growing_cache, "growing_cache", lambda model: {})
    assert captioner.answer(*asked) == answers


def test_each_group_of_images_is_read_once(settings: CaptionerSettings, images: list[list[np.ndarray]]) -> None:
    captioner = Captioner(settings.model_copy(update={"batch_size": 2 * len(images)}))
    groups, questions = images * 2, ["what?"] * len(images) + ["which?"] * len(images)
    assert images_read(captioner, groups, questions) == sum(map(len, images))
    assert images_read(captioner, copies(groups), questions) == 2 * sum(map(len, images))


def test_of_other_families_nothing_is_shared(
    captioner: Captioner, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups, questions = asked
    shared = captioner.answer(groups, questions)
    monkeypatch.setattr(shared_images, "CAUSAL_FAMILIES", frozenset())
    assert captioner.answer(groups, questions) == shared
    assert images_read(captioner, groups, questions) == sum(map(len, groups))


def test_answers_end_before_a_stop_string(settings: CaptionerSettings, captioner: Captioner, asked: Any) -> None:
    groups, questions = asked
    whole = captioner.answer(groups, questions)
    stop = next(sign for sign in whole[0][1:] if sign.isalnum())
    short = Captioner(settings.model_copy(update={"stop": [stop]})).answer(groups, questions)
    assert short == [answer.partition(stop)[0].strip() for answer in whole]


def test_two_cuts_of_one_image_are_two_images(captioner: Captioner, images: list[list[np.ndarray]]) -> None:
    (image,) = images[2]
    left, right = cut(image, (0, 0, 20, 33)), cut(image, (27, 0, 47, 33))
    assert left.base is right.base
    answers = captioner.answer([[left], [right], [left]], ["what?"] * 3)
    assert answers[0] == answers[2] != answers[1]
