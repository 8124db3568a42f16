"""The fused attention control against Prompt-to-Prompt with attention maps written out."""

from pathlib import Path

import numpy as np
import pytest
import torch

from resources.attention.local_blend import LocalBlend
from resources.attention.prompt_edits import edit_prompt
from resources.attention.prompt_to_prompt import EditWindows, generate_pairs
from resources.attention.shortcuts import Shortcuts

STEPS = 5
LENGTH = 16
OWN = None
EVERYWHERE = 64
EXACT = Shortcuts()

# Source, target, kind of edit, and by hand: for each of the target's 16 positions, the source positions it reads and
# the number the sum is divided by; OWN where it keeps its own map.
ONE_TO_ONE = [([position], 1) for position in range(LENGTH)]
PAIRS = [
    ("a red ball on the grass", "a red star on the grass", "replace", ONE_TO_ONE),
    ("a red ball on the grass", "a red star on the grass", "refine", [*ONE_TO_ONE[:3], OWN, *ONE_TO_ONE[4:]]),
    (
        "a red ball on the grass",
        "a red ice cream on the grass",
        "replace",
        [*ONE_TO_ONE[:3], ([3], 2), ([3], 2), *ONE_TO_ONE[4:8], ([8, 9], 1), *ONE_TO_ONE[10:]],
    ),
    (
        "a red ice cream on the grass",
        "a red ball on the grass",
        "replace",
        [*ONE_TO_ONE[:3], ([3, 4], 1), *ONE_TO_ONE[5:9], ([9], 2), ([9], 2), *ONE_TO_ONE[10:]],
    ),
    (
        "a blue house on the sand",
        "a blue house and a green tree on the sand",
        "refine",
        [*ONE_TO_ONE[:4], OWN, OWN, OWN, OWN, *ONE_TO_ONE[4:8], ([8, 9, 10, 11, 12], 1), *ONE_TO_ONE[13:]],
    ),
]
SOURCES, TARGETS, KINDS, READS = ([pair[part] for pair in PAIRS] for part in range(4))
# By hand: the positions of the words that only the source has, and of those that only the target has.
CHANGED = [([3], [3]), ([3], [3]), ([3], [3, 4]), ([3, 4], [3]), ([], [4, 5, 6, 7])]

WITHOUT_GUIDANCE = pytest.param(1.0, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def pipeline(tiny_pipeline_folder: Path):
    from diffusers import StableDiffusionXLPipeline

    pipeline = StableDiffusionXLPipeline.from_pretrained(tiny_pipeline_folder, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def arguments(pairs: int, guidance_scale: float = 3.0, seed: int = 0) -> dict:
    generators = [torch.Generator().manual_seed(seed + pair) for pair in (*range(pairs), *range(pairs))]
    return {
        "generator": generators,
        "num_inference_steps": STEPS,
        "guidance_scale": guidance_scale,
        "height": 16,
        "width": 16,
        "output_type": "np",
    }


def edits(pipeline, factors=None):
    made = [
        edit_prompt([pipeline.tokenizer, pipeline.tokenizer_2], source, target, kind)
        for source, target, kind, _ in PAIRS
    ]
    return made if factors is None else [edit.reweighted(row) for edit, row in zip(made, factors, strict=True)]


def controlled(pipeline, windows: EditWindows, factors=None, blend=None, cuts=EXACT, **changed) -> np.ndarray:
    """Images (2, pairs, 16, 16, 3) of all pairs in one batch."""
    call = arguments(len(PAIRS)) | changed
    made = generate_pairs(pipeline, SOURCES, TARGETS, edits(pipeline, factors), windows, blend, cuts, **call)
    images = made.images
    return images.reshape(2, len(PAIRS), *images.shape[1:])


def uncontrolled(pipeline, **changed) -> np.ndarray:
    images = pipeline(prompt=[*SOURCES, *TARGETS], **(arguments(len(PAIRS)) | changed)).images
    return images.reshape(2, len(PAIRS), *images.shape[1:])


class AttentionMaps:
    """The oracle: an attention processor that builds every map, edits it column by column, and then applies it.

    What else is done to the images is done at the ends of steps, on a whole batch of sources and targets.
    """

    def __init__(self, windows: EditWindows, factors, calls: int, blend=None, cuts=EXACT) -> None:
        self.cross_calls = round(windows.cross_replace_steps * calls)
        self.self_calls = round(windows.self_replace_steps * calls)
        self.max_pixels = windows.self_replace_max_pixels
        self.factors = factors
        self.blend_after = blend.start * calls if blend else calls
        self.threshold = blend.threshold if blend else OWN
        self.shared_calls = round(cuts.shared_steps * calls)
        self.guided_calls = round(cuts.guidance_steps * calls)
        self.call = 0
        self.seen = np.zeros((2, len(PAIRS), 4, 4))

    def end_step(self, pipeline, step, timestep, tensors):
        self.call = step + 1
        if self.call > self.blend_after:
            for pair in range(len(PAIRS)):
                shown = self.shown(0, pair) | self.shown(1, pair)
                source, target = tensors["latents"][pair], tensors["latents"][len(PAIRS) + pair]
                target[:, ~shown] = source[:, ~shown]
        if self.call <= self.shared_calls:
            tensors["latents"][len(PAIRS) :] = tensors["latents"][: len(PAIRS)]
            self.seen[:] = 0
        if self.call == self.guided_calls and pipeline.guidance_scale > 1:
            pipeline._guidance_scale = 1 + 1e-9
        return tensors

    def shown(self, side: int, pair: int) -> torch.Tensor:
        """Where the 8 x 8 latents of an image show its words: in a 3 x 3 neighbourhood of a map of 4 x 4."""
        seen = np.pad(self.seen[side, pair], 1)
        widened = np.stack([seen[y : y + 4, x : x + 4] for y in range(3) for x in range(3)]).max(0)
        return torch.from_numpy(np.kron(widened > self.threshold * widened.max(), np.ones((2, 2), bool)))

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        maps = attn.get_attention_scores(attn.head_to_batch_dim(query), attn.head_to_batch_dim(key))
        maps = maps.unflatten(0, (len(hidden_states), attn.heads)).clone()
        for pair in range(len(PAIRS)):
            source, target = maps[-2 * len(PAIRS) + pair], maps[-len(PAIRS) + pair]
            if getattr(attn, "is_watched", False):
                for side, own in enumerate((source, target)):
                    for position in CHANGED[pair][side]:
                        self.seen[side, pair] += own[..., position].mean(0).reshape(4, 4).numpy()
            if encoder_hidden_states is not None and self.call < self.cross_calls:
                for position, read in enumerate(READS[pair]):
                    if read is not OWN:
                        target[..., position] = source[..., read[0]].sum(-1) / read[1]
                    target[..., position] *= self.factors[pair, position]
            if encoder_hidden_states is None and self.call < self.self_calls and maps.shape[2] <= self.max_pixels:
                target.copy_(source)
        attended = maps.flatten(0, 1) @ attn.head_to_batch_dim(value)
        return attn.to_out[1](attn.to_out[0](attn.batch_to_head_dim(attended)))


def materialised(
    pipeline, windows: EditWindows, factors=None, calls: int = STEPS, blend=None, cuts=EXACT, **changed
) -> np.ndarray:
    maps = AttentionMaps(windows, np.ones((len(PAIRS), LENGTH)) if factors is None else factors, calls, blend, cuts)
    unet = pipeline.unet
    for block in (unet.down_blocks[1], unet.up_blocks[0]):
        for layers in block.attentions:
            layers.transformer_blocks[0].attn2.is_watched = True
    stock = unet.attn_processors
    unet.set_attn_processor(maps)
    try:
        return uncontrolled(pipeline, callback_on_step_end=maps.end_step, **changed)
    finally:
        unet.set_attn_processor(stock)


@pytest.mark.parametrize("guidance_scale", [3.0, WITHOUT_GUIDANCE])
@pytest.mark.parametrize(
    "windows",
    [
        EditWindows(0.8, 0.4, EVERYWHERE),
        pytest.param(EditWindows(1, 0, EVERYWHERE), marks=pytest.mark.slow),
        pytest.param(EditWindows(0, 1, EVERYWHERE), marks=pytest.mark.slow),
        EditWindows(1, 1, 16),
        EditWindows(0.2, 1, 0),
    ],
)
def test_equals_prompt_to_prompt_with_maps(pipeline, windows: EditWindows, guidance_scale: float) -> None:
    fused = controlled(pipeline, windows, guidance_scale=guidance_scale)
    maps = materialised(pipeline, windows, guidance_scale=guidance_scale)
    np.testing.assert_allclose(fused, maps, atol=1e-4)


def test_reweighting_equals_prompt_to_prompt_with_maps(pipeline) -> None:
    windows = EditWindows(0.8, 0.4, EVERYWHERE)
    factors = np.random.default_rng(0).uniform(0, 3, (len(PAIRS), LENGTH))
    fused = controlled(pipeline, windows, factors)
    np.testing.assert_allclose(fused, materialised(pipeline, windows, factors), atol=1e-4)
    assert np.abs(fused[1] - controlled(pipeline, windows)[1]).max() > 0.01


@pytest.mark.parametrize("guidance_scale", [3.0, WITHOUT_GUIDANCE])
def test_local_blend_equals_that_of_whole_maps(pipeline, guidance_scale: float) -> None:
    windows, blend = EditWindows(0.8, 0.4, EVERYWHERE), LocalBlend(threshold=0.9, start=0.2)
    fused = controlled(pipeline, windows, blend=blend, guidance_scale=guidance_scale)
    maps = materialised(pipeline, windows, blend=blend, guidance_scale=guidance_scale)
    np.testing.assert_allclose(fused, maps, atol=1e-4)
    plain = controlled(pipeline, windows, guidance_scale=guidance_scale)
    np.testing.assert_array_equal(fused[0], plain[0])
    distances = [np.abs(images[1] - images[0]).mean(axis=(1, 2, 3)) for images in (fused, plain)]
    assert (distances[0] < distances[1]).all()
    assert distances[0].mean() < 0.9 * distances[1].mean()
    assert (distances[0] > 0.002).all()


def test_local_blend_makes_equal_prompts_equal_images(pipeline) -> None:
    prompts = ["a red ball on the grass"]
    same = [edit_prompt([pipeline.tokenizer], *prompts, *prompts)]
    blend = LocalBlend(threshold=0.3, start=0)
    call = arguments(1) | {"latents": torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))}
    images = generate_pairs(pipeline, prompts, prompts, same, EditWindows(0, 0, 0), blend, **call).images
    np.testing.assert_array_equal(images[0], images[1])


@pytest.mark.parametrize("guidance_scale", [3.0, WITHOUT_GUIDANCE])
@pytest.mark.parametrize("cuts", [Shortcuts(0.4), Shortcuts(0, 0.6), Shortcuts(0.4, 0.4), Shortcuts(0.6, 0.4)])
def test_shortcuts_leave_out_what_they_say(pipeline, cuts: Shortcuts, guidance_scale: float) -> None:
    windows, blend = EditWindows(0.8, 0.6, EVERYWHERE), LocalBlend(threshold=0.9, start=0.6)
    short = controlled(pipeline, windows, blend=blend, cuts=cuts, guidance_scale=guidance_scale)
    whole = materialised(pipeline, windows, blend=blend, cuts=cuts, guidance_scale=guidance_scale)
    np.testing.assert_allclose(short, whole, atol=1e-4)


def test_shortcuts_cost_less(pipeline, monkeypatch) -> None:
    rows = []
    hook = pipeline.unet.register_forward_pre_hook(lambda unet, inputs: rows.append(len(inputs[0])))
    try:
        controlled(pipeline, EditWindows(0.8, 0.4, EVERYWHERE), cuts=Shortcuts(shared_steps=0.4, guidance_steps=0.6))
    finally:
        hook.remove()
    assert rows == [2 * len(PAIRS)] * 2 + [4 * len(PAIRS)] + [2 * len(PAIRS)] * 2


def test_sharing_the_beginning_needs_a_scheduler_without_memory(pipeline) -> None:
    from diffusers import DPMSolverMultistepScheduler

    first_order = pipeline.scheduler
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(first_order.config)
    try:
        with pytest.raises(ValueError, match="set the field `shared_steps` to 0"):
            controlled(pipeline, EditWindows(0.8, 0.4, EVERYWHERE), cuts=Shortcuts(shared_steps=0.4))
    finally:
        pipeline.scheduler = first_order


# The scheduler hands a tensor to numpy in a way that numpy is about to drop.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_windows_are_fractions_of_the_calls_under_a_second_order_scheduler(pipeline) -> None:
    from diffusers import HeunDiscreteScheduler

    first_order = pipeline.scheduler
    pipeline.scheduler = HeunDiscreteScheduler.from_config(first_order.config)
    windows = EditWindows(0.8, 0.4, EVERYWHERE)
    try:
        np.testing.assert_allclose(
            controlled(pipeline, windows), materialised(pipeline, windows, calls=2 * STEPS - 1), atol=1e-4
        )
    finally:
        pipeline.scheduler = first_order


@pytest.mark.parametrize("guidance_scale", [3.0, 1.0])
def test_sources_are_those_of_a_stock_run_bit_by_bit(pipeline, guidance_scale: float) -> None:
    fused = controlled(pipeline, EditWindows(1, 1, EVERYWHERE), guidance_scale=guidance_scale)
    np.testing.assert_array_equal(fused[0], uncontrolled(pipeline, guidance_scale=guidance_scale)[0])


@pytest.mark.parametrize("windows", [EditWindows(1, 0, EVERYWHERE), EditWindows(0, 1, EVERYWHERE)])
def test_either_edit_changes_every_target(pipeline, windows: EditWindows) -> None:
    difference = np.abs(controlled(pipeline, windows)[1] - uncontrolled(pipeline)[1])
    assert (difference.mean(axis=(1, 2, 3)) > 0.005).all()


def test_empty_windows_do_nothing(pipeline) -> None:
    np.testing.assert_array_equal(controlled(pipeline, EditWindows(0, 0, EVERYWHERE)), uncontrolled(pipeline))


def test_all_attention_of_the_source_and_the_same_prompt_give_the_same_image(pipeline) -> None:
    prompts = ["a red ball on the grass", "a blue house and a green tree on the sand"]
    same = [edit_prompt([pipeline.tokenizer], prompt, prompt) for prompt in prompts]
    images = generate_pairs(pipeline, prompts, prompts, same, EditWindows(1, 1, EVERYWHERE), **arguments(2)).images
    np.testing.assert_allclose(images[:2], images[2:], atol=1e-5)


def test_a_pair_does_not_depend_on_the_pairs_beside_it(pipeline) -> None:
    windows = EditWindows(0.8, 0.4, EVERYWHERE)
    together = controlled(pipeline, windows)
    for number, edit in enumerate(edits(pipeline)):
        call = arguments(1, seed=number)
        alone = generate_pairs(pipeline, [SOURCES[number]], [TARGETS[number]], [edit], windows, **call).images
        np.testing.assert_allclose(alone, together[:, number], atol=1e-4)


def test_an_aborted_run_leaves_nothing_behind(pipeline) -> None:
    windows = EditWindows(0.4, 0.4, EVERYWHERE)
    before = controlled(pipeline, windows)
    stock = pipeline.unet.attn_processors

    def abort(pipeline, step, timestep, tensors):
        if step == 2:
            raise KeyboardInterrupt
        return tensors

    with pytest.raises(KeyboardInterrupt):
        controlled(pipeline, windows, callback_on_step_end=abort)
    assert pipeline.unet.attn_processors == stock
    assert not pipeline.unet._forward_pre_hooks
    np.testing.assert_array_equal(controlled(pipeline, windows), before)


def test_no_attention_map_is_built(pipeline) -> None:
    windows, call = EditWindows(1, 1, EVERYWHERE), arguments(1) | {"num_inference_steps": 1}
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True) as profile:
        generate_pairs(pipeline, SOURCES[:1], TARGETS[:1], edits(pipeline)[:1], windows, **call)
    operations = {event.key for event in profile.key_averages()}
    assert "aten::scaled_dot_product_attention" in operations
    assert not any("softmax" in operation for operation in operations)


def test_edits_of_tokens_apply_to_a_cut_prompt(pipeline) -> None:
    """A prompt beyond the encoders' length is edited as far as the model reads it."""
    long = " and ".join(["a red ball"] * 6)
    edit = edit_prompt([pipeline.tokenizer, pipeline.tokenizer_2], long, "a blue star")
    windows = EditWindows(1, 1, EVERYWHERE)
    images = generate_pairs(pipeline, [long], ["a blue star"], [edit], windows, **arguments(1)).images
    stock = pipeline(prompt=[long, "a blue star"], **arguments(1)).images
    np.testing.assert_array_equal(images[0], stock[0])
    assert np.abs(images[1] - stock[1]).mean() > 0.005
