"""Does an image show what a text names? Two answers by BLIP (Li et al., 2022, arXiv 2201.12086).

The contrastive score (ITC) compares the two sides embedded apart; the matching head (ITM) reads the text while looking
at the image. They are different quantities and thresholds of one do not carry over to the other.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from resources.encoding.remembered import Group, Remembered, content_of, in_batches
from resources.images.crops import distinct, squash
from resources.loading import devices, weights
from resources.loading.settings import ModelSettings
from resources.loading.transformers_models import load_model

if TYPE_CHECKING:
    import torch

CACHED_NUMBERS = 2**21
"""How much of what a layer makes of its images a CPU's cache holds; a GPU takes a batch whole."""


REMEMBERED = 128 * 2**20
"""Bytes of this machine's memory that hold images as the model sees them, and as many texts as there may be."""

TOGETHER = 4
"""Batches of images whose states are held at once: they are large, and there may be many images."""


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
        self._states: Remembered[torch.Tensor] = Remembered(REMEMBERED, _bytes)
        self._vectors: Remembered[torch.Tensor] = Remembered(REMEMBERED, _bytes)

    def match(
        self, images: Sequence[NDArray[np.uint8]], texts: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Score the pairs (`images[i]`, `texts[i]`) of images (H, W, 3) of any shapes, each seen whole.

        Returns float32 (N,) twice: the ITC score, a cosine from -1 to 1, and the ITM score, a probability. The same
        image or text in several pairs is embedded once, also of pairs that were scored before.
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
            for first in range(0, len(different), TOGETHER * size):
                known = self._encode_images(different[first : first + TOGETHER * size])
                for start in range(0, len(known), size):
                    states = torch.stack([state.to(self._device) for state in known[start : start + size]])
                    image_vectors = self._project(self._model.vision_proj, states)
                    asked = enumerate(pairs_of_image[first + start : first + start + size])
                    rows_and_pairs = [(row, pair) for row, pairs in asked for pair in pairs]
                    for begin in range(0, len(rows_and_pairs), size):
                        rows, pairs = map(list, zip(*rows_and_pairs[begin : begin + size], strict=True))
                        vectors = text_vectors[[text_rows[texts[pair]] for pair in pairs]]
                        itc[pairs] = (image_vectors[rows] * vectors).sum(1).cpu().numpy()
                        itm[pairs] = self._matching(states[rows], [texts[pair] for pair in pairs]).cpu().numpy()
        return itc, itm

    def _encode_images(self, images: Sequence[NDArray[np.uint8]]) -> "list[torch.Tensor]":
        """Return the vision model's last states (L, D) of each image, some of them on the CPU."""
        settings = self._image_processor
        size = (settings.size["height"], settings.size["width"])

        def encode(places: Sequence[int], kind: object) -> "torch.Tensor":
            some = [images[place] for place in places]
            pixels = squash(some, size, settings.image_mean, settings.image_std, self._device)
            return self._model.vision_model(pixels.to(self._model.dtype)).last_hidden_state  # type: ignore[no-any-return]

        groups = [*in_batches(len(images), self._suitable_images())]
        return self._states.all(groups, [content_of(image) for image in images], encode, _apart)

    def _suitable_images(self) -> int:
        """How many images are encoded at once: on a CPU with more of them each layer would wait for memory."""
        if self._device != "cpu":
            return self.settings.batch_size
        vision = self._model.config.vision_config
        patches = int(vision.image_size // vision.patch_size) ** 2
        suitable = max(1, CACHED_NUMBERS // (patches * int(vision.intermediate_size)))
        return min(suitable, self.settings.batch_size)

    def _embed_texts(self, texts: Sequence[str]) -> "torch.Tensor":
        """Return the vectors of texts, float32 (N, D), on the device."""
        import torch

        def encode(places: Sequence[int], length: object) -> "torch.Tensor":
            tokens = self._tokenize([texts[place] for place in places], int(str(length)))
            return self._project(self._model.text_proj, self._model.text_encoder(**tokens).last_hidden_state)

        lengths = [len(tokens) for tokens in self._tokens(texts)["input_ids"]] if texts else []
        batches: dict[tuple[int, int], list[int]] = {}
        for group in in_batches(len(texts), self.settings.batch_size):
            for start in range(0, len(group.places), group.size):
                places = group.places[start : start + group.size]
                batches.setdefault((group.size, max(lengths[place] for place in places)), []).extend(places)
        groups = [Group(places, size, length) for (size, length), places in batches.items()]
        vectors = self._vectors.all(groups, texts, encode, _apart)
        return torch.stack([vector.to(self._device) for vector in vectors]) if vectors else torch.empty(0, 0)

    def _matching(self, image_states: "torch.Tensor", texts: Sequence[str]) -> "torch.Tensor":
        """Return the probability that each text matches the image whose states (N, L, D) stand in its row."""
        states = self._model.text_encoder(
            **self._tokenize(texts), encoder_hidden_states=image_states
        ).last_hidden_state
        return self._model.itm_head(states[:, 0]).float().softmax(-1)[:, 1]  # type: ignore[no-any-return]

    def _tokenize(self, texts: Sequence[str], length: int | None = None) -> "dict[str, torch.Tensor]":
        """Return the tokens of texts, all filled up to `length`, or to that of the longest."""
        filled = {"padding": True} if length is None else {"padding": "max_length", "max_length": length}
        tokens = self._tokens(texts, **filled, return_tensors="pt")
        return {name: tokens[name].to(self._device) for name in ("input_ids", "attention_mask")}

    def _tokens(self, texts: Sequence[str], **options: Any) -> Any:
        longest = self._model.config.text_config.max_position_embeddings
        return self._tokenizer(list(texts), **{"truncation": True, "max_length": longest, **options})

    @staticmethod
    def _project(projection: "torch.nn.Module", states: "torch.Tensor") -> "torch.Tensor":
        """Return the unit vectors (N, D), float32, of the first of the states (N, L, D)."""
        from torch.nn import functional

        return functional.normalize(projection(states[:, 0]).float(), dim=-1)


def _bytes(tensor: "torch.Tensor") -> int:
    return tensor.numel() * tensor.element_size()


def _apart(tensor: "torch.Tensor") -> "torch.Tensor":
    """What of a batch is held on the CPU, without the rest of it."""
    return tensor.to("cpu", copy=True)
