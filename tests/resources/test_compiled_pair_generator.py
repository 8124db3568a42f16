"""The pair generator with its transformer blocks compiled.

What Dynamo captures is run as it is, without Inductor, in all tests but the one that compares pictures: whether a call
is captured right and once does not depend on what makes kernels of it, and making them takes seconds each.
"""

import gc
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from resources.loading.failures import ModelUnavailable
from resources.pair_generator import PairGenerator, PairGeneratorSettings

SOURCES = ["a red ball on the grass", "a blue house on the sand", "a red ball on the grass"]
TARGETS = ["a red ice cream on the grass", "a blue house and a green tree on the sand", "a red star on the grass"]
OTHER_SOURCES = ["a green car on the road", "a pink cat on the floor", "a blue cup on the carpet"]
OTHER_TARGETS = ["a green boat on the road", "a pink cat and a red fish on the floor", "a blue heart on the carpet"]
WAYS: list[dict[str, object]] = [
    {},  # pairs that replace and pairs that refine
    {"changed_word_weight": 3.0, "inner_blocks_every": 2},
    {"edit": "replace", "shared_steps": 0.25, "guidance_steps": 0.75},
    {"edit": "refine", "local_blend_threshold": 0.5, "self_replace_max_pixels": 16},
]


def settings(folder: Path, **fields: object) -> PairGeneratorSettings:
    tiny = {"model": str(folder), "image_size": 16, "num_inference_steps": 4, "guidance_scale": 3.0, "batch_size": 3}
    return PairGeneratorSettings.model_validate(tiny | {"device": "cpu"} | fields)


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch.compiler.reset()
    counters.clear()
    yield
    torch.compiler.reset()


@pytest.fixture
def captured_only() -> Iterator[None]:
    torch.compiler.set_default_backend("eager")
    yield
    torch.compiler.set_default_backend(None)


@pytest.fixture
def kernels_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with torch._inductor.config.patch({"compile_threads": 1}):  # processes that help are slow to start
        yield tmp_path


@pytest.fixture(scope="module")
def one_shape_folder(tiny_pipeline_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pipeline with transformer blocks of one shape only, that is with the least to compile."""
    from diffusers import UNet2DConditionModel

    folder = shutil.copytree(tiny_pipeline_folder, tmp_path_factory.mktemp("one_shape") / "pipeline")
    config = UNet2DConditionModel.load_config(folder / "unet")
    config["down_block_types"] = ("DownBlock2D", "CrossAttnDownBlock2D")
    config["up_block_types"] = ("CrossAttnUpBlock2D", "UpBlock2D")
    torch.manual_seed(0)
    UNet2DConditionModel.from_config(config).save_pretrained(folder / "unet")
    return folder


def graphs() -> int:
    return counters["stats"]["unique_graphs"]


def pictures(generator: PairGenerator, other: bool = False, pairs: int = 3) -> np.ndarray:
    columns = (OTHER_SOURCES, OTHER_TARGETS, [4, 5, 6]) if other else (SOURCES, TARGETS, [1, 2, 3])
    return np.stack(generator.generate(*(column[:pairs] for column in columns))).astype(int)


def assert_alike(one: np.ndarray, other: np.ndarray) -> None:
    """Equal to float tolerance: here and there a value is rounded the other way."""
    difference = np.abs(one - other)
    assert difference.max() <= 1
    assert difference.mean() < 0.002


@pytest.mark.usefixtures("captured_only")
@pytest.mark.slow
@pytest.mark.parametrize("ways", [WAYS[:1], WAYS], ids=["one", "all"])
def test_every_way_is_captured_once_and_right(tiny_pipeline_folder: Path, ways: list[dict[str, object]]) -> None:
    plain = PairGenerator(settings(tiny_pipeline_folder))
    compiled = PairGenerator(settings(tiny_pipeline_folder, compile=True))

    def use(**fields: object) -> None:
        plain.settings = settings(tiny_pipeline_folder, **fields)
        compiled.settings = settings(tiny_pipeline_folder, compile=True, **fields)

    for way in ways:
        use(**way)
        assert_alike(pictures(compiled), pictures(plain))
        before = graphs()
        use(**way, num_inference_steps=8)
        assert_alike(pictures(compiled, other=True), pictures(plain, other=True))
        assert graphs() == before, f"{way} was compiled anew for other prompts, seeds and steps"
    assert graphs() < 64
    assert ways is not WAYS or graphs() > torch._dynamo.config.recompile_limit
    assert not counters["graph_break"]


@pytest.mark.slow
@pytest.mark.usefixtures("captured_only")
def test_the_pairs_left_over_come_in_few_sizes(one_shape_folder: Path) -> None:
    rows: list[int] = []
    captions = [SOURCES[0]] * 11, [TARGETS[0]] * 11, list(range(11))
    images = {}
    for compile in (False, True):
        generator = PairGenerator(settings(one_shape_folder, compile=compile, batch_size=4, num_inference_steps=1))
        generator.pipeline.unet.register_forward_pre_hook(lambda unet, inputs: rows.append(len(inputs[0]) // 4))
        images[compile] = np.stack(generator.generate(*captions)).astype(int)
    assert rows == [4, 4, 3, 4, 4, 2, 1]
    assert_alike(images[True], images[False])


@pytest.mark.slow
@pytest.mark.usefixtures("captured_only")
def test_a_model_let_go_is_freed_and_one_loaded_again_is_not_compiled_anew(one_shape_folder: Path) -> None:
    compiled = PairGenerator(settings(one_shape_folder, compile=True))
    first, before = pictures(compiled), graphs()
    unet = weakref.ref(compiled.pipeline.unet)
    del compiled
    gc.collect()
    assert unet() is None
    again = pictures(PairGenerator(settings(one_shape_folder, compile=True)))
    np.testing.assert_array_equal(again, first)
    assert graphs() == before > 0


@pytest.mark.long
def test_kernels_make_the_same_pictures(one_shape_folder: Path, kernels_in: Path) -> None:
    way = {"changed_word_weight": 2.0, "cross_replace_steps": 1, "self_replace_steps": 1}
    plain = pictures(PairGenerator(settings(one_shape_folder, **way)))
    compiled = PairGenerator(settings(one_shape_folder, compile=True, **way))
    assert_alike(pictures(compiled), plain)
    before = graphs()
    pictures(compiled, other=True)
    assert graphs() == before > 0
    assert any(kernels_in.rglob("*.so"))


@pytest.mark.slow
@pytest.mark.usefixtures("kernels_in")
def test_without_a_compiler_loading_says_what_to_do(one_shape_folder: Path) -> None:
    with (
        torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)}),
        pytest.raises(ModelUnavailable, match=r"The field `compile` is true, but .* install a C\+\+ compiler"),
    ):
        PairGenerator(settings(one_shape_folder, compile=True))
