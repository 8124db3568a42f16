"""Everything at published sizes on one GPU: pieces in order of worth, so that a quarter of an hour gives what it can.

Each piece makes the models that it needs, is guarded, and is printed figure by figure and written to a file as it
goes. The same command again goes on with the pieces that are not there; one that was cut off is measured anew.
"""

import json
import random
import signal
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import quality
from benchmarks.speed import boxes, pairs, questions, regions
from benchmarks.speed.random_models import FULL, TINY, Sizes
from benchmarks.speed.timing import Figure, clock, dearest_kernels, peak_memory, ratio, seconds, take_turns
from benchmarks.speed.whole import Load, measure, save_models
from resources.loading import devices
from resources.miniature.scenes import draw_scene
from resources.pair_generator import PairGenerator, PairGeneratorSettings
from resources.segmenter import Segmenter, SegmenterSettings

Say = Callable[[str], None]
SHORT = 4
"""Steps of a pair by which a kernel's share is seen, and what is compiled is warmed up."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How large everything is; `stage_pairs` go through all stages."""

    sizes: Sizes
    load: Load
    dtype: str
    segmenter_dtype: str
    batches: tuple[int, ...]
    images: int
    stage_pairs: int
    rounds: int


FULL_SCALE = Scale(FULL, Load(), "float16", "bfloat16", (1, 2, 4, 8), 4, 8, 2)
TINY_SCALE = Scale(TINY, Load(64, 2, 2, 2, 1, 1, 2), "float32", "float32", (1, 2), 1, 1, 1)


class Bench:
    """The models of one scale, made when they are asked for and kept in `folder`."""

    def __init__(self, folder: Path, scale: Scale) -> None:
        self.folder, self.scale = folder, scale

    def model(self, role: str) -> Path:
        """The folder of a role's model."""
        return save_models(self.folder, self.scale.sizes, (role,))[role]

    def pairs(self, **changes: Any) -> pairs.Pairs:
        scale = self.scale
        return pairs.Pairs(
            self.model("pair_generator"), scale.load.image_size // 8, scale.load.steps, scale.dtype, **changes
        )

    @property
    def size(self) -> str:
        return f"{self.scale.load.image_size}², {self.scale.load.steps} steps, {self.scale.dtype}"

    def scenes(self) -> list[np.ndarray]:
        drawn = (draw_scene(random.Random(seed)).image for seed in range(self.scale.images))
        return [regions.resized(image, self.scale.load.image_size) for image in drawn]


def a_pair(bench: Bench) -> Iterator[Figure]:
    """A pair without attention maps, with them, and two stock images: time, memory, and whether they agree."""
    one, size = bench.pairs(), bench.size
    ways = {"stock": one.stock, "fused": one.fused, "materialised": one.materialised}
    memory, images = {}, {}
    for name, way in ways.items():
        kept: list[torch.Tensor] = []
        memory[name] = peak_memory(lambda way=way, kept=kept: kept.append(way().float().cpu()))  # type: ignore[misc]
        (images[name],) = kept
    same = "bit for bit" if torch.equal(images["fused"][0], images["stock"][0]) else "NOT the same"
    apart = float((images["fused"] - images["materialised"]).abs().max() / images["materialised"].abs().max())
    told = ", ".join(f"{name} {value:,.0f} MiB" for name, value in memory.items())
    share = memory["fused"] / max(memory["materialised"], 1e-9)
    yield Figure(f"memory beyond the weights, fused / with maps, {size}", share, "×", "≤ 1/3", note=told)
    times = take_turns(ways, bench.scale.rounds)
    yield ratio(f"a pair / two stock images, {size}", times["fused"], times["stock"], "≤ 1.0", f"source {same}")
    note = f"largest difference {apart:.1e}"
    yield ratio(f"with attention maps / fused, {size}", times["materialised"], times["fused"], "≥ 2", note)
    yield seconds(f"denoising a pair, {size}", times["fused"])


def batches(bench: Bench) -> Iterator[Figure]:
    """Whole pictures, decoded and on the CPU, in batches of several sizes; what decoding is of that."""
    one, scale = bench.pairs(), bench.scale
    denoising = statistics.median(take_turns({"fused": one.fused}, 1)["fused"])
    del one
    for count in scale.batches:
        settings = PairGeneratorSettings(
            model=str(bench.model("pair_generator")),
            dtype=scale.dtype,
            batch_size=count,
            edit="refine",
            image_size=scale.load.image_size,
            num_inference_steps=scale.load.steps,
        )
        generator = PairGenerator(settings)

        def generate(generator: PairGenerator = generator, count: int = count) -> object:
            return generator.generate([pairs.SOURCE] * count, [pairs.TARGET] * count, range(count))

        memory = peak_memory(generate)  # which warms up, too
        began = clock()
        generate()
        spent = (clock() - began) / count
        note = f"{memory:,.0f} MiB beyond the weights"
        if count == 1:
            note += f"; decoding and the rest {1 - denoising / spent:.0%}"
        yield Figure(f"a pair in batches of {count}, {bench.size}", spent, "s", "≤ 6" if count == 1 else "", note=note)
        del generator, generate


def shortcuts(bench: Bench) -> Iterator[Figure]:
    """What each named shortcut leaves of a stock run's time."""
    one = bench.pairs()
    ways: dict[str, Callable[[], object]] = {"stock": one.stock}
    ways |= {name: lambda each=each: one.fused(each) for name, each in pairs.SHORTCUTS.items()}  # type: ignore[misc]
    ways["4 steps without guidance"] = lambda: one.fused(**pairs.FEW_STEPS)
    times = take_turns(ways, 1)
    for name in [name for name in ways if name != "stock"]:
        note = f"{statistics.median(times[name]):.2f} s"
        yield ratio(f"{name}: a pair / two stock images, {bench.size}", times[name], times["stock"], note=note)


def found_boxes(bench: Bench) -> Iterator[Figure]:
    """Box proposals beside the library's own mask generator."""
    scale = bench.scale
    yield from boxes.measure_random(
        bench.model("segmenter"), bench.scenes(), scale.load.points_per_side, 0.3, scale.segmenter_dtype, scale.rounds
    )


def scored_regions(bench: Bench) -> Iterator[Figure]:
    """Regions in batches beside one crop at a time."""
    scoring = regions.Scoring(bench.model("encoder"), bench.model("matcher"), bench.scale.dtype, 0.5)
    side = bench.scale.load.image_size
    drawn = regions.of_drawn(quality.draw_pairs(12 if bench.scale is FULL_SCALE else 2, seed=0), side)
    (bench.folder / "crops").mkdir(exist_ok=True)
    yield from regions.measure(f"{side}²", scoring, drawn, bench.folder / "crops", bench.scale.rounds)


def answered(bench: Bench) -> Iterator[Figure]:
    """Questions about regions."""
    yield from questions.measure(
        "LLaVA-1.5 7B", bench.model("captioner"), bench.scale.images, 3, bench.scale.dtype, bench.scale.rounds
    )


def all_stages(bench: Bench) -> Iterator[Figure]:
    """Each stage over some pairs, its models loaded for it and let go after it."""
    models = save_models(bench.folder, bench.scale.sizes)
    yield from measure(models, bench.scale.stage_pairs, bench.scale.load, bench.scale.dtype)


def kernels(bench: Bench) -> Iterator[Figure]:
    """The ten dearest kernels of a pair and of an image's boxes, as shares of all of them."""
    one = bench.pairs()
    one.arguments["num_inference_steps"] = SHORT
    yield from dearest_kernels(f"{SHORT} steps of a pair", one.fused)
    del one
    settings = SegmenterSettings(
        model=str(bench.model("segmenter")),
        points_per_side=bench.scale.load.points_per_side,
        dtype=bench.scale.segmenter_dtype,
    )
    segmenter, scenes = Segmenter(settings), bench.scenes()[:1]
    yield from dearest_kernels("boxes", lambda: segmenter.propose(scenes))


def channels_last(bench: Bench) -> Iterator[Figure]:
    """The UNet's convolutions with the channels last in memory."""
    one, other = bench.pairs(), bench.pairs()
    other.pipeline.unet.to(memory_format=torch.channels_last)
    times = take_turns({"last": other.fused, "first": one.fused}, bench.scale.rounds)
    yield ratio(f"channels last / first: a pair, {bench.size}", times["last"], times["first"])


def compiled(bench: Bench) -> Iterator[Figure]:
    """What `compile: true` gains, and its price."""
    scale = bench.scale
    yield from pairs.measure_compiled(
        bench.model("pair_generator"), scale.load.image_size // 8, scale.load.steps, 1, scale.dtype
    )


@dataclass(frozen=True, slots=True)
class Piece:
    """`least` are the seconds on a large GPU below which it is not begun: models are made in them too."""

    run: Callable[[Bench], Iterator[Figure]]
    least: float

    @property
    def name(self) -> str:
        return self.run.__name__.replace("_", " ")


PIECES = (
    Piece(a_pair, 90),
    Piece(batches, 90),
    Piece(found_boxes, 60),
    Piece(shortcuts, 45),
    Piece(scored_regions, 40),
    Piece(answered, 60),
    Piece(all_stages, 120),
    Piece(kernels, 30),
    Piece(channels_last, 40),
    Piece(compiled, 150),
)


class OutOfTime(BaseException):
    """A piece took all the time that there was; no handler of errors of models is meant."""


@contextmanager
def within(left: float) -> Iterator[None]:
    """Raise OutOfTime in the main thread when so many seconds have passed."""

    def stop(number: int, frame: object) -> None:
        raise OutOfTime(f"after {left:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, left)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run(
    bench: Bench,
    limit: float,
    file: Path,
    about: Mapping[str, Any],
    say: Say,
    pieces: Sequence[Piece] = PIECES,
) -> bool:
    """Measure what `file` does not have, within `limit` seconds; returns whether it has everything now.

    The file has, by piece, its figures, the seconds it took, and `error` where it is not whole, beside what it is
    `about` (the card, the versions).
    """
    deadline = time.monotonic() + limit
    known: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    known = known if known.get("about") == about else {"about": dict(about), "pieces": {}}
    done = known["pieces"]
    bench.folder.mkdir(parents=True, exist_ok=True)
    for piece in pieces:
        left = deadline - time.monotonic()
        if piece.name in done and "error" not in done[piece.name]:
            say(f"{piece.name}: there already")
        elif left < (piece.least if bench.scale is FULL_SCALE else 0):
            say(f"{piece.name}: not begun, it takes {piece.least:.0f} s and {left:.0f} are left")
        else:
            done[piece.name] = _guarded(piece, bench, left, say)
            file.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    whole = [piece for piece in pieces if piece.name in done and "error" not in done[piece.name]]
    say(f"{len(whole)} of {len(pieces)} pieces are there; the same command goes on with the others")
    return len(whole) == len(pieces)


def _guarded(piece: Piece, bench: Bench, left: float, say: Say) -> dict[str, Any]:
    """A piece's figures, each said as it comes, and what cut it off, if anything did."""
    began, found = time.monotonic(), []
    told: dict[str, Any] = {}
    try:
        with within(min(max(left, 1e-3), 1e6)):
            for figure in piece.run(bench):
                found.append(asdict(figure))
                say(f"{figure.what}: {figure.value:.4g} {figure.unit}  {figure.goal}  {figure.note}".rstrip())
    except (Exception, OutOfTime) as error:
        told = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}
        say(f"{piece.name}: NOT measured to its end, {told['error']}")
        if not isinstance(error, OutOfTime):
            traceback.clear_frames(error.__traceback__)  # which hold models
            say("".join(traceback.format_exception(error))[-1500:])
    devices.unload_all()
    devices.release_memory()
    spent = round(time.monotonic() - began, 1)
    say(f"{piece.name}: {spent} s")
    return {"seconds": spent, "figures": found, **told}
