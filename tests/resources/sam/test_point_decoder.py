"""Decoding many points at once against the library's mask decoder, image by image."""

import json

import pytest
import torch
from safetensors.torch import load_file

from resources.loading import weights
from resources.sam.point_decoder import PointDecoder
from resources.segmenter import build_sam


def random_sam():
    """A decoder of SAM's own width, depth and heads, over few pixels."""
    torch.manual_seed(0)
    return build_sam(
        {
            "image_encoder": {"img_size": 32, "embed_dim": 8, "depth": 1, "num_heads": 1, "out_chans": 256},
            "prompt_encoder": {
                "embed_dim": 256,
                "image_embedding_size": [3, 4],
                "input_image_size": [48, 64],
                "mask_in_chans": 8,
            },
            "transformer": {"depth": 2, "embedding_dim": 256, "mlp_dim": 64, "num_heads": 8},
            "mask_decoder": {"transformer_dim": 256, "iou_head_depth": 3, "iou_head_hidden_dim": 64},
            "pixel_mean": [0] * 3,
            "pixel_std": [1] * 3,
        }
    ).eval()


def miniature_sam():
    folder = weights.locate("miniature:segmenter")
    sam = build_sam(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    sam.load_state_dict(load_file(folder / "model.safetensors"))
    return sam.eval()


def decode_with_the_library(sam, embeddings, positions, points):
    """All masks and qualities, (B, P, 3, ...)."""
    found = []
    for embedding, own in zip(embeddings, points, strict=True):
        sparse, dense = sam.prompt_encoder(
            points=(own[:, None], torch.ones(len(own), 1, dtype=torch.int)), boxes=None, masks=None
        )
        found.append(sam.mask_decoder(embedding[None], positions, sparse, dense, multimask_output=True))
    return [torch.stack(parts) for parts in zip(*found, strict=True)]


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("make", [random_sam, miniature_sam])
def test_masks_are_those_of_the_library(make, images):
    sam = make()
    height, width = sam.prompt_encoder.image_embedding_size
    random = torch.Generator().manual_seed(1)
    embeddings = torch.randn(images, sam.prompt_encoder.embed_dim, height, width, generator=random)
    points = torch.rand(images, 5, 2, generator=random) * sam.prompt_encoder.input_image_size[0]
    with torch.inference_mode():
        positions = sam.prompt_encoder.get_dense_pe()
        logits, quality = decode_with_the_library(sam, embeddings, positions, points)
        middle = quality.numel() // 2
        least = quality.flatten().sort().values[middle - 1 : middle + 1].mean().item()
        decoder = PointDecoder(sam, embeddings)
        owners, masks, qualities = decoder.decode(torch.arange(images), points, least)
        # Of one image alone, whatever its number.
        _, own_masks, own_qualities = decoder.decode(torch.tensor([images - 1]), points[-1:], least)
    good = quality > least
    assert 0 < good.sum() < good.numel()
    assert owners.tolist() == good.nonzero()[:, 0].tolist()
    torch.testing.assert_close(masks, logits[good], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(qualities, quality[good], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own_masks, logits[-1][good[-1]], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(own_qualities, quality[-1][good[-1]], atol=1e-5, rtol=1e-5)


def test_no_good_mask_is_no_mask():
    sam = random_sam()
    with torch.inference_mode():
        embeddings, points = torch.randn(2, 256, 3, 4), torch.rand(2, 5, 2) * 48
        owners, masks, qualities = PointDecoder(sam, embeddings).decode(torch.arange(2), points, 99.0)
    assert (owners.shape, masks.shape, qualities.shape) == ((0,), (0, 12, 16), (0,))
