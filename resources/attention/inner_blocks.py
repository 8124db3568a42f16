"""The inner blocks of a UNet computed at every n-th step only: DeepCache (Ma et al. 2023, arXiv 2312.00858).

From one step to the next, what the blocks of lower resolution make changes little. So between the steps at which they
are computed their last result stands, and only the outermost blocks see the latents as they are by then. In SDXL these
have no attention: all transformers are inside.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def computed_every(steps: int, unet: Any) -> Iterator[None]:
    """Within the block, compute the inner blocks of a diffusers `UNet2DConditionModel` at every so many calls only.

    They are computed anew also where a call has another number of rows than the one before. The UNet is left as it was
    found.
    """
    if steps == 1:
        yield
        return
    schedule = _Schedule(steps)
    blocks = [*unet.down_blocks[1:], unet.mid_block, *unet.up_blocks[:-1]]
    found = [vars(block).get("forward") for block in blocks]
    hook = unet.register_forward_pre_hook(schedule.begin)
    try:
        for block in blocks:
            block.forward = schedule.keeping(block.forward)
        yield
    finally:
        hook.remove()
        for block, forward in zip(blocks, found, strict=True):
            del block.forward
            if forward is not None:
                block.forward = forward


class _Schedule:
    """Which calls of the UNet compute its inner blocks."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._age = self._rows = 0

    def begin(self, unet: Any, arguments: Any) -> None:
        """Decide about the coming call of the UNet; runs as its forward pre-hook."""
        rows = len(arguments[0])
        self._age = (self._age + 1) % self._steps if rows == self._rows else 0
        self._rows = rows

    def keeping(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """A block's `forward`, or what it returned last."""
        last: Any = None

        def compute_or_keep(*arguments: Any, **named: Any) -> Any:
            nonlocal last
            if self._age == 0:
                last = forward(*arguments, **named)
            return last

        return compute_or_keep
