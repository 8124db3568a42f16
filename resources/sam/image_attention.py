"""Segment Anything's image encoder (Kirillov et al., 2023, arXiv 2304.02643) on fused attention.

Beside a query's product with a key, a score has two terms that depend on the query and on the key's row or column
alone (decomposed relative positions: Li et al., 2022, arXiv 2112.01526). The library makes the map of all scores, and
copies of it with these terms. But all is one `scaled_dot_product_attention`, of queries [q × scale, terms of the rows,
terms of the columns] and keys [k, 1 at the row and else 0, 1 at the column and else 0]: longer heads, and no map. On a
CPU, whose kernel wants the heads of values to be as long, the terms are added up to one bias; of a large image to that
of a few heads and queries at a time, for all of it would go through memory.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Kernels of GPUs want the length of a head to be a multiple of this.
ALIGNMENT = 8
KERNEL_QUERIES = 256
"""How many queries a CPU's kernel takes at once where there are many: to part them at a multiple changes no sum."""
QUERIES_AT_ONCE = 4 * KERNEL_QUERIES
"""Of a head, on a CPU: of 4,096 keys their bias fits into a cache."""


def fuse_attention(encoder: Any) -> None:
    """Let an `ImageEncoderViT` attend by `scaled_dot_product_attention`; what it computes stays the same."""
    for block in encoder.blocks:
        block.attn.forward = partial(_attend, block.attn)


def _attend(attention: Any, pixels: "torch.Tensor") -> "torch.Tensor":
    """What `Attention.forward` of segment_anything returns for pixels (B, h, w, C)."""
    from torch.nn.functional import scaled_dot_product_attention

    batch, height, width, _ = pixels.shape
    projected = attention.qkv(pixels).view(batch, height * width, 3, attention.num_heads, -1)
    query, key, value = projected.permute(2, 0, 3, 1, 4).unbind()  # (B, heads, h × w, c)
    if not attention.use_rel_pos:
        attended = scaled_dot_product_attention(query, key, value)
    elif pixels.is_cpu:
        attended = attend_by_bias(query, key, value, *_position_terms(attention, query, height, width))
    else:
        attended = scaled_dot_product_attention(*longer_heads(attention, query, key, height, width), value, scale=1.0)
    answers: torch.Tensor = attention.proj(attended.transpose(1, 2).reshape(pixels.shape))
    return answers


def attend_by_bias(
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    by_row: "torch.Tensor",
    by_column: "torch.Tensor",
) -> "torch.Tensor":
    """What queries (B, heads, p, c) see, with terms (B, heads, p, h) and (B, heads, p, w) added to their scores."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    if query.shape[2] <= QUERIES_AT_ONCE:
        return scaled_dot_product_attention(query, key, value, _bias(by_row, by_column))
    # As many heads as keep all threads busy.
    heads = -(-torch.get_num_threads() * KERNEL_QUERIES // QUERIES_AT_ONCE)
    by_head = []
    for asking, keys, values, rows, columns in zip(
        *(torch.split(part, heads, 1) for part in (query, key, value, by_row, by_column)), strict=True
    ):
        few = zip(*(torch.split(part, QUERIES_AT_ONCE, 2) for part in (asking, rows, columns)), strict=True)
        by_head.append(
            torch.cat([scaled_dot_product_attention(some, keys, values, _bias(*terms)) for some, *terms in few], 2)
        )
    return torch.cat(by_head, 1)


def _bias(by_row: "torch.Tensor", by_column: "torch.Tensor") -> "torch.Tensor":
    return (by_row[..., None] + by_column[..., None, :]).flatten(3)


def longer_heads(
    attention: Any, query: "torch.Tensor", key: "torch.Tensor", height: int, width: int
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Return queries and keys (B, heads, h × w, c) made longer, so that their products are the scores."""
    import torch
    from torch.nn.functional import one_hot, pad

    place = torch.arange(height * width, device=key.device)
    marks = torch.cat([one_hot(place // width, height), one_hot(place % width, width)], 1).to(key)
    terms = torch.cat(_position_terms(attention, query, height, width), 3)
    missing = -(query.shape[3] + height + width) % ALIGNMENT
    queries = torch.cat([query * attention.scale, terms], 3)
    keys = torch.cat([key, marks.expand(*key.shape[:2], -1, -1)], 3)
    return pad(queries, (0, missing)), pad(keys, (0, missing))


def _position_terms(
    attention: Any, query: "torch.Tensor", height: int, width: int
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """What is added to the scores of queries (B, heads, h × w, c): for keys of each row, and of each column."""
    import torch
    from segment_anything.modeling.image_encoder import get_rel_pos

    grid = query.view(*query.shape[:2], height, width, -1)
    rows = get_rel_pos(height, height, attention.rel_pos_h)  # (h of the query, h of the key, c)
    columns = get_rel_pos(width, width, attention.rel_pos_w)
    by_row = torch.einsum("bnhwc,hkc->bnhwk", grid, rows).flatten(2, 3)
    return by_row, torch.einsum("bnhwc,wkc->bnhwk", grid, columns).flatten(2, 3)
