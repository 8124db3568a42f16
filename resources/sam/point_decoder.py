"""Segment Anything's mask decoder (Kirillov et al., 2023, arXiv 2304.02643) for many points of many images.

It computes what `segment_anything.modeling.MaskDecoder` computes, with less arithmetic:

- what the points of an image share, the first layer's projections of the image, is computed once per image;
- an attention between t tokens in h heads and the image's pixels never projects the pixels. With W the projection,
  `q @ (pixels @ W).T` is `(q @ W.T) @ pixels.T`, and `a @ (pixels @ W)` is `(a @ pixels) @ W`: h × t numbers per pixel
  (7 × 8 in SAM) in place of the projection's width (128);
- the last attention is asked only for the tokens that are read;
- masks are drawn only for points with a mask of good predicted quality, and with channels last, where a transposed
  convolution by steps of its kernel's size is one product. Then only masks are put into the order of an image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from segment_anything.modeling import Sam


class PointDecoder:
    """Decodes points of images whose embeddings (B, C, h, w), those of the image encoder, it is given."""

    def __init__(self, sam: "Sam", embeddings: "torch.Tensor") -> None:
        self._prompt_encoder, self._decoder = sam.prompt_encoder, sam.mask_decoder
        # What stands for "no mask given" is the same for every point.
        _, no_mask = self._prompt_encoder(points=None, boxes=None, masks=None)
        positions = self._prompt_encoder.get_dense_pe()
        placed = positions.flatten(2).transpose(1, 2)
        pixels = (embeddings + no_mask).flatten(2).transpose(1, 2)
        self._images = _SharedPixels.seen_by(self._decoder.transformer.layers[0], pixels, placed)
        # Added for each point: in the order of what they are added to, which is several times as fast.
        self._positions = placed.contiguous()
        self._shape = embeddings.shape[2:]

    def decode(
        self, images: "torch.Tensor", points: "torch.Tensor", min_quality: float
    ) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
        """Return the masks whose predicted quality is above `min_quality`: owners, logits and qualities.

        `images` (I,) are numbers of images, and `points` (I, P, 2) the foreground points of each, x and y in pixels of
        the model's input. Owners (K,) say which of the B images a mask is of, logits (K, 4h, 4w) float32 are its mask,
        qualities (K,) float32 its predicted IoU. Qualities that are not numbers are among them, for the caller to see.
        """
        import torch

        labels = torch.ones(points.shape[0] * points.shape[1], 1, dtype=torch.int, device=points.device)
        prompts, _ = self._prompt_encoder(points=(points.reshape(-1, 1, 2), labels), boxes=None, masks=None)
        tokens, pixels = self.attend_both_ways(images, prompts)
        quality = self._decoder.iou_prediction_head(tokens[:, 0])[:, 1:].float()
        good = ~(quality <= min_quality)
        point, mask = good.nonzero(as_tuple=True)
        drawn, row = point.unique_consecutive(return_inverse=True)
        if len(drawn) < len(pixels):
            pixels = pixels.index_select(0, drawn)  # much faster than by [drawn] on a CPU
        masks = self._draw(tokens[drawn, 1:], pixels)
        wanted = masks.flatten(0, 1).index_select(0, row * masks.shape[1] + mask).float()
        return images[point // points.shape[1]], _as_image(wanted, self._shape), quality[point, mask]

    def attend_both_ways(
        self, images: "torch.Tensor", prompts: "torch.Tensor"
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Let prompts (I × P, t, C) and the pixels of their images (I,) attend to each other.

        Returns the tokens (I × P, 4, C), of which the first is for the quality and the others for the masks, and the
        pixels (I × P, h × w, C) as each prompt sees them.
        """
        import torch

        transformer = self._decoder.transformer
        own = torch.cat([self._decoder.iou_token.weight, self._decoder.mask_tokens.weight])
        names = tokens = torch.cat([own.expand(len(prompts), -1, -1), prompts], 1)
        seen: _SharedPixels | _OwnPixels = self._images.of(images)
        for layer in transformer.layers:
            if layer.skip_first_layer_pe:
                tokens = layer.self_attn(q=tokens, k=tokens, v=tokens)
            else:
                named = tokens + names
                tokens = tokens + layer.self_attn(q=named, k=named, v=tokens)
            tokens = layer.norm1(tokens)
            tokens = layer.norm2(tokens + seen.answer(layer.cross_attn_token_to_image, tokens + names))
            tokens = layer.norm3(tokens + layer.mlp(tokens))
            pixels = layer.norm4(_tell(layer.cross_attn_image_to_token, seen, tokens + names, tokens))
            seen = _OwnPixels(pixels, pixels + self._positions)
        # All but the first mask's, which is for prompts that leave no doubt, and the prompt's own.
        read = [0, *range(2, len(own))]
        tokens, names = tokens[:, read], names[:, read]
        tokens = tokens + seen.answer(transformer.final_attn_token_to_image, tokens + names)
        return transformer.norm_final_attn(tokens), pixels

    def _draw(self, tokens: "torch.Tensor", pixels: "torch.Tensor") -> "torch.Tensor":
        """The masks (N, 3, h × w × 16) of mask tokens (N, 3, C) on pixels (N, h × w, C); see `_as_image`."""
        import torch
        from torch.nn.functional import layer_norm

        first, norm, _, second, _ = self._decoder.output_upscaling
        gelu_ = torch.ops.aten.gelu_  # in place, for canvases are the largest tensors there are
        canvas = _twice_as_fine(first, pixels)
        canvas = gelu_(layer_norm(canvas, canvas.shape[-1:], norm.weight, norm.bias, norm.eps))
        canvas = gelu_(_twice_as_fine(second, canvas))
        brushes = self._decoder.output_hypernetworks_mlps[1:]
        strokes = torch.stack([brush(tokens[:, number]) for number, brush in enumerate(brushes)], 1)
        masks: torch.Tensor = strokes @ canvas.flatten(1, -2).mT
        return masks


@dataclass(frozen=True, slots=True)
class _SharedPixels:
    """Pixels (B, p, C) before the first layer, which all prompts of an image share, projected for both attentions."""

    pixels: "torch.Tensor"
    key: "torch.Tensor"  # (B, heads, p, c), as are the next two
    value: "torch.Tensor"
    query: "torch.Tensor"

    @classmethod
    def seen_by(cls, layer: Any, pixels: "torch.Tensor", positions: "torch.Tensor") -> "_SharedPixels":
        ask, tell = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
        placed = pixels + positions
        projected = (ask, ask.k_proj(placed)), (ask, ask.v_proj(pixels)), (tell, tell.q_proj(placed))
        return cls(pixels.contiguous(), *(_heads(*one).contiguous() for one in projected))

    def of(self, images: "torch.Tensor") -> "_SharedPixels":
        """Those of some images (I,); of one image they are not copied, which takes a CPU as long as a product."""
        some = slice(int(images[0]), int(images[0]) + 1) if len(images) == 1 else images
        return _SharedPixels(self.pixels[some], self.key[some], self.value[some], self.query[some])

    def answer(self, attention: Any, asking: "torch.Tensor") -> "torch.Tensor":
        """What tokens (B × P, t, C) see in the pixels of their images."""
        from torch.nn.functional import scaled_dot_product_attention

        query = _by_image(attention.q_proj(asking), self.pixels).flatten(1, 2)
        attended = scaled_dot_product_attention(_heads(attention, query), self.key, self.value)
        answers: torch.Tensor = attention.out_proj(attended.transpose(1, 2).reshape(*asking.shape[:2], -1))
        return answers

    def scores(self, attention: Any, key: "torch.Tensor") -> "torch.Tensor":
        """How well keys of tokens (B × P, heads, t, c) fit the pixels: (B × P, heads, t, p)."""
        together = _by_image(key, self.pixels).transpose(1, 2).flatten(2, 3)  # (B, heads, P × t, c)
        apart: Any = together @ self.query.mT
        scores: torch.Tensor = apart.unflatten(2, (-1, key.shape[2])).transpose(1, 2).flatten(0, 1)
        return scores


@dataclass(frozen=True, slots=True)
class _OwnPixels:
    """Pixels (N, p, C) as each prompt sees them, without and with their positions; they are never projected."""

    pixels: "torch.Tensor"
    placed: "torch.Tensor"

    def answer(self, attention: Any, asking: "torch.Tensor") -> "torch.Tensor":
        """What tokens (N, t, C) see in their pixels.

        The bias of the keys adds the same to all scores of a token, and falls out of the softmax.
        """
        query = _heads(attention, attention.q_proj(asking))
        reading = (query @ _per_head(attention, attention.k_proj)).flatten(1, 2) * query.shape[-1] ** -0.5
        weights = (reading @ self.placed.mT).softmax(-1)
        read = (weights @ self.pixels).unflatten(1, (attention.num_heads, -1))
        values = read @ _per_head(attention, attention.v_proj).mT
        answers: torch.Tensor = attention.out_proj(values.transpose(1, 2).flatten(2) + attention.v_proj.bias)
        return answers

    def scores(self, attention: Any, key: "torch.Tensor") -> "torch.Tensor":
        """How well keys of tokens (N, heads, t, c) fit the pixels: (N, heads, t, p)."""
        reading = (key @ _per_head(attention, attention.q_proj)).flatten(1, 2)
        bias = key @ attention.q_proj.bias.unflatten(0, (attention.num_heads, -1, 1))  # (N, heads, t, 1)
        scores: torch.Tensor = (reading @ self.placed.mT).view(*bias.shape[:3], -1) + bias
        return scores


def _tell(
    attention: Any, seen: _SharedPixels | _OwnPixels, names: "torch.Tensor", tokens: "torch.Tensor"
) -> "torch.Tensor":
    """The pixels (N, p, C) after their attention to tokens (N, t, C) has been added to them."""
    key = _heads(attention, attention.k_proj(names))
    # Pixels come last in the scores, for a softmax over the few tokens is slow where these lie side by side.
    weights = seen.scores(attention, key * key.shape[-1] ** -0.5).softmax(2)
    output = attention.out_proj.weight.T.unflatten(0, (attention.num_heads, -1))  # (heads, c, C)
    # The weights of a head sum to one, so each may bring its part of the bias.
    told = _heads(attention, attention.v_proj(tokens)) @ output + attention.out_proj.bias / attention.num_heads
    pixels: torch.Tensor = weights.flatten(1, 2).mT @ told.flatten(1, 2)
    _by_image(pixels, seen.pixels).add_(seen.pixels[:, None])
    return pixels


def _by_image(values: "torch.Tensor", images: "torch.Tensor") -> "torch.Tensor":
    """(B × P, ...) of the prompts of `images` (B, ...) as (B, P, ...)."""
    return values.view(len(images), -1, *values.shape[1:])


def _heads(attention: Any, projected: Any) -> Any:
    """(N, t, heads × c) to (N, heads, t, c)."""
    return projected.unflatten(2, (attention.num_heads, -1)).transpose(1, 2)


def _per_head(attention: Any, projection: Any) -> Any:
    """The weight of a projection from C channels as (heads, c, C)."""
    return projection.weight.unflatten(0, (attention.num_heads, -1))


def _twice_as_fine(layer: Any, pixels: "torch.Tensor") -> "torch.Tensor":
    """Pixels (..., C) by a transposed convolution of 2 × 2 with stride 2: (..., 4, c), two rows of two for each."""
    from torch.nn.functional import linear

    weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)
    return linear(pixels, weight, layer.bias.repeat(4)).view(*pixels.shape[:-1], 4, layer.out_channels)


def _as_image(masks: "torch.Tensor", shape: Sequence[int]) -> "torch.Tensor":
    """Masks (K, h × w × 16), pixel by pixel four by four in two steps, to (K, 4h, 4w), row by row."""
    import torch

    # Two side by side are moved as one number, for small steps are slow.
    pairs = masks.view(torch.int64).view(-1, *shape, 2, 2, 2)  # (K, y, x, dy, dx, ey), a pair of ex
    return pairs.permute(0, 1, 3, 5, 2, 4).flatten(4).flatten(1, 3).view(masks.dtype)
