"""Local blend of Prompt-to-Prompt (Hertz et al. 2022, arXiv 2208.01626): away from changed words, the source.

Where an image shows a word is read off the attention that its pixels pay to it. After each step, wherever neither
image of a pair shows the words in which their prompts differ, the target's latents become the source's.

This needs attention maps. They are built for a few layers of the lowest resolution only, for two rows of a pair, and
summed over heads and words at once; attention itself stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from resources.attention.prompt_edits import PromptEdit

if TYPE_CHECKING:
    import torch

# The paper's choice of layers, carried over: one per transformer of the last block down and the first block up.
WATCHED_LAYER = ".transformer_blocks.0.attn2."


@dataclass(frozen=True, slots=True)
class LocalBlend:
    """What counts as showing a word, and when targets are blended."""

    threshold: float  # share (0 to 1) of an image's strongest attention to the words, above which a pixel shows them
    start: float  # fraction (0 to 1) of all steps that pass unblended


class BlendMasks:
    """The attention that a batch of pairs has paid to its changed words. Lives for one call of the pipeline."""

    def __init__(self, pipeline: Any, edits: Sequence[PromptEdit], blend: LocalBlend) -> None:
        import torch

        self._pipeline = pipeline
        self._blend = blend
        words = np.stack([edit.source_changed for edit in edits] + [edit.changed for edit in edits])
        self._words = torch.from_numpy(words).to(pipeline.unet.device, torch.float32)  # (2 pairs, L)
        self._attention: torch.Tensor | None = None  # (2 pairs, pixels), the sum over layers and steps

    def watches(self, layer: str) -> bool:
        """Whether `layer`, an attention processor's name in the UNet, is one of those whose maps are built."""
        last_down = f"down_blocks.{len(self._pipeline.unet.down_blocks) - 1}."
        return WATCHED_LAYER in layer and layer.startswith((last_down, "up_blocks.0."))

    def watch(self, query: "torch.Tensor", key: "torch.Tensor") -> None:
        """Add the attention of the batch's last rows; both tensors are (batch, heads, positions, channels)."""
        rows = slice(-len(self._words), None)
        scores = query[rows].float() @ key[rows].float().transpose(-1, -2) * query.shape[-1] ** -0.5
        attention = (scores.softmax(-1).mean(1) @ self._words[:, :, None])[..., 0]
        self._attention = attention if self._attention is None else self._attention + attention

    def blend(self, latents: "torch.Tensor", steps_done: int) -> "torch.Tensor":
        """Return the latents (2 pairs, channels, height, width), sources first, with the targets blended."""
        import torch

        if self._attention is None or steps_done <= self._blend.start * self._pipeline.num_timesteps:
            return latents
        height, width = latents.shape[2:]
        shrinking = (height * width / self._attention.shape[1]) ** 0.5
        maps = self._attention.view(-1, 1, round(height / shrinking), round(width / shrinking))
        maps = torch.nn.functional.max_pool2d(maps, 3, stride=1, padding=1)
        maps = torch.nn.functional.interpolate(maps, (height, width))
        strongest = maps.amax((2, 3), keepdim=True)
        shown_in_source, shown_in_target = ((maps > self._blend.threshold * strongest) & (strongest > 0)).chunk(2)
        source, target = latents.chunk(2)
        return torch.cat([source, torch.where(shown_in_source | shown_in_target, target, source)])
