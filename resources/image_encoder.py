"""Images as vectors, by an encoder that reads no text, such as DINOv3, or by the images' side of a CLIP.

Where a recipe names one, image pairs and regions are compared by it, and texts as ever by the image-text encoder.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from resources.encoding.transformers_towers import PictureTower
from resources.image_text_encoder import ImageTextEncoder, ImageTextEncoderSettings, Vectors, images_in_batches
from resources.loading import devices, weights
from resources.loading.model_kinds import reads_texts
from resources.loading.settings import EncoderSettings


class ImageEncoderSettings(EncoderSettings):
    """Settings of the image encoder.

    `model` is a folder or hub id of an encoder of transformers with an image processor (DINOv3, DINOv2, ViT), or what
    an image-text encoder may be.
    """

    role: ClassVar[str] = "image_encoder"


class ImageEncoder:
    """Encodes images. Slow to make (it loads the weights), so get it from `open_image_encoder`."""

    def __init__(self, settings: ImageEncoderSettings) -> None:
        self.settings = settings
        folder = weights.locate(settings.model, settings.revision)
        self.tower = PictureTower(folder, settings.dtype, devices.resolve(settings.device))

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> Vectors:
        """Return vectors of length 1, float32 (N, D), for images (H, W, 3) of any shapes, each seen whole.

        The same image, or the same region of one, is encoded once.
        """
        return images_in_batches(self.tower, images, self.settings.batch_size)


def open_image_encoder(settings: ImageEncoderSettings) -> ImageEncoder | ImageTextEncoder:
    """The loaded encoder. One that reads texts too is the image-text encoder, which is loaded once for both roles."""
    if reads_texts(weights.locate(settings.model, settings.revision)):
        return devices.load(ImageTextEncoder, ImageTextEncoderSettings.model_validate(settings.model_dump()))
    return devices.load(ImageEncoder, settings)
