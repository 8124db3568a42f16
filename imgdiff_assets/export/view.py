"""A sample as a trainer is shown it: pictures in order, question and answer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.export.options import Options
from imgdiff_assets.ledger.files import atomic_file
from imgdiff_assets.ledger.images import encode_png
from imgdiff_assets.method.box_text import CONVENTIONS, box_text
from imgdiff_assets.method.conversations import IMAGE_TOKEN
from imgdiff_assets.method.regions import BAR_WIDTH, draw_box, side_by_side
from imgdiff_assets.method.tasks import MARKED_REGION, SIDES, TASKS, other
from imgdiff_assets.reading.samples import Sample, SampleImages

COMPRESSION = 6
SIDE_BY_SIDE = "The picture shows two images side by side: the first on the left, the second on the right."
SPLITS = ("train", "validation")


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file of an export: its path within the folder of images, and its encoded bytes when asked for.

    Equal paths have equal bytes: samples of one region, or of one pair, share their pictures.
    """

    path: PurePosixPath
    encoded: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class View:
    """One sample with one picture or two, the one shown first before the other; texts without image tokens."""

    sample: Sample
    pictures: tuple[Picture, ...]
    question: str
    answer: str


def views(shard: str, samples: Sequence[Sample], images: SampleImages, options: Options) -> Iterator[View]:
    """The views of a shard's samples, in order."""
    for sample in samples:
        boxed = options.boxes and sample.box is not None and TASKS[sample.task].marked
        yield View(
            sample,
            _pictures(shard, sample, images, boxed, options.single),
            question(sample, options, region=MARKED_REGION if boxed else corners(sample)),
            # Trainers put an image in the place of every token; what a model said must not ask for more.
            sample.answer.replace(IMAGE_TOKEN, "image"),
        )


def question(sample: Sample, options: Options, region: str) -> str:
    """The sample's question without image tokens, with `region` in the place of "inside the red box"."""
    text = sample.conversations[0]["value"].replace(f"{IMAGE_TOKEN}\n", "").replace(IMAGE_TOKEN, "image")
    text = text.replace(MARKED_REGION, region)
    return f"{SIDE_BY_SIDE} {text}" if options.single else text


def write_picture(picture: Picture, folder: Path) -> str:
    """Write the picture below `folder`/images unless it is there; returns its path relative to `folder`."""
    path = folder / "images" / picture.path
    write_bytes(path, picture.encoded)
    return path.relative_to(folder).as_posix()


def write_bytes(path: Path, encoded: Callable[[], bytes]) -> None:
    """Write the file unless it is there; it is never there in part."""
    if not path.exists():
        data = encoded()
        with atomic_file(path, durable=False) as temporary:
            temporary.write_bytes(data)


def _pictures(shard: str, sample: Sample, images: SampleImages, boxed: bool, single: bool) -> tuple[Picture, ...]:
    sides = (sample.first, other(sample.first))
    folder = PurePosixPath(shard)
    name = str(sample.region_id if boxed or sample.erased_from else sample.pair_id)
    name += "_erased" if sample.erased_from else ""
    if single:
        path = folder / f"{name}{'_boxed' if boxed else ''}_{sample.first}_first.png"
        return (Picture(path, lambda: encode_png(_joined(sample, images, boxed), COMPRESSION)),)
    if boxed:
        return tuple(
            Picture(folder / f"{name}_boxed_{side}.png", partial(_encoded_with_box, sample, images, side))
            for side in sides
        )
    cells = {side: images.encoded(sample, side) for side in sides}
    return tuple(
        Picture(folder / f"{name}_{side}{PurePosixPath(cell['path'] or '.png').suffix}", partial(bytes, cell["bytes"]))
        for side, cell in cells.items()
    )


def _shown(sample: Sample, images: SampleImages, side: str, boxed: bool) -> Pixels:
    pixels = images(sample)[SIDES.index(side)]
    return draw_box(pixels, sample.box) if boxed and sample.box is not None else pixels


def _encoded_with_box(sample: Sample, images: SampleImages, side: str) -> bytes:
    return encode_png(_shown(sample, images, side, boxed=True), COMPRESSION)


def _joined(sample: Sample, images: SampleImages, boxed: bool) -> Pixels:
    left, right = (_shown(sample, images, side, boxed) for side in (sample.first, other(sample.first)))
    return side_by_side(left, right, BAR_WIDTH)


def corners(sample: Sample) -> str:
    """Where the sample's region is, for a question about images without red boxes."""
    if sample.box is None:
        return ""
    return (
        f"inside the box {box_text(sample.box, sample.width, sample.height, 'fraction')}, {CONVENTIONS['fraction']},"
    )
