"""Pair generation: fused Prompt-to-Prompt, the same with attention maps, and stock SDXL making two images.

Only the denoising is timed: decoding the latents costs all of them the same.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch._inductor.utils import fresh_cache

from benchmarks.speed.timing import Figure, peak_memory, ratio, seconds, take_turns
from resources.attention.prompt_edits import PromptEdit
from resources.attention.prompt_to_prompt import EXACT, EditWindows, generate_pairs
from resources.attention.shortcuts import Shortcuts
from resources.pair_generator import PairGenerator, PairGeneratorSettings

SOURCE = "a red ball on the grass and a blue house on the sand"
TARGET = "a red star on the grass and a blue house on the sand"
WINDOWS = EditWindows(cross_replace_steps=0.8, self_replace_steps=0.4, self_replace_max_pixels=32 * 32)
SHORTCUTS = {
    "shared_steps: 0.2": Shortcuts(shared_steps=0.2),
    "guidance_steps: 0.6": Shortcuts(guidance_steps=0.6),
    "inner_blocks_every: 2": Shortcuts(inner_blocks_every=2),
    "inner_blocks_every: 3": Shortcuts(inner_blocks_every=3),
    "shared_steps: 0.2, guidance_steps: 0.6": Shortcuts(shared_steps=0.2, guidance_steps=0.6),
    "all three": Shortcuts(shared_steps=0.2, guidance_steps=0.6, inner_blocks_every=2),
}
FEW_STEPS = {"num_inference_steps": 4, "guidance_scale": 0.0}


class Pairs:
    """One pair made in each way, by one pipeline, from one noise."""

    def __init__(self, model: Path, latent_side: int, steps: int, dtype: str, compile: bool = False) -> None:
        settings = PairGeneratorSettings(model=str(model), dtype=dtype, edit="refine", compile=compile)
        generator = PairGenerator(settings)
        self.pipeline = generator.pipeline
        self.edit: PromptEdit = generator._edit(SOURCE, TARGET)
        self.arguments = {
            "height": 8 * latent_side,
            "width": 8 * latent_side,
            "num_inference_steps": steps,
            "guidance_scale": 7.5,
            "output_type": "latent",
        }

    def stock(self) -> torch.Tensor:
        return self.pipeline(prompt=[SOURCE, TARGET], generator=_noise(), **self.arguments).images

    def fused(self, shortcuts: Shortcuts = EXACT, **changed: Any) -> torch.Tensor:
        arguments = {**self.arguments, "generator": _noise(), **changed}
        return generate_pairs(
            self.pipeline, [SOURCE], [TARGET], [self.edit], WINDOWS, shortcuts=shortcuts, **arguments
        ).images

    def materialised(self) -> torch.Tensor:
        steps = self.arguments["num_inference_steps"]
        with attention_maps(self.pipeline, self.edit, steps) as end_step:
            return self.pipeline(
                prompt=[SOURCE, TARGET], generator=_noise(), callback_on_step_end=end_step, **self.arguments
            ).images


def _noise() -> list[torch.Generator]:
    return [torch.Generator("cpu").manual_seed(0) for _ in range(2)]


@contextmanager
def attention_maps(pipeline: Any, edit: PromptEdit, steps: int) -> Any:
    """Prompt-to-Prompt as published: in every attention layer the map is built, edited and multiplied."""
    maps = _MaterialisedAttention(edit, steps, pipeline.unet)
    stock = pipeline.unet.attn_processors
    pipeline.unet.set_attn_processor(maps)
    try:
        yield maps.end_step
    finally:
        pipeline.unet.set_attn_processor(stock)


class _MaterialisedAttention:
    """An attention processor that builds all maps; the last two rows of a batch are source and target."""

    def __init__(self, edit: PromptEdit, steps: int, unet: Any) -> None:
        place = {"device": unet.device, "dtype": unet.dtype}
        self.source_map = torch.from_numpy(edit.source_map).to(**place)
        self.own_weight = torch.from_numpy(edit.own_weight).to(**place)
        self.cross_steps = round(WINDOWS.cross_replace_steps * steps)
        self.self_steps = round(WINDOWS.self_replace_steps * steps)
        self.step = 0

    def end_step(self, pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        self.step = step + 1
        return tensors

    def __call__(
        self, attn: Any, hidden_states: Any, encoder_hidden_states: Any = None, attention_mask: Any = None
    ) -> Any:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attn.head_to_batch_dim(projected)
            for projected in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        maps = attn.get_attention_scores(query, key)
        source, target = maps.view(-1, attn.heads, *maps.shape[1:])[-2:]
        if encoder_hidden_states is not None and self.step < self.cross_steps:
            target.copy_(source @ self.source_map + target * self.own_weight)
        small = maps.shape[1] <= WINDOWS.self_replace_max_pixels
        if encoder_hidden_states is None and self.step < self.self_steps and small:
            target.copy_(source)
        return attn.to_out[1](attn.to_out[0](attn.batch_to_head_dim(maps @ value)))


def measure(
    model: Path, latent_side: int, steps: int, rounds: int, dtype: str, shortcuts: bool = True
) -> list[Figure]:
    """Ratios of the ways to make a pair at one size, their memory, and whether they agree."""
    pairs = Pairs(model, latent_side, steps, dtype)
    ways: dict[str, Callable[[], torch.Tensor]] = {
        "stock": pairs.stock,
        "fused": pairs.fused,
        "materialised": pairs.materialised,
    }
    if shortcuts:
        ways |= {name: partial(pairs.fused, each) for name, each in SHORTCUTS.items()}
        ways["few steps"] = partial(pairs.fused, **FEW_STEPS)
    images = {name: ways[name]().float() for name in ("stock", "fused", "materialised")}
    times = take_turns(ways, rounds)
    memory = {name: _memory_of(name, model, latent_side, dtype) for name in images}
    size = f"{latent_side}² latents, {steps} steps"
    agreement = (images["fused"] - images["materialised"]).abs().max() / images["materialised"].abs().max()
    same = "bit for bit" if torch.equal(images["fused"][0], images["stock"][0]) else "NOT the same"
    figures = [
        ratio(f"a pair / two stock images, {size}", times["fused"], times["stock"], "≤ 1.1", f"source {same}"),
        ratio(
            f"with attention maps / fused, {size}",
            times["materialised"],
            times["fused"],
            "≥ 2 on a GPU",
            f"largest difference {agreement:.1e}",
        ),
        Figure(
            f"memory beyond the weights, fused / with maps, {size}",
            memory["fused"] / memory["materialised"],
            "×",
            "≤ 1/3",
            note=", ".join(f"{name} {value:,.0f} MiB" for name, value in memory.items()),
        ),
    ]
    if shortcuts:
        figures += [
            ratio(f"{name}: a pair / two stock images, {size}", times[name], times["stock"]) for name in SHORTCUTS
        ]
        few = "4 steps without guidance (distilled checkpoints): a pair / two stock images"
        figures.append(ratio(f"{few}, {size}", times["few steps"], times["stock"]))
    return [*figures, seconds(f"denoising a pair, {size}", times["fused"])]


def measure_compiled(model: Path, latent_side: int, steps: int, rounds: int, dtype: str) -> list[Figure]:
    """What `compile: true` gains once all is compiled, and how long it takes until then."""
    plain = Pairs(model, latent_side, steps, dtype)
    started = time.perf_counter()  # compilers are other processes, whose CPU seconds are not this one's
    with fresh_cache():
        compiled = Pairs(model, latent_side, steps, dtype, compile=True)
        made = compiled.fused().float()
    once = time.perf_counter() - started
    expected = plain.fused().float()
    times = take_turns({"compiled": compiled.fused, "plain": plain.fused}, rounds)
    size = f"{latent_side}² latents, {steps} steps"
    difference = (made - expected).abs().max() / expected.abs().max()
    gain = "compile: true: a pair / uncompiled"
    return [
        ratio(f"{gain}, {size}", times["compiled"], times["plain"], note=f"largest difference {difference:.1e}"),
        Figure(f"compiling once, {size}", once, "s", note="loading and the first pair, seconds that pass"),
    ]


def _memory_of(way: str, model: Path, latent_side: int, dtype: str) -> float:
    """MiB beyond the weights, in a process of its own: what was allocated before would be used again."""
    command = [sys.executable, "-m", "benchmarks.speed.pairs", way, str(model), str(latent_side), dtype]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    _way, _model, _side, _dtype = sys.argv[1:]
    torch.set_num_threads(1)
    print(json.dumps(peak_memory(getattr(Pairs(Path(_model), int(_side), 1, _dtype), _way))))
