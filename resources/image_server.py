"""Models behind a server that speaks OpenAI's images API, such as vLLM-Omni: editors and generators of pictures.

As of chat models, the weights behind it cannot be hashed: `resources.chat_server` says what is known of them.
"""

import base64
import hashlib
import io
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resources import editor, image_generator
from resources.asked_once import outcomes
from resources.chat_server import connect, errors_explained
from resources.editor import EditorSettings, resized
from resources.image_generator import ImageGeneratorSettings
from resources.loading.failures import is_of_the_machine
from resources.loading.settings import ImageModelSettings
from resources.served_answers import NotAnswered, entries

Pixels = NDArray[np.uint8]

MOST_STRETCHED = 0.1
"""Of a picture's shape, as the logarithm of a ratio: models round sides to multiples of 16 or 32."""


class ServedEditor:
    """Changes pictures by a served model; see `resources.editor.Editor`."""

    def __init__(self, settings: EditorSettings) -> None:
        self.settings = settings

    def edit(self, sources: Sequence[Pixels], instructions: Sequence[str], seeds: Sequence[int]) -> list[Pixels]:
        """Return each source as its instruction changes it, scaled to the source's shape; see `Editor.edit`.

        The noise is the server's: it depends on the seed where the server heeds it. Raises ModelUnavailable.
        """
        editor.check_rows(sources, instructions, seeds)
        shown = [resized(source, _within(source, self.settings.image_size)) for source in sources]
        requests = [
            {"prompt": instruction, "size": f"{picture.width}x{picture.height}", "image": _png(picture)}
            for picture, instruction in zip(shown, instructions, strict=True)
        ]
        made = _pictures(self.settings, "edit", requests, seeds)
        for picture, asked in zip(made, shown, strict=True):
            _check_shape(picture, asked.size)
        shapes = [source.shape[1::-1] for source in sources]
        return [np.asarray(resized(picture, shape)) for picture, shape in zip(made, shapes, strict=True)]


class ServedImageGenerator:
    """Draws captions by a served model; see `resources.image_generator.ImageGenerator`."""

    def __init__(self, settings: ImageGeneratorSettings) -> None:
        self.settings = settings

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> list[Pixels]:
        """Return a picture of each caption, `image_size` pixels square; see `ImageGenerator.generate`.

        The noise is the server's: it depends on the seed where the server heeds it. Raises ModelUnavailable.
        """
        image_generator.check_rows(captions, seeds)
        side = self.settings.image_size
        requests = [{"prompt": caption, "size": f"{side}x{side}"} for caption in captions]
        made = _pictures(self.settings, "generate", requests, seeds)
        for picture in made:
            _check_shape(picture, (side, side))
        return [np.asarray(resized(picture, (side, side))) for picture in made]


def _within(source: Pixels, side: int) -> tuple[int, int]:
    """The source's width and height, scaled so that the longer is `side`."""
    height, width = source.shape[:2]
    scale = side / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _check_shape(picture: Pixels, asked: tuple[int, int]) -> None:
    """Raise NotAnswered for a picture that would have to be stretched to be of the size that was asked for."""
    height, width = picture.shape[:2]
    if abs(math.log(width * asked[1] / (height * asked[0]))) > MOST_STRETCHED:
        raise NotAnswered(
            f"The server answered with a picture of {width} x {height} pixels, where {asked[0]} x {asked[1]} were "
            "asked for: it would have to be stretched. Models of few shapes need pictures of one of them "
            "(`prompt_pairs.pictures.crop: square`)."
        )


def _pictures(
    settings: ImageModelSettings, what: str, requests: Sequence[Mapping[str, Any]], seeds: Sequence[int]
) -> list[Pixels]:
    """The picture that each request gets. Raises the first error of a request, after all others were asked."""
    known = outcomes()

    def ask(place: int) -> str | Exception:
        request, seed = requests[place], seeds[place]
        more: dict[str, Any] = {}
        if not settings.plain_requests:
            # Some servers read a seed as a 32-bit number.
            more = {"seed": seed % 2**31, "num_inference_steps": settings.num_inference_steps}
            more["guidance_scale"] = settings.guidance_scale
        asked = {**request, "image": hashlib.sha256(request.get("image", b"")).hexdigest()}
        question = json.dumps([settings.base_url, settings.model, what, asked, more, seed])
        key = hashlib.sha256(question.encode()).hexdigest()
        if key not in known:
            try:
                with errors_explained(settings):
                    known[key] = _encoded(call(model=settings.model, n=1, **_sendable(request), extra_body=more))
            except Exception as error:
                if is_of_the_machine(error):
                    raise
                known[key] = error
        return known[key]

    with connect(settings) as client, ThreadPoolExecutor(settings.concurrency) as pool:
        call: Callable[..., Any] = getattr(client.images, what)
        told = list(pool.map(ask, range(len(requests))))
    for outcome in told:
        if isinstance(outcome, Exception):
            raise outcome
    return [_decoded(str(outcome)) for outcome in told]


def _sendable(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request with its picture as a file to be uploaded."""
    return {**request, "image": ("source.png", request["image"], "image/png")} if "image" in request else {**request}


def _encoded(answer: Any) -> str:
    """The picture of an answer, in base64. Raises NotAnswered where there is none that can be read."""
    first = entries(answer, "data", "a picture")[0]
    encoded: str | None = getattr(first, "b64_json", None)
    if encoded:
        _decoded(encoded)
        return encoded
    if getattr(first, "url", None):
        raise NotAnswered(
            "The server answered with an address, not with a picture (`b64_json`), and none is followed: have it "
            "answer with pictures."
        )
    raise NotAnswered("The server answered without a picture in its answer (`b64_json`).")


def _decoded(encoded: str) -> Pixels:
    """The pixels, a data: URL's too. Raises NotAnswered."""
    try:
        data = base64.b64decode(encoded.rpartition(",")[2], validate=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    # What decoders raise of damaged pictures is of many kinds.
    except Exception as error:
        raise NotAnswered(f"The server answered with a picture that cannot be read: {error}") from error


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, format="PNG", compress_level=1)
    return file.getvalue()
