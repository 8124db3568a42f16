"""How right the miniature models that judge pictures are: on drawn and on generated pairs of held-out combinations."""

import random
import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks import true_pairs
from benchmarks.measurement import Measurement, percent
from benchmarks.true_pairs import TruePair
from resources.captioner import Captioner, CaptionerSettings
from resources.image_text_encoder import ImageTextEncoder, ImageTextEncoderSettings
from resources.image_text_matcher import ImageTextMatcher, ImageTextMatcherSettings
from resources.images.crops import cut
from resources.miniature.scene_pairs import Box, loosen
from resources.miniature.scenes import OBJECTS, SceneObject, parse_caption, random_caption
from resources.prompt_rewriter import PromptRewriter, PromptRewriterSettings
from resources.segmenter import Segmenter, SegmenterSettings

SEED = 3_000
GALLERY = 100
PICTURES: dict[str, Callable[[int], list[TruePair]]] = {"drawn": true_pairs.drawn, "generated": true_pairs.generated}

Floats = NDArray[np.float32]


def iou(box: Box | Sequence[float], other: Box | Sequence[float]) -> float:
    """Intersection over union of two boxes, xyxy with exclusive ends."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (box, other)]
    return shared / (sum(areas) - shared)


def area_under_curve(right: Floats, wrong: Floats) -> float:
    """How often a right answer scores higher than a wrong one; ties count half."""
    return float((right[:, None] > wrong).mean() + (right[:, None] == wrong).mean() / 2)


def measure_segmenter(settings: SegmenterSettings, count: int) -> list[Measurement]:
    """Whether each object has a proposal of its own, and how many proposals there are."""
    segmenter, measurements = Segmenter(settings), []
    for kind, pictures in PICTURES.items():
        pairs = pictures(count)
        images = [image for pair in pairs for image in pair.images]
        truths = [objects for pair in pairs for objects in pair.objects]
        proposals = segmenter.propose(images)
        covered = [
            any(iou(proposal, box) >= 0.75 for proposal in boxes)
            for (boxes, _), objects in zip(proposals, truths, strict=True)
            for _, box in objects
        ]
        number = float(np.mean([len(boxes) for boxes, _ in proposals]))
        measurements += [
            Measurement("segmenter", f"{kind}: objects with a proposal of IoU ≥ 0.75", percent(covered), 90),
            Measurement("segmenter", f"{kind}: proposals a scene", number, 8, unit="", at_most=True),
        ]
    return measurements


def measure_image_text_encoder(settings: ImageTextEncoderSettings, count: int) -> list[Measurement]:
    """Retrieval both ways among galleries of 100 distinct captions, and whether crops tell objects apart."""
    encoder, rng, measurements = ImageTextEncoder(settings), random.Random(SEED), []
    for kind, pictures in PICTURES.items():
        pairs = pictures(max(count, GALLERY))
        hits: list[list[bool]] = [[], []]
        for side in range(2):
            scenes = list({pair.captions[side]: pair.images[side] for pair in pairs}.items())
            rng.shuffle(scenes)
            for start in range(0, len(scenes) - GALLERY + 1, GALLERY):
                captions, images = zip(*scenes[start : start + GALLERY], strict=True)
                similarities = encoder.encode_images(images) @ encoder.encode_texts(captions).T
                for way, scores in zip(hits, (similarities, similarities.T), strict=True):
                    way += (scores.argmax(1) == np.arange(GALLERY)).tolist()
        crops = [_crops(rng, pair) for pair in pairs]
        left, right, again = (encoder.encode_images([each[place] for each in crops]) for place in range(3))
        separation = area_under_curve((left * again).sum(1), (left * right).sum(1))
        measurements += [
            Measurement("image_text_encoder", f"{kind}: caption found by image, top-1 of 100", percent(hits[0]), 95),
            Measurement("image_text_encoder", f"{kind}: image found by caption, top-1 of 100", percent(hits[1]), 95),
            Measurement(
                "image_text_encoder", f"{kind}: crops of one object above two, AUC", separation, 0.97, unit=""
            ),
        ]
    return measurements


def _crops(rng: random.Random, pair: TruePair) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """The replaced object, what the other image has there, and the replaced object through another loose box."""
    (_, box), _ = pair.replaced()
    same = loosen(rng, box)
    return cut(pair.images[0], same), cut(pair.images[1], same), cut(pair.images[0], loosen(rng, box))


def measure_image_text_matcher(settings: ImageTextMatcherSettings, count: int) -> list[Measurement]:
    """Whether a crop scores higher with its object's name than with the other image's object's or a random one's."""
    matcher, rng, measurements = ImageTextMatcher(settings), random.Random(SEED), []
    for kind, pictures in PICTURES.items():
        crops, right, wrong = [], [], []
        for pair in pictures(count):
            both = pair.replaced()
            for side, (thing, box) in enumerate(both):
                crops.append(cut(pair.images[side], loosen(rng, box)))
                right.append(thing.name)
                others = [name for name in OBJECTS if name != thing.name]
                wrong.append(rng.choice([both[1 - side][0].name, rng.choice(others)]))
        scores = zip(matcher.match(crops, right), matcher.match(crops, wrong), strict=True)
        measurements += [
            Measurement(
                "image_text_matcher",
                f"{kind}: {name}, right name above wrong, AUC",
                area_under_curve(*both),
                0.97,
                unit="",
            )
            for name, both in zip(("ITC", "ITM"), scores, strict=True)
        ]
    return measurements


def names_both(answer: str, left: SceneObject, right: SceneObject) -> bool:
    """Whether a difference caption names both objects, with their colours, on their sides."""
    sides = re.split(r"\band the right\b", answer)
    return len(sides) == 2 and sides[0].endswith(f"{left.phrase} ") and sides[1].endswith(f" {right.phrase}")


def measure_captioner(settings: CaptionerSettings, count: int) -> list[Measurement]:
    """Region captions of both sides, and difference captions, through the loose box of either object."""
    captioner, rng, measurements = Captioner(settings), random.Random(SEED), []
    for kind, pictures in PICTURES.items():
        regions, expected, differences = [], [], []
        for pair in pictures(count):
            (left, box), (right, other_box) = pair.replaced()
            box = loosen(rng, rng.choice((box, other_box)))
            crops = [cut(image, box) for image in pair.images]
            differences.append((crops, left, right))
            regions += [[crop] for crop in crops]
            expected += [left.phrase, right.phrase]
        captions = captioner.answer(regions, ["what is this ?"] * len(regions))
        answers = captioner.answer([crops for crops, _, _ in differences], ["what is different ?"] * len(differences))
        right_captions = [caption == phrase for caption, phrase in zip(captions, expected, strict=True)]
        right_answers = [
            names_both(answer, left, right) for answer, (_, left, right) in zip(answers, differences, strict=True)
        ]
        measurements += [
            Measurement("captioner", f"{kind}: region captions, object and colour right", percent(right_captions), 95),
            Measurement("captioner", f"{kind}: differences naming both objects rightly", percent(right_answers), 90),
        ]
    return measurements


def replaces_one_object(caption: str, answer: str) -> bool:
    """Whether the answer's caption has one noun of `caption` replaced by a new one, and nothing else changed."""
    before, after = parse_caption(caption), parse_caption(answer.partition(" : ")[2])
    if before is None or after is None or len(before[0]) != len(after[0]) or before[1] != after[1]:
        return False
    changed = [both for both in zip(before[0], after[0], strict=True) if both[0] != both[1]]
    return len(changed) == 1 and changed[0][0].colour == changed[0][1].colour


def measure_prompt_rewriter(settings: PromptRewriterSettings, count: int) -> list[Measurement]:
    """Answers to held-out captions of one and of two objects, and how many different ones a caption gets."""
    rewriter, rng = PromptRewriter(settings), random.Random(SEED)
    captions = [random_caption(rng, 1 + index % 2, held_out=True) for index in range(count)]
    answers = rewriter.rewrite(captions, range(SEED, SEED + count))
    valid = [replaces_one_object(caption, answer) for caption, answer in zip(captions, answers, strict=True)]
    several = [set(rewriter.rewrite([caption] * 10, range(SEED, SEED + 10))) for caption in captions[:20]]
    return [
        Measurement("prompt_rewriter", "answers with exactly one object changed", percent(valid), 98),
        Measurement(
            "prompt_rewriter",
            "different answers among ten",
            float(np.mean([len(each) for each in several])),
            5,
            unit="",
        ),
    ]
