"""The image encoder on fused attention against the library's own."""

from copy import deepcopy

import pytest
import torch
from segment_anything.modeling import ImageEncoderViT
from torch.nn.functional import scaled_dot_product_attention

from resources.sam.image_attention import QUERIES_AT_ONCE, attend_by_bias, fuse_attention, longer_heads

SIZES = {  # of ViT-B, L and H: heads, and which of the first layers see the whole image; their heads are 64, 64 and 80
    "vit_b": {"num_heads": 12, "embed_dim": 768, "global_attn_indexes": [1]},
    "vit_l": {"num_heads": 16, "embed_dim": 1024, "global_attn_indexes": [1]},
    "vit_h": {"num_heads": 16, "embed_dim": 1280, "global_attn_indexes": [1]},
    "no relative positions": {"num_heads": 2, "embed_dim": 64, "use_rel_pos": False},
}


def random_encoder(img_size=80, use_rel_pos=True, **size):
    """Two layers, the first in windows of three pixels, which do not divide the five of the image."""
    torch.manual_seed(0)
    encoder = ImageEncoderViT(img_size=img_size, depth=2, window_size=3, use_rel_pos=use_rel_pos, **size).eval()
    for name, weight in encoder.named_parameters():
        if "rel_pos" in name:  # zeros at first
            torch.nn.init.normal_(weight)
    return encoder


@pytest.mark.parametrize("size", SIZES)
def test_embeddings_are_those_of_the_library(size):
    encoder = random_encoder(**SIZES[size])
    fused = deepcopy(encoder)
    fuse_attention(fused)
    images = torch.randn(2, 3, 80, 80, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(fused(images), encoder(images), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(5, 5), (3, 6)])
def test_longer_heads_have_the_scores_as_products(height, width):
    """As they are used on a GPU."""
    attention = random_encoder(num_heads=2, embed_dim=64).blocks[1].attn
    pixels = torch.randn(2, height, width, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        projected = attention.qkv(pixels).view(2, height * width, 3, 2, -1)
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        queries, keys = longer_heads(attention, query, key, height, width)
        assert queries.shape[3] == keys.shape[3] == 32 + height + width + -(32 + height + width) % 8
        attended = scaled_dot_product_attention(queries, keys, value, scale=1.0)
        answers = attention.proj(attended.transpose(1, 2).reshape(pixels.shape))
        torch.testing.assert_close(answers, attention(pixels), atol=1e-5, rtol=1e-4)


def test_of_a_large_image_the_bias_of_a_few_heads_and_queries_at_a_time_changes_no_bit():
    side, heads = 34, 7
    assert side**2 > QUERIES_AT_ONCE
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, heads, side**2, 16, generator=generator) for _ in range(3))
    rows, columns = (torch.randn(2, heads, side**2, side, generator=generator) for _ in range(2))
    bias = rows.repeat_interleave(side, 3) + columns.repeat(1, 1, 1, side)
    whole = scaled_dot_product_attention(query, key, value, bias)
    assert torch.equal(attend_by_bias(query, key, value, rows, columns), whole)
