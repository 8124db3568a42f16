"""A sample as a trainer is shown it: pictures in order, question and answer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.export.options import Options
from imgdiff_assets.export.preferences import Rejected
from imgdiff_assets.ledger.files import atomic_file
from imgdiff_assets.ledger.images import encode_png
from imgdiff_assets.method.box_text import box_text
from imgdiff_assets.method.language import Sentences, sentences_in
from imgdiff_assets.method.regions import BAR_WIDTH, draw_box, side_by_side
from imgdiff_assets.reading.samples import Sample, SampleImages
from imgdiff_assets.reading.shown import ShownImage

COMPRESSION = 6
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
    """One sample with one picture or two, the one shown first before the other; texts without image tokens.

    `rejected` is an answer that is worse, where preferences are asked for.
    """

    sample: Sample
    pictures: tuple[Picture, ...]
    question: str
    answer: str
    rejected: Rejected | None = None


def views(
    shard: str,
    samples: Sequence[Sample],
    images: SampleImages,
    options: Options,
    rejected: Mapping[str, Rejected] | None = None,
) -> Iterator[View]:
    """The views of a shard's samples, in order; with the `rejected` answers by sample id."""
    for sample in samples:
        boxed = options.boxes and sample.shown.box is not None
        sentences = sentences_in(sample.shown.question)
        text = sample.shown.question
        if not boxed and sample.box is not None:
            text = text.replace(sentences.region, corners(sample, sentences))
        yield View(
            sample,
            _pictures(shard, sample, images, boxed, options.single),
            f"{sentences.side_by_side} {text}" if options.single else text,
            sample.shown.answer,
            (rejected or {}).get(sample.sample_id),
        )


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
    first, second = sample.shown.images
    folder = PurePosixPath(shard)
    name = str(sample.region_id if boxed or sample.erased_from else sample.pair_id)
    name += "_erased" if sample.erased_from else ""
    if single:
        path = folder / f"{name}{'_boxed' if boxed else ''}_{first.side}_first.png"
        return (Picture(path, lambda: encode_png(_joined(sample, images, boxed), COMPRESSION)),)
    if boxed:
        return tuple(
            Picture(folder / f"{name}_boxed_{image.side}.png", partial(_encoded_with_box, sample, images, image))
            for image in (first, second)
        )
    cells = {image.side: images.encoded(image) for image in (first, second)}
    return tuple(
        Picture(folder / f"{name}_{side}{PurePosixPath(cell['path'] or '.png').suffix}", partial(bytes, cell["bytes"]))
        for side, cell in cells.items()
    )


def _drawn(sample: Sample, images: SampleImages, image: ShownImage, boxed: bool) -> Pixels:
    box = sample.shown.box if boxed else None
    return images(image) if box is None else draw_box(images(image), box)


def _encoded_with_box(sample: Sample, images: SampleImages, image: ShownImage) -> bytes:
    return encode_png(_drawn(sample, images, image, boxed=True), COMPRESSION)


def _joined(sample: Sample, images: SampleImages, boxed: bool) -> Pixels:
    left, right = (_drawn(sample, images, image, boxed) for image in sample.shown.images)
    return side_by_side(left, right, BAR_WIDTH)


def corners(sample: Sample, sentences: Sentences) -> str:
    """Where the box of a sample that has one is, for a question about images without red boxes."""
    box = box_text(sample.box, sample.width, sample.height, "fraction") if sample.box is not None else ""
    return f"{sentences.corners.format(box=box)} ({sentences.conventions['fraction']})"
