"""Segment Anything's mask decoder (Kirillov et al., 2023, arXiv 2304.02643) for many points of many images at once.

It computes what `segment_anything.modeling.MaskDecoder` computes, with less arithmetic:

- what the points of an image share, the first layer's projections of the image, is computed once per image;
- an attention between t tokens in h heads and the image's pixels never projects the pixels. With W the projection,
  `q @ (pixels @ W).T` is `(q @ W.T) @ pixels.T`, and `a @ (pixels @ W)` is `(a @ pixels) @ W`: h × t numbers per pixel
  (7 × 8 in SAM) in place of the projection's width (128);
- masks are drawn only for points with a mask of good predicted quality.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from segment_anything.modeling import Sam


def decode_points(
    sam: "Sam",
    embeddings: "torch.Tensor",
    positions: "torch.Tensor",
    points: "torch.Tensor",
    min_quality: float,
) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
    """Return the masks whose predicted quality is above `min_quality`: owners, logits and qualities.

    `embeddings` (B, C, h, w) are the image encoder's, `positions` (1, C, h, w) the prompt encoder's dense ones, and
    `points` (B, P, 2) the foreground points of each image, x and y in pixels of the model's input. Owners (K,) say
    which of the B images a mask is of, logits (K, 4h, 4w) are its mask, qualities (K,) float32 its predicted IoU.
    """
    import torch

    decoder = sam.mask_decoder
    labels = torch.ones(points.shape[0] * points.shape[1], 1, dtype=torch.int, device=points.device)
    sparse, dense = sam.prompt_encoder(points=(points.reshape(-1, 1, 2), labels), boxes=None, masks=None)
    # What stands for "no mask given" is the same for every point.
    tokens, pixels = attend_both_ways(decoder, embeddings + dense[:1], positions, sparse)
    quality = decoder.iou_prediction_head(tokens[:, 0])[:, 1:].float()
    point, mask = (quality > min_quality).nonzero(as_tuple=True)
    drawn, row = point.unique(return_inverse=True)
    strokes = torch.stack(
        [mlp(tokens[drawn, 1 + number]) for number, mlp in enumerate(decoder.output_hypernetworks_mlps)], 1
    )[:, 1:]
    canvas = decoder.output_upscaling(pixels[drawn].transpose(1, 2).reshape(-1, *embeddings.shape[1:]))
    masks = (strokes @ canvas.flatten(2)).view(*strokes.shape[:2], *canvas.shape[2:])
    return point // points.shape[1], masks[row, mask], quality[point, mask]


def attend_both_ways(
    decoder: Any, embeddings: "torch.Tensor", positions: "torch.Tensor", prompts: "torch.Tensor"
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Let prompts (B × P, t, C) and the pixels of their images (B, C, h, w) attend to each other.

    Returns the tokens (B × P, 5 + t, C), of which the first is for the quality and the next four for the masks, and
    the pixels (B × P, h × w, C) as each prompt sees them.
    """
    import torch

    transformer = decoder.transformer
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    names = tokens = torch.cat([own.expand(len(prompts), -1, -1), prompts], 1)
    pixels, positions = (maps.flatten(2).transpose(1, 2) for maps in (embeddings, positions))
    for number, layer in enumerate(transformer.layers):
        if layer.skip_first_layer_pe:
            tokens = layer.self_attn(q=tokens, k=tokens, v=tokens)
        else:
            named = tokens + names
            tokens = tokens + layer.self_attn(q=named, k=named, v=tokens)
        tokens = layer.norm1(tokens)
        placed = pixels + positions
        from_pixels = _ask_shared_pixels if number == 0 else _ask_pixels
        tokens = layer.norm2(tokens + from_pixels(layer.cross_attn_token_to_image, tokens + names, placed, pixels))
        tokens = layer.norm3(tokens + layer.mlp(tokens))
        told = _tell_pixels(layer.cross_attn_image_to_token, placed, tokens + names, tokens)
        pixels = layer.norm4((pixels[:, None] + told.view(len(pixels), -1, *told.shape[1:])).flatten(0, 1))
    asked = _ask_pixels(transformer.final_attn_token_to_image, tokens + names, pixels + positions, pixels)
    return transformer.norm_final_attn(tokens + asked), pixels


def _heads(attention: Any, projected: Any) -> Any:
    """(N, t, heads × c) to (N, heads, t, c)."""
    return projected.unflatten(2, (attention.num_heads, -1)).transpose(1, 2)


def _per_head(attention: Any, projection: Any) -> Any:
    """The weight of a projection from C channels as (heads, c, C)."""
    return projection.weight.unflatten(0, (attention.num_heads, -1))


def _ask_shared_pixels(
    attention: Any, asking: "torch.Tensor", placed: "torch.Tensor", pixels: "torch.Tensor"
) -> "torch.Tensor":
    """Attend from tokens (N, t, C) to the pixels (B, p, C) of their images, which all prompts of an image share."""
    from torch.nn.functional import scaled_dot_product_attention

    query = attention.q_proj(asking).unflatten(0, (len(pixels), -1)).flatten(1, 2)
    attended = scaled_dot_product_attention(
        _heads(attention, query),
        _heads(attention, attention.k_proj(placed)),
        _heads(attention, attention.v_proj(pixels)),
    )
    answers: torch.Tensor = attention.out_proj(attended.transpose(1, 2).reshape(*asking.shape[:2], -1))
    return answers


def _ask_pixels(
    attention: Any, asking: "torch.Tensor", placed: "torch.Tensor", pixels: "torch.Tensor"
) -> "torch.Tensor":
    """Attend from tokens (N, t, C) to pixels (N, p, C), which are not projected.

    The bias of the keys adds the same to all scores of a token, and falls out of the softmax.
    """
    query = _heads(attention, attention.q_proj(asking))
    reading = (query @ _per_head(attention, attention.k_proj)).flatten(1, 2) * query.shape[-1] ** -0.5
    weights = (reading @ placed.transpose(1, 2)).softmax(-1)
    seen = (weights @ pixels).unflatten(1, (attention.num_heads, -1))
    values = seen @ _per_head(attention, attention.v_proj).transpose(1, 2)
    answers: torch.Tensor = attention.out_proj(values.transpose(1, 2).flatten(2) + attention.v_proj.bias)
    return answers


def _tell_pixels(
    attention: Any, placed: "torch.Tensor", names: "torch.Tensor", tokens: "torch.Tensor"
) -> "torch.Tensor":
    """Attend from pixels, (N, p, C) or shared ones (B, p, C), to tokens (N, t, C); returns (N, p, C)."""
    heads = attention.num_heads
    key = _heads(attention, attention.k_proj(names))
    key = key * key.shape[-1] ** -0.5
    prompts = len(tokens) // len(placed)
    # Pixels come last in the scores, for a softmax over the few tokens is slow where these lie side by side.
    if prompts > 1:
        query = _heads(attention, attention.q_proj(placed))  # (B, heads, p, c)
        shared = key.unflatten(0, (-1, prompts)).transpose(1, 2).flatten(2, 3)  # (B, heads, prompts × t, c)
        scores = (shared @ query.mT).unflatten(2, (prompts, -1)).transpose(1, 2).flatten(0, 1)
    else:
        reading = (key @ _per_head(attention, attention.q_proj)).flatten(1, 2)
        bias = key @ attention.q_proj.bias.unflatten(0, (heads, -1, 1))  # (N, heads, t, 1)
        scores = (reading @ placed.mT).view(*bias.shape[:3], -1) + bias
    value = _heads(attention, attention.v_proj(tokens))
    output = attention.out_proj.weight.T.unflatten(0, (heads, -1))  # (heads, c, C)
    told = scores.softmax(2).flatten(1, 2).mT @ (value @ output).flatten(1, 2)
    answers: torch.Tensor = told + attention.out_proj.bias
    return answers
