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
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from resources.attention.local_blend import BlendMasks, LocalBlend
from resources.attention.prompt_edits import PromptEdit
from resources.attention.shortcuts import Shortcuts, ShortRun

if TYPE_CHECKING:
    import torch

EXACT = Shortcuts()


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
    blend: LocalBlend | None = None,
    shortcuts: Shortcuts = EXACT,
    **arguments: Any,
) -> Any:
    """Call an SDXL pipeline once on n source and n target prompts, each target controlled by its source.

    The batch is `[*sources, *targets]`, and so are the images of the pipeline's output, which is returned. Without
    guidance the batch is all there is; with it, only the conditional half is edited. What is left alone is computed
    exactly as the stock pipeline computes it, so that without shortcuts source images equal those of an uncontrolled
    run of this batch bit by bit. `arguments` go to the pipeline, among them `guidance_scale` and `generator`, a list
    with one per image; the two noises of a pair are the caller's to make equal. The pipeline is left as it was found,
    whatever happens.

    Raises:
        ValueError: the pipeline's scheduler or UNet does not allow the shortcuts.
    """
    unet = pipeline.unet
    run = ShortRun(pipeline, sources, targets, shortcuts)
    masks = BlendMasks(pipeline, edits, blend) if blend else None
    control = _AttentionControl(pipeline, edits, windows, run)
    then = arguments.pop("callback_on_step_end", None)

    def end_step(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if masks and run.is_paired:
            tensors["latents"] = masks.blend(tensors["latents"], step + 1)
        run.end_step(step + 1, tensors)
        return tensors if then is None else then(pipeline, step, timestep, tensors)

    stock = unet.attn_processors
    hook = unet.register_forward_pre_hook(control.begin_step)
    try:
        unet.set_attn_processor(
            {
                name: _ControlledAttention(control, masks if masks and masks.watches(name) else None)
                if ".transformer_blocks." in name
                else processor
                for name, processor in stock.items()
            }
        )
        return run(end_step, arguments)
    finally:
        hook.remove()
        unet.set_attn_processor(stock)


class _AttentionControl:
    """The edits of one batch, and which of them hold at the step under way. Lives for one call of the pipeline.

    Blocks that are compiled are compiled anew for every value that they read here but tensors, so they read few:
    whether an edit holds or needs own maps, whether there are targets, and how many pairs.
    """

    def __init__(self, pipeline: Any, edits: Sequence[PromptEdit], windows: EditWindows, run: ShortRun) -> None:
        import torch

        self._pipeline = pipeline
        self._windows = windows
        self._run = run
        self._steps_begun = 0
        self._edits_cross = self._edits_self = False
        self.pairs = len(edits)
        place = {"device": pipeline.unet.device, "dtype": pipeline.unet.dtype}
        # With an axis for the heads: (pairs, 1, L, L) and (pairs, 1, L, 1).
        self._source_maps = torch.from_numpy(np.stack([edit.source_map for edit in edits])).to(**place)[:, None]
        own_weights = np.stack([edit.own_weight for edit in edits])
        self._own_weights = torch.from_numpy(own_weights).to(**place)[:, None, :, None] if own_weights.any() else None

    def begin_step(self, unet: Any, arguments: Any) -> None:
        """Decide what holds during the coming call of the UNet; runs as its forward pre-hook."""
        # Schedulers of higher order call the UNet more than once a step: a fraction of the steps is one of the calls.
        calls, paired = self._pipeline.num_timesteps, self._run.is_paired
        self._edits_cross = paired and self._steps_begun < round(self._windows.cross_replace_steps * calls)
        self._edits_self = paired and self._steps_begun < round(self._windows.self_replace_steps * calls)
        self._steps_begun += 1

    @property
    def is_paired(self) -> bool:
        """Whether the batch has targets at this step."""
        return self._run.is_paired

    def edits(self, is_cross: bool, pixels: int) -> bool:
        """Whether an attention layer over so many pixels is edited at this step."""
        return self._edits_cross if is_cross else pixels <= self._windows.self_replace_max_pixels and self._edits_self

    def reads_own_maps(self, is_cross: bool) -> bool:
        """Whether some target's own query and key are needed where it is edited."""
        return is_cross and self._own_weights is not None

    def edited(
        self, is_cross: bool, query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor"
    ) -> "torch.Tensor":
        """Attend where targets follow their sources; all tensors are (batch, heads, positions, channels).

        Query and key need the target rows, which come last, only where `reads_own_maps`.
        """
        import torch
        from torch.nn.functional import scaled_dot_product_attention

        rest, target = slice(None, -self.pairs), slice(-self.pairs, None)
        others = len(value) - self.pairs
        read_query, read_key = (
            torch.cat([rows[:others], rows[others - self.pairs : others]]) for rows in (query, key)
        )
        if not is_cross:
            return scaled_dot_product_attention(read_query, read_key, value)
        read_value = torch.cat([value[rest], self._source_maps @ value[target]])
        output = scaled_dot_product_attention(read_query, read_key, read_value)
        if self._own_weights is not None:
            own_value = self._own_weights * value[target]
            output[target] += scaled_dot_product_attention(query[target], key[target], own_value)
        return output


class _ControlledAttention:
    """A diffusers attention processor for the transformer blocks of the SDXL UNet.

    It computes what the stock processor does there, operation by operation: these blocks have no mask and no
    normalisation, residual or scale of their own. Where targets only read the maps of their sources, their own
    queries and keys are not computed.
    """

    def __init__(self, control: _AttentionControl, masks: BlendMasks | None) -> None:
        self._control = control
        self._masks = masks

    def __call__(
        self,
        attn: Any,
        hidden_states: "torch.Tensor",
        encoder_hidden_states: "torch.Tensor | None" = None,
        attention_mask: None = None,
    ) -> "torch.Tensor":
        from torch.nn.functional import scaled_dot_product_attention

        def heads(projected: Any) -> Any:
            return projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        control, is_cross = self._control, encoder_hidden_states is not None
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        is_edited = control.edits(is_cross, hidden_states.shape[1])
        is_watched = self._masks is not None and control.is_paired
        needs_all = is_watched or not is_edited or control.reads_own_maps(is_cross)
        asking = slice(None) if needs_all else slice(None, -control.pairs)
        query, key = heads(attn.to_q(hidden_states[asking])), heads(attn.to_k(context[asking]))
        value = heads(attn.to_v(context))
        if self._masks is not None and is_watched:
            self._masks.watch(query, key)
        attend = partial(control.edited, is_cross) if is_edited else scaled_dot_product_attention
        attended = attend(query, key, value).transpose(1, 2).flatten(2)
        projection, dropout = attn.to_out
        output: torch.Tensor = dropout(projection(attended))
        return output
