"""Keys and values that grow in place are those that transformers' own cache holds."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import MistralConfig, MistralForCausalLM, T5Config, T5ForConditionalGeneration
from transformers.cache_utils import DynamicLayer

from resources.captioner import Captioner, CaptionerSettings
from resources.loading import growing_cache

SMALL = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
SMALL |= {"num_attention_heads": 2, "num_key_value_heads": 2}
NEAR_AND_FAR, NEAR = (MistralConfig(**SMALL, sliding_window=window) for window in (None, 4))

CHANGES = {
    "choose": lambda layer: layer.batch_select_indices(torch.tensor([1, 1, 0])),
    "repeat": lambda layer: layer.batch_repeat_interleave(2),
    "reorder": lambda layer: layer.reorder_cache(torch.arange(len(layer.keys)).flip(0)),
    "forget the last": lambda layer: layer.crop(-1),
    "begin again": lambda layer: layer.reset(),
}


def growing_layer() -> Any:
    (layer,) = growing_cache.growing_cache(MistralForCausalLM(NEAR_AND_FAR))["past_key_values"].layers
    return layer


@given(st.lists(st.sampled_from([*CHANGES, 1, 1, 1, 2, 5]), max_size=12))
def test_a_layer_holds_what_transformers_holds(happenings: list[Any]) -> None:
    ours, theirs, rows = growing_layer(), DynamicLayer(), torch.Generator().manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing_cache, "ROOM", 3)
        for happening in [2, *happenings]:
            layers = (ours, theirs)
            if isinstance(happening, str):
                if theirs.get_seq_length() > 1:
                    for layer in layers:
                        CHANGES[happening](layer)
            else:
                batch = len(theirs.keys) if theirs.get_seq_length() else 2
                new = torch.rand(2, batch, 2, happening, 4, generator=rows)
                for (keys, values), layer in zip((layer.update(*new) for layer in layers), layers, strict=True):
                    assert keys is layer.keys
                    assert values is layer.values
            assert ours.get_seq_length() == theirs.get_seq_length()
            if theirs.get_seq_length():
                assert torch.equal(ours.keys, theirs.keys)
                assert torch.equal(ours.values, theirs.values)


def test_most_tokens_are_written_where_there_is_room() -> None:
    layer, new = growing_layer(), torch.ones(2, 2, 2, 1, 4)
    places = {layer.update(*new)[0].data_ptr() for _ in range(3 * growing_cache.ROOM)}
    assert len(places) <= 3


def test_the_next_token_has_the_same_chances_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_cache, "ROOM", 3)
    captioner = Captioner(CaptionerSettings(model="miniature:captioner"))
    images = np.random.default_rng(0).integers(0, 255, (3, 40, 60, 3), dtype=np.uint8)
    asked = captioner._questions([[image] for image in images], ["what?", "what is it, then?", "?"])
    inputs = captioner._inputs(asked)
    made = []
    for cache in ({}, growing_cache.growing_cache(captioner._model)):
        told = captioner._model.generate(
            **inputs, **cache, eos_token_id=-1, max_new_tokens=12, return_dict_in_generate=True, output_logits=True
        )
        made.append((told.past_key_values, torch.stack(told.logits)))
    (_, theirs), (cache, ours) = made
    assert cache.get_seq_length() > 12
    assert torch.equal(ours, theirs)


def test_a_model_with_an_encoder_keeps_its_own() -> None:
    config = T5Config(vocab_size=8, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    assert growing_cache.growing_cache(T5ForConditionalGeneration(config)) == {}


def test_a_model_that_forgets_what_is_far_away_keeps_its_own() -> None:
    assert growing_cache.growing_cache(MistralForCausalLM(NEAR)) == {}
    assert growing_cache.growing_cache(MistralForCausalLM(NEAR_AND_FAR))
