"""SAM 2.1 and SAM 3 of transformers, small and with random weights, on the way that a user's takes."""

import numpy as np
import pytest

from benchmarks.architectures import save
from resources.backends.choice import backend_of
from resources.loading.failures import ModelUnavailable
from resources.segmenter import SegmenterSettings

LOOSE = {"pred_iou_threshold": 0.0, "stability_threshold": 0.0, "min_area_fraction": 0.0, "max_area_fraction": 1.0}


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    coarse = [rng.integers(0, 255, (*shape, 3), dtype=np.uint8) for shape in ((5, 7), (8, 8), (3, 9))]
    return [image.repeat(10, 0).repeat(10, 1) for image in coarse]


def segmenter(folder, **fields):
    settings = SegmenterSettings(model=str(folder), device="cpu", **{**LOOSE, **fields})
    return backend_of(settings).load(settings)


@pytest.fixture(scope="module")
def sam2(tmp_path_factory):
    return save("facebook/sam2.1-hiera-large", tmp_path_factory.mktemp("sam2"), seed=2)


@pytest.fixture(scope="module")
def sam3(tmp_path_factory):
    return save("facebook/sam3", tmp_path_factory.mktemp("sam3"))


def check(proposals, image):
    boxes, scores = proposals
    height, width = image.shape[:2]
    assert boxes.dtype == scores.dtype == np.float32
    assert boxes.shape == (len(scores), 4)
    assert (np.diff(scores) <= 0).all()
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [width, height]).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_sam_2_proposes_boxes_of_any_image(sam2, images):
    proposals = segmenter(sam2, points_per_side=4, box_nms_threshold=0.99).propose(images)
    for found, image in zip(proposals, images, strict=True):
        check(found, image)
    assert sum(len(boxes) for boxes, _ in proposals) > len(images)


def test_boxes_do_not_depend_on_batches(sam2, images):
    together = segmenter(sam2, points_per_side=4).propose(images)
    alone = segmenter(sam2, points_per_side=4, batch_size=1, points_per_batch=3).propose(images)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one[0], other[0], atol=1e-3)
        np.testing.assert_allclose(one[1], other[1], atol=1e-4)


def test_a_sam_2_keeps_to_its_thresholds(sam2, images):
    every = segmenter(sam2, points_per_side=4, box_nms_threshold=1.0).propose(images[:1])[0]
    limit = float(np.median(every[1]))
    good = segmenter(sam2, points_per_side=4, box_nms_threshold=1.0, pred_iou_threshold=limit).propose(images[:1])[0]
    assert 0 < len(good[1]) < len(every[1])
    assert (good[1] > limit).all()
    stable = segmenter(sam2, points_per_side=4, box_nms_threshold=1.0, stability_threshold=0.9).propose(images[:1])[0]
    assert len(stable[1]) < len(every[1])


def test_sam_2_gives_the_masks_of_transformers(sam2, images):
    import torch
    from PIL import Image
    from transformers import Sam2ImageProcessor, Sam2Model, Sam2Processor

    image = images[1][:64, :64]
    model = Sam2Model.from_pretrained(sam2).eval()
    processor = Sam2Processor(Sam2ImageProcessor.from_pretrained(sam2), target_size=64)
    inputs = processor(images=Image.fromarray(image), input_points=[[[[32, 32]]]], return_tensors="pt")
    with torch.inference_mode():
        told = model(**inputs)
    quality = told.iou_scores.flatten().numpy()
    found = segmenter(sam2, points_per_side=1, box_nms_threshold=1.0, pred_iou_threshold=0.0).propose([image])[0]
    (masks,) = processor.post_process_masks(told.pred_masks, inputs["original_sizes"])
    shown = masks[0].flatten(1).any(1).numpy()
    np.testing.assert_allclose(np.sort(found[1]), np.sort(quality[shown & (quality > 0)]), atol=1e-4)


def test_sam_3_finds_what_is_named(sam3, images):
    model = segmenter(sam3, text_threshold=0.0, box_nms_threshold=1.0)
    named = model.propose_named([images[0], images[0], images[2]], ["a red ball", "a star", "a star"])
    for found, image in zip(named, (images[0], images[0], images[2]), strict=True):
        check(found, image)
    assert all(len(boxes) for boxes, _ in named)
    assert named[0][1].tolist() != named[1][1].tolist()
    (alone,) = model.propose_named(images[2:], ["a star"])
    np.testing.assert_allclose(alone[0], named[2][0], atol=1e-3)
    sure = float(named[0][1][0])
    few = segmenter(sam3, text_threshold=sure, box_nms_threshold=1.0).propose_named(images[:1], ["a red ball"])[0]
    assert 0 < len(few[1]) < len(named[0][1])


def test_sam_3_finds_nothing_that_is_not_named(sam3, images):
    with pytest.raises(ModelUnavailable, match=r"bounding_boxes\.propose"):
        segmenter(sam3).propose(images)


def test_the_setting_for_names_is_no_part_of_other_segmenters():
    assert "text_threshold" not in SegmenterSettings(model="x").identity()
    assert SegmenterSettings(model="x", text_threshold=0.3).identity()["text_threshold"] == 0.3
