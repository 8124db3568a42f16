"""Does an image show what a text names? Two answers by BLIP (Li et al., 2022, arXiv 2201.12086).

The contrastive score (ITC) compares the two sides embedded apart; the matching head (ITM) reads the text while looking
at the image. They are different quantities and thresholds of one do not carry over to the other.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from resources.images.crops import distinct, squash
from resources.loading import devices, weights
from resources.loading.settings import ModelSettings
from resources.loading.transformers_models import load_model

if TYPE_CHECKING:
    import torch

CACHED_NUMBERS = 2**21
"""How much of what a layer makes of its images a CPU's cache holds; a GPU takes a batch whole."""


class ImageTextMatcherSettings(ModelSettings):
    """Settings of the image-text matcher.

    `model` is a folder or hub id of a transformers `BlipForImageTextRetrieval` with its processor. `batch_size` counts
    images, texts, and pairs of both.
    """

    role: ClassVar[str] = "image_text_matcher"


class ImageTextMatcher:
    """Scores pairs of an image and a text. Slow to make (it loads the weights), so get it from `devices.load`."""

    def __init__(self, settings: ImageTextMatcherSettings) -> None:
        from transformers import BlipForImageTextRetrieval, BlipProcessor

        self.settings = settings
        self._device = devices.resolve(settings.device)
        folder = weights.locate(settings.model, settings.revision)
        self._model = load_model(BlipForImageTextRetrieval, folder, settings.dtype, self._device)
        processor = BlipProcessor.from_pretrained(folder)
        self._tokenizer = processor.tokenizer
        self._image_processor = processor.image_processor

    def match(
        self, images: Sequence[NDArray[np.uint8]], texts: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Score the pairs (`images[i]`, `texts[i]`) of images (H, W, 3) of any shapes, each seen whole.

        Returns float32 (N,) twice: the ITC score, a cosine from -1 to 1, and the ITM score, a probability. The same
        image or text in several pairs is embedded once.
        """
        import torch

        itc, itm = (np.empty(len(images), np.float32) for _ in range(2))
        text_rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        different, places = distinct(images)
        pairs_of_image: list[list[int]] = [[] for _ in different]
        for pair, place in enumerate(places):
            pairs_of_image[place].append(pair)

        size = self.settings.batch_size
        with torch.inference_mode():
            text_vectors = self._embed_texts(list(text_rows))
            for first in range(0, len(different), size):
                batch = slice(first, first + size)
                states = self._encode_images(different[batch])
                image_vectors = self._project(self._model.vision_proj, states)
                # The states of a batch of images are all that is held: they are large, and there may be many images.
                rows_and_pairs = [(row, pair) for row, asked in enumerate(pairs_of_image[batch]) for pair in asked]
                for start in range(0, len(rows_and_pairs), size):
                    rows, pairs = map(list, zip(*rows_and_pairs[start : start + size], strict=True))
                    vectors = text_vectors[[text_rows[texts[pair]] for pair in pairs]]
                    itc[pairs] = (image_vectors[rows] * vectors).sum(1).cpu().numpy()
                    itm[pairs] = self._matching(states[rows], [texts[pair] for pair in pairs]).cpu().numpy()
        return itc, itm

    def _encode_images(self, images: Sequence[NDArray[np.uint8]]) -> "torch.Tensor":
        """Return the vision model's last states (N, L, D)."""
        import torch

        settings = self._image_processor
        size = (settings.size["height"], settings.size["width"])
        pixels = squash(images, size, settings.image_mean, settings.image_std, self._device).to(self._model.dtype)
        parts = torch.split(pixels, self._suitable_images() if pixels.is_cpu else len(pixels))
        return torch.cat([self._model.vision_model(part).last_hidden_state for part in parts])

    def _suitable_images(self) -> int:
        """How many images a CPU encodes at once: with more, each layer would wait for memory."""
        vision = self._model.config.vision_config
        patches = int(vision.image_size // vision.patch_size) ** 2
        return max(1, CACHED_NUMBERS // (patches * int(vision.intermediate_size)))

    def _embed_texts(self, texts: Sequence[str]) -> "torch.Tensor":
        """Return the vectors of texts, float32 (N, D), on the device."""
        import torch

        size = self.settings.batch_size
        vectors = []
        for start in range(0, len(texts), size):
            states = self._model.text_encoder(**self._tokenize(texts[start : start + size])).last_hidden_state
            vectors.append(self._project(self._model.text_proj, states))
        return torch.cat(vectors) if vectors else torch.empty(0, 0)

    def _matching(self, image_states: "torch.Tensor", texts: Sequence[str]) -> "torch.Tensor":
        """Return the probability that each text matches the image whose states (N, L, D) stand in its row."""
        states = self._model.text_encoder(
            **self._tokenize(texts), encoder_hidden_states=image_states
        ).last_hidden_state
        return self._model.itm_head(states[:, 0]).float().softmax(-1)[:, 1]  # type: ignore[no-any-return]

    def _tokenize(self, texts: Sequence[str]) -> "dict[str, torch.Tensor]":
        longest = self._model.config.text_config.max_position_embeddings
        tokens = self._tokenizer(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
        return {name: tokens[name].to(self._device) for name in ("input_ids", "attention_mask")}

    @staticmethod
    def _project(projection: "torch.nn.Module", states: "torch.Tensor") -> "torch.Tensor":
        """Return the unit vectors (N, D), float32, of the first of the states (N, L, D)."""
        from torch.nn import functional

        return functional.normalize(projection(states[:, 0]).float(), dim=-1)
