"""Keys and values of what a chat model has read, which grow where they are.

transformers joins them with each new token's to a new tensor, so a token of an answer costs a copy of all that was
read before it. Here there is room behind them, into which the next ones are written.
"""

from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ROOM = 64
"""Tokens that more memory is asked for at once: one token in so many costs a copy."""


class Growing:
    """A tensor (B, heads, tokens, c) that more tokens are added to, with room behind it."""

    def __init__(self) -> None:
        self._room: torch.Tensor | None = None
        self._held: torch.Tensor | None = None

    def joined(self, seen: "torch.Tensor", new: "torch.Tensor") -> "torch.Tensor":
        """Return `torch.cat([seen, new], 2)`: without a copy of `seen`, if that is what was returned last."""
        start = seen.shape[2] if seen.numel() else 0
        end = start + new.shape[2]
        room = self._room if seen is self._held else None
        if room is None or end > room.shape[2]:
            room = new.new_empty((*new.shape[:2], end + ROOM, new.shape[3]))
            if start:
                room[:, :, :start] = seen
        room[:, :, start:end] = new
        self._room, self._held = room, room[:, :, :end]
        return self._held


def growing_cache(model: Any) -> dict[str, Any]:
    """Return what `model.generate` takes for the tokens of its answers to be cheaper; the same numbers are in it.

    Nothing is returned for models that keep other things: an encoder's answers too, what is near alone, or a state.
    """
    from transformers import DynamicCache, GenerationMixin
    from transformers.cache_utils import DynamicLayer

    plain = type(model).generate is GenerationMixin.generate and not model.config.is_encoder_decoder
    if not plain or "past_key_values" not in signature(model.forward).parameters:
        return {}
    cache = DynamicCache(config=model.config.get_text_config(decoder=True))
    if not cache.layers or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return {}
    for layer in cache.layers:
        layer.update = partial(_update, layer, Growing(), Growing())
    return {"past_key_values": cache}


def _update(
    layer: Any,
    keys: Growing,
    values: Growing,
    new_keys: "torch.Tensor",
    new_values: "torch.Tensor",
    *_: Any,
    **__: Any,
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """What `DynamicLayer.update` of transformers returns: all keys and all values, the new ones last."""
    if not layer.is_initialized:
        layer.lazy_initialization(new_keys, new_values)
    layer.keys, layer.values = keys.joined(layer.keys, new_keys), values.joined(layer.values, new_values)
    return layer.keys, layer.values
