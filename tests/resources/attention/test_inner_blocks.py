"""Inner blocks that are computed at some steps only, against computing them always and throwing the result away."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resources.attention.inner_blocks import computed_every
from resources.pair_generator import PairGenerator, PairGeneratorSettings

STEPS = 6
CAPTIONS = ["a red ball on the grass", "a blue house on the sand"]
EDITED = ["a red star on the grass", "a blue house and a green tree on the sand"]


def settings(folder: Path, **fields: Any) -> PairGeneratorSettings:
    return PairGeneratorSettings(
        model=str(folder),
        image_size=16,
        num_inference_steps=STEPS,
        guidance_scale=3,
        self_replace_max_pixels=64,
        **fields,
    )


@pytest.fixture(scope="module")
def generator(tiny_pipeline_folder: Path) -> PairGenerator:
    return PairGenerator(settings(tiny_pipeline_folder))


@contextmanager
def result_replaced(unet: Any, fresh: list[bool]) -> Iterator[None]:
    """The oracle: what the outermost block gets from within is that of the last fresh call."""
    calls, kept = iter(fresh), None

    def replace(block: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        if next(calls):
            kept = output
        assert kept is not None
        return kept

    hook = unet.up_blocks[-2].register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("every", "cuts", "fresh"),
    [
        (1, {}, [True] * 6),
        (2, {}, [True, False] * 3),
        (4, {}, [True, False, False, False, True, False]),
        (10, {}, [True, *[False] * 5]),
        # When targets begin and when guidance ends, there is another number of rows.
        (3, {"shared_steps": 2 / 6}, [True, False, True, False, False, True]),
        (2, {"guidance_steps": 0.5}, [True, False, True, True, False, True]),
    ],
)
def test_the_steps_between_go_on_from_the_last_result(
    generator: PairGenerator, every: int, cuts: dict[str, float], fresh: list[bool]
) -> None:
    folder = Path(generator.settings.model)

    def images(**fields: Any) -> np.ndarray:
        generator.settings = settings(folder, **cuts, **fields)
        return np.stack(generator.generate(CAPTIONS, EDITED, [1, 2]))

    short = images(inner_blocks_every=every)
    with result_replaced(generator.pipeline.unet, fresh):
        np.testing.assert_array_equal(short, images())
    assert np.array_equal(short, images()) == (every == 1)


def test_transformers_run_at_the_first_of_so_many_steps(generator: PairGenerator) -> None:
    unet = generator.pipeline.unet
    calls = {"inside": 0, "outside": 0}

    def count(name: str) -> Any:
        def hook(*_: Any) -> None:
            calls[name] += 1

        return hook

    hooks = [
        unet.mid_block.attentions[0].register_forward_hook(count("inside")),
        unet.up_blocks[-1].resnets[0].register_forward_hook(count("outside")),
    ]
    generator.settings = settings(Path(generator.settings.model), inner_blocks_every=3)
    generator.generate(CAPTIONS, EDITED, [1, 2])
    for hook in hooks:
        hook.remove()
    assert calls == {"inside": 2, "outside": STEPS}


def test_the_unet_is_left_as_it_was(generator: PairGenerator) -> None:
    unet = generator.pipeline.unet

    def replaced() -> list[str]:
        return [name for name, module in unet.named_modules() if "forward" in vars(module)]

    def own(*_: Any, **__: Any) -> None: ...

    def fail() -> None:
        with computed_every(2, unet):
            assert len(replaced()) == len(unet.down_blocks) + len(unet.up_blocks) - 1
            raise KeyboardInterrupt

    unet.mid_block.forward = own
    try:
        with pytest.raises(KeyboardInterrupt):
            fail()
        assert replaced() == ["mid_block"]
        assert unet.mid_block.forward is own
    finally:
        del unet.mid_block.forward
    assert not unet._forward_pre_hooks
