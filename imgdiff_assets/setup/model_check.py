"""Loading each model of a recipe and having it answer, one after the other: what a run would find out in hours."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.setup.model_list import chosen_roles
from resources.backends.choice import backend_of
from resources.loading import devices
from resources.loading.settings import ModelSettings

SOURCE, TARGET = "a red ball on the grass", "a red kite on the grass"
INSTRUCTION = "replace the red ball with a red kite"
QUICK_STEPS = 2
"""Denoising steps of a check: enough to go through the whole pipeline."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of one role: what it answered, or why it did not; seconds and the peak of memory, in bytes."""

    role: str
    model: str
    device: str
    load_seconds: float = 0.0
    answer_seconds: float = 0.0
    peak_memory: int | None = None
    answer: str = ""
    failure: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def check(recipe: Recipe, roles: Sequence[str] = ()) -> Iterator[Checked]:
    """Check `roles` (default: all), each alone in memory. Raises ValueError for an unknown role."""
    for role, settings in chosen_roles(recipe, roles).items():
        devices.unload_all()
        yield _check(role, settings)
    devices.unload_all()


def _check(role: str, settings: ModelSettings) -> Checked:
    backend, device = backend_of(settings), settings.device
    try:
        device = backend.runs_on(settings)
        missing = backend.presence(settings).missing
        if missing is not None:
            return Checked(role, settings.model, device, failure=missing)
        devices.begin_peaks()
        started = time.perf_counter()
        if "num_inference_steps" in type(settings).model_fields and role != "inpainter":
            settings = settings.model_copy(update={"num_inference_steps": QUICK_STEPS})
        model = backend.load(settings)
        loaded = time.perf_counter()
        answer = PROBES[role](model)
        answered = time.perf_counter()
    except Exception as error:
        # Whatever is wrong with a model, the others are checked too.
        reason = " ".join(str(error).split()) or type(error).__name__
        return Checked(role, settings.model, device, failure=reason)
    return Checked(
        role,
        settings.model,
        device,
        round(loaded - started, 3),
        round(answered - loaded, 3),
        devices.peak_memory(settings),
        answer,
    )


def scene(colour: str) -> Pixels:
    """A ball on grass, (256, 256, 3): the picture that models are shown."""
    image = Image.new("RGB", (256, 256), "forestgreen")
    ImageDraw.Draw(image).ellipse((80, 96, 176, 192), fill=colour)
    return np.asarray(image)


def _rewrite(model: Any) -> str:
    return repr(model.rewrite([SOURCE], [0])[0])


def _generate(model: Any) -> str:
    source, _ = model.generate([SOURCE], [TARGET], [0])
    height, width = source.shape[1:3]
    return f"a pair of {width}×{height} pixels in {QUICK_STEPS} steps"


def _encode(model: Any) -> str:
    images = model.encode_images([scene("red"), scene("blue")])
    (text,) = model.encode_texts([SOURCE])
    return f"cosine of two pictures {images[0] @ images[1]:.2f}, with the caption {images[0] @ text:.2f}"


def _look(model: Any) -> str:
    one, other = model.encode_images([scene("red"), scene("blue")])
    return f"cosine of two pictures {one @ other:.2f}"


def _match(model: Any) -> str:
    itc, itm = model.match([scene("red")], [SOURCE])
    return f"picture and caption: ITC {itc[0]:.2f}, ITM {itm[0]:.2f}"


def _propose(model: Any) -> str:
    ((boxes, _),) = model.propose([scene("red")])
    return f"boxes in a picture of one ball: {len(boxes)}"


def _caption(model: Any) -> str:
    return repr(model.answer([[scene("red")]], ["What is this?"])[0])


def _erase(model: Any) -> str:
    image = scene("red")
    mask = np.zeros(image.shape[:2], bool)
    mask[96:192, 80:176] = True
    (erased,) = model.erase([image], [mask], [0])
    return f"a picture with {np.mean((erased != image).any(2)[mask]):.0%} of a region painted anew"


def _judge(model: Any) -> str:
    (score,) = model.judge([[scene("red")]], ["Does this picture look right? Answer with one word, yes or no."])
    return "tells nothing of a picture" if score is None else f"a picture looks right to {score:.2f}"


def _edit(model: Any) -> str:
    image = scene("red")
    (edited,) = model.edit([image], [INSTRUCTION], [0])
    return f"a picture with {np.mean((edited != image).any(2)):.0%} of its pixels changed in {QUICK_STEPS} steps"


def _draw(model: Any) -> str:
    (image,) = model.generate([SOURCE], [0])
    return f"a picture of {image.shape[1]}×{image.shape[0]} pixels in {QUICK_STEPS} steps"


PROBES: dict[str, Callable[[Any], str]] = {
    "prompt_rewriter": _rewrite,
    "pair_generator": _generate,
    "image_text_encoder": _encode,
    "image_encoder": _look,
    "image_text_matcher": _match,
    "segmenter": _propose,
    "captioner": _caption,
    "inpainter": _erase,
    "verifier": _judge,
    "witness": _caption,
    "editor": _edit,
    "image_generator": _draw,
}
