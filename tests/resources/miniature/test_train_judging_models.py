"""Trainings of the models that judge pictures: a few steps, saved, gone on with, and run by the role classes."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resources.captioner import Captioner, CaptionerSettings
from resources.image_text_encoder import ImageTextEncoder, ImageTextEncoderSettings
from resources.image_text_matcher import ImageTextMatcher, ImageTextMatcherSettings
from resources.miniature import (
    pictures,
    train_captioner,
    train_image_text_encoder,
    train_image_text_matcher,
    train_prompt_rewriter,
    train_segmenter,
    train_verifier,
)
from resources.miniature.scenes import caption, draw_scene, random_content
from resources.prompt_rewriter import PromptRewriter, PromptRewriterSettings
from resources.segmenter import Segmenter, SegmenterSettings
from resources.verifier import Verifier, VerifierSettings

SHORT: pictures.Phases = ((("drawn",), 2), (("drawn",), 1))


@pytest.fixture(autouse=True)
def _few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "PAIRS", 6)


@pytest.fixture
def image() -> np.ndarray:
    return draw_scene(random.Random(0)).image


def test_segmenter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: np.ndarray) -> None:
    monkeypatch.setattr(train_segmenter, "PHASES", SHORT)
    train_segmenter.train(tmp_path)
    settings = SegmenterSettings(model=str(tmp_path), points_per_side=2, pred_iou_threshold=0, stability_threshold=0)
    ((boxes, scores),) = Segmenter(settings).propose([image])
    assert len(boxes) == len(scores)


def test_image_text_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: np.ndarray) -> None:
    monkeypatch.setattr(train_image_text_encoder, "PHASES", SHORT)
    train_image_text_encoder.train(tmp_path)
    encoder = ImageTextEncoder(ImageTextEncoderSettings(model=str(tmp_path)))
    vectors = encoder.encode_texts(["a red ball", "a red cube"])
    assert vectors.shape == encoder.encode_images([image, image[:20]]).shape
    assert not np.allclose(vectors[0], vectors[1])


def test_image_text_matcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: np.ndarray) -> None:
    monkeypatch.setattr(train_image_text_matcher, "PHASES", SHORT)
    train_image_text_matcher.train(tmp_path)
    itc, itm = ImageTextMatcher(ImageTextMatcherSettings(model=str(tmp_path))).match(
        [image] * 2, ["ball", "ice cream"]
    )
    assert itc[0] != itc[1]
    assert itm[0] != itm[1]


def test_captioner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: np.ndarray) -> None:
    monkeypatch.setattr(train_captioner, "PHASES", SHORT)
    train_captioner.train(tmp_path)
    captioner = Captioner(CaptionerSettings(model=str(tmp_path), max_new_tokens=4))
    answers = captioner.answer([[image], [image, image[:30]]], ["what is this ?", "what is different ?"])
    assert len(answers) == 2
    assert not any("<" in answer for answer in answers), "no special tokens, no marks of word ends"


def test_prompt_rewriter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_prompt_rewriter, "STEPS", 2)
    train_prompt_rewriter.train(tmp_path)
    settings = PromptRewriterSettings(model=str(tmp_path), prompt=train_prompt_rewriter.PROMPT, max_new_tokens=4)
    assert len(PromptRewriter(settings).rewrite(["a red ball on the grass"], [0])) == 1


@pytest.mark.slow
def test_a_later_phase_goes_on_from_the_saved_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_segmenter, "PHASES", SHORT)
    train_segmenter.train(tmp_path / "whole")
    monkeypatch.setattr(train_segmenter, "PHASES", SHORT[:1])
    train_segmenter.train(tmp_path / "parts")
    monkeypatch.setattr(train_segmenter, "PHASES", SHORT)
    train_segmenter.train(tmp_path / "parts", first_phase=1)
    whole, parts = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_near_misses_are_other_texts() -> None:
    rng = random.Random(1)
    for _ in range(200):
        objects, background = random_content(rng)
        miss = train_image_text_encoder.near_miss(rng, objects, background)
        assert miss != caption(objects, background)
        assert sorted(set(miss.split()) & {"on", "the"}) == ["on", "the"]
        assert train_image_text_encoder.near_miss(rng, objects[:1], None) != objects[0].phrase


def test_equal_texts_are_not_each_others_negatives() -> None:
    logits = torch.tensor([[5.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    loss = train_image_text_encoder.contrastive_loss(logits, torch.tensor([0, 0, 1]))
    assert loss < 0.02


def test_repeating_an_object_of_the_caption_is_penalised() -> None:
    ids = torch.tensor([[3, 9, 4, 9, 5]])
    present = torch.tensor([[5, 6]])
    logits = torch.zeros(1, 5, 10)
    even = train_prompt_rewriter.repetition_penalty(logits, ids, 9, present)
    assert even == pytest.approx(-np.log(0.8), abs=1e-6)
    logits[0, 3, 5] = 4.0
    assert train_prompt_rewriter.repetition_penalty(logits, ids, 9, present) > even
    logits[0, 3, 7] = 12.0
    assert train_prompt_rewriter.repetition_penalty(logits, ids, 9, present) < even


@pytest.mark.slow
def test_a_verifier_goes_on_from_its_checkpoint_and_ends_as_one_that_was_not_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: np.ndarray
) -> None:
    monkeypatch.setattr(train_verifier, "SCENES", 4)
    monkeypatch.setattr(train_verifier, "reconstruct", lambda images, autoencoder: images)
    monkeypatch.setattr(train_verifier, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(train_verifier, "STEPS", 3)
    train_verifier.train(tmp_path / "whole")

    step = train_verifier.Optimisers.step
    calls = iter(range(3))

    def stopped(*arguments: Any, **options: Any) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt
        step(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(train_verifier.Optimisers, "step", stopped)
        with pytest.raises(KeyboardInterrupt):
            train_verifier.train(tmp_path / "parts")
    train_verifier.train(tmp_path / "parts")
    whole, parts = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    assert not list(tmp_path.glob("*/.checkpoint*"))
    (score,) = Verifier(VerifierSettings(model=str(tmp_path / "parts"))).judge([[image]], [""])
    assert score is not None
