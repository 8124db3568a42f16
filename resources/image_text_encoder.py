"""Images and texts as vectors of one space, by CLIP and its kin: in open_clip's format, or in that of transformers."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from resources.encoding.open_clip_towers import CONFIG_NAME, OpenClipTowers
from resources.encoding.towers import Towers
from resources.encoding.transformers_towers import TransformersTowers
from resources.images.crops import distinct
from resources.loading import devices, weights
from resources.loading.failures import WeightsMissing
from resources.loading.settings import EncoderSettings

Vectors = NDArray[np.float32]


class ImageTextEncoderSettings(EncoderSettings):
    """Settings of the image-text encoder.

    `model` is a folder or hub id in the format of open_clip (`open_clip_config.json`, `open_clip_model.safetensors`
    and, unless the model uses CLIP's own vocabulary, tokenizer files), or of transformers: SigLIP, SigLIP 2 or CLIP.
    """

    role: ClassVar[str] = "image_text_encoder"


class ImageTextEncoder:
    """Encodes images and texts. Slow to make (it loads the weights), so get it from `devices.load`.

    The cosine similarity of two encodings is their dot product.
    """

    def __init__(self, settings: ImageTextEncoderSettings) -> None:
        self.settings = settings
        self.towers = open_towers(settings)

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> Vectors:
        """Return vectors of length 1, float32 (N, D), for images (H, W, 3) of any shapes, each seen whole.

        The same image, or the same region of one, is encoded once.
        """
        return images_in_batches(self.towers, images, self.settings.batch_size)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return vectors of length 1, float32 (N, D); what exceeds the model's context is cut off.

        The same text is encoded once.
        """
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        vectors = _in_batches(self.towers.encode_texts, list(places), self.towers.dimension, self.settings.batch_size)
        return vectors[[places[text] for text in texts]]


def open_towers(settings: EncoderSettings) -> Towers:
    """Load what encodes pictures and texts, in whichever format it is. Raises WeightsMissing."""
    device, folder = devices.resolve(settings.device), weights.locate(settings.model, settings.revision)
    if (folder / CONFIG_NAME).is_file():
        return OpenClipTowers(folder, settings.dtype, device)
    if (folder / "config.json").is_file():
        return TransformersTowers(folder, settings.dtype, device)
    raise WeightsMissing(
        f"The image-text encoder's folder {folder} has no {CONFIG_NAME} and no config.json: "
        "set `model` to a folder in open_clip's format, or to a SigLIP or CLIP of transformers."
    )


def images_in_batches(towers: Any, images: Sequence[NDArray[np.uint8]], size: int) -> Vectors:
    """Vectors of length 1, float32 (N, D), of images of any shapes, `size` at once; the same image is encoded once."""
    different, places = distinct(images)
    return _in_batches(towers.encode_images, different, towers.dimension, size)[places]


def _in_batches(encode: Callable[[Sequence[Any]], Any], items: Sequence[Any], dimension: int, size: int) -> Vectors:
    import torch
    from torch.nn import functional

    vectors = np.empty((len(items), dimension), np.float32)
    with torch.inference_mode():
        for start in range(0, len(items), size):
            encoded = encode(items[start : start + size]).float()
            vectors[start : start + size] = functional.normalize(encoded, dim=-1).cpu().numpy()
    return vectors
