"""Prompt-to-Prompt (Hertz et al. 2022, arXiv 2208.01626) on a stock diffusers Stable Diffusion XL pipeline.

A *source* and a *target* image start from the same noise and are denoised side by side. While an edit lasts, the
target's attention maps are made from the source's, so that the target keeps the source's composition: in
self-attention it takes the source's map as it is; in cross-attention it takes the mixture of the source's map and its
own that a `PromptEdit` describes.

Both rules are linear in the maps, so no map is ever built: with A(q, k) v = scaled dot product attention,

    target output = A(source q, source k) (source_map @ target v) + A(target q, target k) (own_weight * target v).

Everything is a tensor with a row per pair, so a batch may hold many pairs with different edits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from resources.prompt_edits import PromptEdit

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class EditWindows:
    """When and where maps are replaced: from the first step on, for these fractions (0 to 1) of all steps."""

    cross_replace_steps: float
    self_replace_steps: float
    self_replace_max_pixels: int  # self-attention layers over more positions than this are left alone


def generate_pairs(
    pipeline: Any,
    sources: Sequence[str],
    targets: Sequence[str],
    edits: Sequence[PromptEdit],
    windows: EditWindows,
    **arguments: Any,
) -> Any:
    """Call an SDXL pipeline once on n source and n target prompts, each target controlled by its source.

    The batch is `[*sources, *targets]`, and so are the images of the pipeline's output, which is returned. Without
    guidance the batch is all there is; with it, only the conditional half is edited. What is left alone is computed
    exactly as the stock pipeline computes it, so that source images equal those of an uncontrolled run of this batch
    bit by bit. `arguments` go to the pipeline; the two noises of a pair are the caller's to make equal. The pipeline
    is left as it was found, whatever happens.
    """
    unet = pipeline.unet
    control = _AttentionControl(pipeline, edits, windows)
    stock = unet.attn_processors
    hook = unet.register_forward_pre_hook(control.begin_step)
    try:
        unet.set_attn_processor(
            {
                name: _ControlledAttention(control) if ".transformer_blocks." in name else processor
                for name, processor in stock.items()
            }
        )
        return pipeline(prompt=[*sources, *targets], **arguments)
    finally:
        hook.remove()
        unet.set_attn_processor(stock)


class _AttentionControl:
    """The edits of one batch, and which of them hold at the step under way. Lives for one call of the pipeline."""

    def __init__(self, pipeline: Any, edits: Sequence[PromptEdit], windows: EditWindows) -> None:
        import torch

        self._pipeline = pipeline
        self._windows = windows
        self._pairs = len(edits)
        self._steps_begun = 0
        self._edits_cross = self._edits_self = False
        place = {"device": pipeline.unet.device, "dtype": pipeline.unet.dtype}
        # With an axis for the heads: (pairs, 1, L, L) and (pairs, 1, L, 1).
        self._source_maps = torch.from_numpy(np.stack([edit.source_map for edit in edits])).to(**place)[:, None]
        own_weights = np.stack([edit.own_weight for edit in edits])
        self._own_weights = torch.from_numpy(own_weights).to(**place)[:, None, :, None] if own_weights.any() else None

    def begin_step(self, unet: Any, arguments: Any) -> None:
        """Decide what holds during the coming call of the UNet; runs as its forward pre-hook."""
        # Schedulers of higher order call the UNet more than once a step: a fraction of the steps is one of the calls.
        calls = self._pipeline.num_timesteps
        self._edits_cross = self._steps_begun < round(self._windows.cross_replace_steps * calls)
        self._edits_self = self._steps_begun < round(self._windows.self_replace_steps * calls)
        self._steps_begun += 1

    def self_attention(self, query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor") -> "torch.Tensor":
        """Attend within the images; all tensors are (batch, heads, pixels, channels)."""
        from torch.nn.functional import scaled_dot_product_attention

        if self._edits_self and query.shape[2] <= self._windows.self_replace_max_pixels:
            query, key = self._with_source_as_target(query), self._with_source_as_target(key)
        return scaled_dot_product_attention(query, key, value)

    def cross_attention(self, query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor") -> "torch.Tensor":
        """Attend to the prompts; `query` is (batch, heads, pixels, channels), `key` and `value` have L positions."""
        import torch
        from torch.nn.functional import scaled_dot_product_attention

        if not self._edits_cross:
            return scaled_dot_product_attention(query, key, value)
        rest, target = slice(None, -self._pairs), slice(-self._pairs, None)
        output = scaled_dot_product_attention(
            self._with_source_as_target(query),
            self._with_source_as_target(key),
            torch.cat([value[rest], self._source_maps @ value[target]]),
        )
        if self._own_weights is not None:
            own_value = self._own_weights * value[target]
            output[target] += scaled_dot_product_attention(query[target], key[target], own_value)
        return output

    def _with_source_as_target(self, rows: "torch.Tensor") -> "torch.Tensor":
        """Put the conditional source rows in place of the target rows, which come last, right after them."""
        import torch

        return torch.cat([rows[: -self._pairs], rows[-2 * self._pairs : -self._pairs]])


class _ControlledAttention:
    """A diffusers attention processor for the transformer blocks of the SDXL UNet.

    It computes what the stock processor does there, operation by operation: these blocks have no mask and no
    normalisation, residual or scale of their own.
    """

    def __init__(self, control: _AttentionControl) -> None:
        self._control = control

    def __call__(
        self,
        attn: Any,
        hidden_states: "torch.Tensor",
        encoder_hidden_states: "torch.Tensor | None" = None,
        attention_mask: None = None,
    ) -> "torch.Tensor":
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        attend = self._control.self_attention if encoder_hidden_states is None else self._control.cross_attention
        query, key, value = (
            projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for projected in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        attended = attend(query, key, value).transpose(1, 2).flatten(2)
        projection, dropout = attn.to_out
        output: torch.Tensor = dropout(projection(attended))
        return output
