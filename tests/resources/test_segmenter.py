import json
import random
import shutil
from pickle import UnpicklingError

import numpy as np
import pytest
import segment_anything
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from segment_anything import SamAutomaticMaskGenerator
from torchvision.ops import box_iou

from resources.loading import weights
from resources.miniature.scenes import draw_scene
from resources.sam.image_attention import fuse_attention
from resources.sam.point_decoder import PointDecoder
from resources.segmenter import Segmenter, SegmenterSettings, build_sam, load_sam

SETTINGS = {
    "model": "miniature:segmenter",
    "points_per_side": 6,
    "pred_iou_threshold": 0.75,
    "stability_threshold": 0.85,
    "box_nms_threshold": 0.6,
}


SMALL = {
    "image_encoder": {
        "img_size": 128, "embed_dim": 32, "depth": 2, "num_heads": 2, "window_size": 3, "global_attn_indexes": [1],
        "use_rel_pos": True,
    },
    "prompt_encoder": {
        "embed_dim": 256, "image_embedding_size": [8, 8], "input_image_size": [128, 128], "mask_in_chans": 16,
    },
    "transformer": {"depth": 2, "embedding_dim": 256, "mlp_dim": 2048, "num_heads": 8},
    "mask_decoder": {"transformer_dim": 256, "iou_head_depth": 3, "iou_head_hidden_dim": 256},
    "pixel_mean": [123.675, 116.28, 103.53],
    "pixel_std": [58.395, 57.12, 57.375],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder():
    return weights.locate("miniature:segmenter")


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(random.Random(seed)) for seed in range(8)]


@pytest.fixture(scope="module")
def images(scenes):
    """Scenes as they are, and two stretched to shapes that must be scaled and padded."""
    wide, high = (Image.fromarray(scene.image) for scene in scenes[:2])
    stretched = [np.array(wide.resize((90, 70))), np.array(high.resize((50, 80)))]
    return [scene.image for scene in scenes[2:6]] + stretched


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter(SegmenterSettings(**SETTINGS))


def test_proposals_are_those_of_the_automatic_mask_generator(images):
    segmenter = Segmenter(SegmenterSettings(**SETTINGS, min_area_fraction=0, max_area_fraction=1))
    reference = SamAutomaticMaskGenerator(
        load_sam(weights.locate("miniature:segmenter")).eval(),
        points_per_side=6,
        pred_iou_thresh=0.75,
        stability_score_thresh=0.85,
        box_nms_thresh=0.6,
    )
    proposals = segmenter.propose(images)
    assert sum(len(scores) for _, scores in proposals) >= len(images)
    for image, (boxes, scores) in zip(images, proposals, strict=True):
        expected = reference.generate(image)
        assert len(boxes) == len(expected)
        # The generator's boxes are xywh, without the last row and column of the mask.
        wanted = torch.tensor(
            [[x, y, x + width + 1, y + height + 1] for x, y, width, height in (m["bbox"] for m in expected)]
        )
        overlaps = box_iou(torch.from_numpy(boxes), wanted.float())
        assert overlaps.amax(0).min() >= 0.95
        assert overlaps.amax(1).min() >= 0.95
        # Both keep one of several nearly equal masks, so the qualities may differ by as much as those do.
        np.testing.assert_allclose(scores, [mask["predicted_iou"] for mask in expected], atol=0.05)


def test_proposals_of_random_weights_are_those_of_the_automatic_mask_generator(images, tmp_path):
    """Windows, a decoder of SAM's own size, four pixels a logit: noise, above a threshold that leaves spots of it."""
    torch.manual_seed(0)
    sam = build_sam(SMALL)
    torch.nn.init.constant_(sam.mask_decoder.iou_prediction_head.layers[-1].bias, 0.5)
    for mlp in sam.mask_decoder.output_hypernetworks_mlps:
        mlp.layers[-1].weight.data *= 300
    save_file(sam.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(SMALL), encoding="utf-8")
    limits = {"min_area_fraction": 0, "max_area_fraction": 1, "stability_threshold": 0.2, "box_nms_threshold": 1}
    segmenter = Segmenter(SegmenterSettings(model=str(tmp_path), points_per_side=4, pred_iou_threshold=0.5, **limits))
    reference = SamAutomaticMaskGenerator(
        load_sam(tmp_path).eval(),
        points_per_side=4,
        pred_iou_thresh=0.5,
        stability_score_thresh=0.2,
        box_nms_thresh=1,
    )
    # Of the model's side, for the generator resizes images in another way, and here a grain more or less shows.
    large = [np.array(Image.fromarray(images[0]).resize(size)) for size in [(96, 128), (128, 100), (128, 128)]]
    found = set()
    for threshold in (0.0, 27.0):
        segmenter._sam.mask_threshold = reference.predictor.model.mask_threshold = threshold
        for image, (boxes, _) in zip(large, segmenter.propose(large), strict=True):
            wanted = [mask["bbox"] for mask in reference.generate(image)]
            corners = sorted((x, y, x + width + 1, y + height + 1) for x, y, width, height in wanted)
            assert sorted(map(tuple, boxes.tolist())) == corners
            found.update(corners)
    assert len(found) > 20


def test_drawn_objects_are_covered(segmenter, scenes):
    found = total = 0
    for scene, (boxes, _) in zip(scenes, segmenter.propose([scene.image for scene in scenes]), strict=True):
        overlaps = box_iou(torch.from_numpy(scene.boxes).float(), torch.from_numpy(boxes))
        found += int((overlaps.amax(1) >= 0.75).sum())
        total += len(scene.boxes)
    assert found >= 0.9 * total


def test_proposals_are_float_boxes_inside_the_image_best_first(segmenter, images):
    for image, (boxes, scores) in zip(images, segmenter.propose(images), strict=True):
        assert boxes.dtype == scores.dtype == np.float32
        assert boxes.shape == (len(scores), 4)
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, :2] < boxes[:, 2:]).all()
        assert (boxes[:, 2:] <= image.shape[1::-1]).all()
        assert (np.diff(scores) <= 0).all()


def test_boxes_outside_the_area_limits_are_dropped(images):
    free = Segmenter(SegmenterSettings(**SETTINGS, min_area_fraction=0, max_area_fraction=1))
    bound = Segmenter(SegmenterSettings(**SETTINGS, min_area_fraction=0.1, max_area_fraction=0.2))

    def fractions(segmenter):
        return [
            float((box[2] - box[0]) * (box[3] - box[1]) / (image.shape[0] * image.shape[1]))
            for image, (boxes, _) in zip(images, segmenter.propose(images), strict=True)
            for box in boxes
        ]

    assert not all(0.1 <= fraction <= 0.2 for fraction in fractions(free))
    assert all(0.1 <= fraction <= 0.2 for fraction in fractions(bound))


def test_proposals_depend_neither_on_the_batch_nor_on_how_many_points_are_decoded_at_once(segmenter, images):
    together = segmenter.propose(images)
    other = Segmenter(SegmenterSettings(**SETTINGS, batch_size=1, points_per_batch=10))
    for (boxes, scores), (other_boxes, other_scores) in zip(
        together, reversed(other.propose(images[::-1])), strict=True
    ):
        np.testing.assert_allclose(boxes, other_boxes, atol=1)
        np.testing.assert_allclose(scores, other_scores, atol=1e-3)


def test_half_precision_finds_the_same_boxes(segmenter, images):
    half = Segmenter(SegmenterSettings(**SETTINGS, dtype="bfloat16"))
    for (boxes, _), (other_boxes, _) in zip(segmenter.propose(images[:2]), half.propose(images[:2]), strict=True):
        overlaps = box_iou(torch.from_numpy(boxes), torch.from_numpy(other_boxes))
        assert (overlaps.amax(1) > 0.85).float().mean() >= 0.75


@pytest.mark.parametrize(
    "part",
    ["image_encoder.neck.2", "mask_decoder.iou_prediction_head.layers.1", "mask_decoder.output_upscaling.3"],
    ids=["embeddings", "qualities", "logits"],
)
def test_what_is_not_numbers_is_an_error(images, part):
    broken = Segmenter(SegmenterSettings(**SETTINGS))
    with torch.no_grad():
        broken._sam.get_submodule(part).weight.view(-1)[-1] = torch.nan
    with pytest.raises(FloatingPointError, match="'miniature:segmenter' made masks that are not numbers in float32"):
        broken.propose(images[:1])


def test_no_images_have_no_proposals(segmenter):
    assert segmenter.propose([]) == []


def test_the_number_of_points_decoded_at_once_is_no_part_of_what_boxes_depend_on():
    one, other = (SegmenterSettings(model="a", points_per_batch=count) for count in (1, 2))
    assert one.identity() == other.identity()
    assert one.identity() != SegmenterSettings(model="a", points_per_side=9).identity()


@pytest.mark.parametrize("kind", ["vit_b", "vit_l", "vit_h"])
def test_an_official_checkpoint_is_known_by_its_name(folder, tmp_path, monkeypatch, kind):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    monkeypatch.setitem(segment_anything.sam_model_registry, kind, lambda: build_sam(config))
    state = load_file(folder / "model.safetensors")
    torch.save(state, tmp_path / f"sam_{kind}_0b3195.pth")
    loaded = load_sam(tmp_path / f"sam_{kind}_0b3195.pth").state_dict()
    for name, tensor in state.items():
        torch.testing.assert_close(loaded[name], tensor.float())


@pytest.mark.parametrize(("kind", "millions"), [("vit_b", 93.7), ("vit_l", 312.3), ("vit_h", 641.1)])
def test_the_official_sizes_are_decoded_too(kind, millions):
    """On the meta device: shapes are computed, numbers are not."""
    with torch.device("meta"):
        sam = segment_anything.sam_model_registry[kind]().eval()
        assert sum(weight.numel() for weight in sam.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)
        fuse_attention(sam.image_encoder)
        embeddings = sam.image_encoder(torch.empty(2, 3, 1024, 1024))
        assert embeddings.shape == (2, 256, 64, 64)
        tokens, pixels = PointDecoder(sam, embeddings).attend_both_ways(torch.arange(2), torch.empty(16, 2, 256))
    assert (tokens.shape, pixels.shape) == ((16, 4, 256), (16, 4096, 256))


def test_a_checkpoint_of_unknown_size_is_an_error(tmp_path):
    (tmp_path / "sam.pth").touch()
    with pytest.raises(ValueError, match="must have vit_b, vit_l or vit_h in its name"):
        load_sam(tmp_path / "sam.pth")


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", torch.nn.Identity)
    torch.save({"weight": SegmenterSettings}, tmp_path / "sam_vit_b.pth")
    with pytest.raises(UnpicklingError):
        load_sam(tmp_path / "sam_vit_b.pth")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_an_incomplete_folder_is_an_error(folder, tmp_path, missing):
    shutil.copytree(folder, tmp_path / "sam")
    (tmp_path / "sam" / missing).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no {missing}"):
        load_sam(tmp_path / "sam")
