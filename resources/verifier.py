"""Do pictures look right? A score from 0 (they do not) to 1 (they do), by whichever kind of judge there is.

An image classifier reads one picture; a chat model reads the pictures and a question, and is either asked for a yes,
whose probability counts, or trained to write a score, as reward models are.
"""

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from resources.captioner import Captioner, CaptionerSettings
from resources.chat_server import ServedCaptioner
from resources.images.crops import squash
from resources.loading import devices, weights
from resources.loading.failures import WeightsMissing
from resources.loading.model_kinds import classifies_images
from resources.loading.transformers_models import load_model

_SCORES = re.compile(r"""["']?score["']?\s*[:=]\s*\[?([\d.,\s]+)""", re.IGNORECASE)


class VerifierSettings(CaptionerSettings):
    """Settings of the verifier.

    `model` is a folder or hub id of a transformers image classifier or image-text-to-text model with its processor, or
    what the server at `base_url` calls one of the latter.
    """

    role: ClassVar[str] = "verifier"

    label: str = Field(default="natural", description="Of an image classifier: the label of pictures that look right.")
    answer: Literal["yes", "score"] = Field(
        default="yes",
        description="Of a chat model: how likely its answer begins with yes rather than no, or the least of the "
        "numbers that it writes after the word `score`.",
    )
    highest_score: float = Field(
        default=10, gt=0, description="The best score that such a model writes; 0 is the worst."
    )


class Verifier:
    """Judges pictures by a model that is loaded here. Slow to make, so get it from `devices.load`."""

    def __init__(self, settings: VerifierSettings) -> None:
        self.settings = settings
        classifies = classifies_images(weights.locate(settings.model, settings.revision))
        self._model: Any = Classifier(settings) if classifies else Captioner(settings)

    def judge(self, images: Sequence[Sequence[NDArray[np.uint8]]], questions: Sequence[str]) -> list[float | None]:
        """Return how right the one or more images (H, W, 3) of each question look together, 0 to 1.

        None where the model does not tell: a classifier of several images, a chat model that answers otherwise.
        """
        if isinstance(self._model, Classifier):
            return self._model.judge(images)
        return _asked(self._model, self.settings, images, questions)


class ServedVerifier:
    """Judges pictures by a served model; see `Verifier`."""

    def __init__(self, settings: VerifierSettings) -> None:
        self.settings = settings
        self._model = ServedCaptioner(settings)

    def judge(self, images: Sequence[Sequence[NDArray[np.uint8]]], questions: Sequence[str]) -> list[float | None]:
        """As `Verifier.judge`; None also where the server tells no probabilities. Raises ModelUnavailable."""
        return _asked(self._model, self.settings, images, questions)


class Classifier:
    """An image classifier of transformers, one of whose labels says that a picture looks right."""

    def __init__(self, settings: VerifierSettings) -> None:
        """Raises WeightsMissing where the model has no such label."""
        from transformers import AutoImageProcessor, AutoModelForImageClassification

        self._batch_size, self._device = settings.batch_size, devices.resolve(settings.device)
        folder = weights.locate(settings.model, settings.revision)
        self._model = load_model(AutoModelForImageClassification, folder, settings.dtype, self._device)
        labels = self._model.config.label2id
        if settings.label not in labels:
            raise WeightsMissing(
                f"The model {settings.model!r} has no label {settings.label!r}, but {', '.join(labels)}: name the one "
                "of pictures that look right in the field `label`."
            )
        self._label = labels[settings.label]
        self._processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)

    def judge(self, images: Sequence[Sequence[NDArray[np.uint8]]]) -> list[float | None]:
        """Return the label's probability for each image that stands alone, None for images together."""
        import torch

        alone = [row for row, shown in enumerate(images) if len(shown) == 1]
        scores: list[float | None] = [None] * len(images)
        settings = self._processor
        sizes = settings.crop_size if getattr(settings, "do_center_crop", False) else settings.size
        size = (sizes["height"], sizes["width"]) if "height" in sizes else (sizes["shortest_edge"],) * 2
        with torch.inference_mode():
            for start in range(0, len(alone), self._batch_size):
                rows = alone[start : start + self._batch_size]
                shown = [images[row][0] for row in rows]
                pixels = squash(shown, size, settings.image_mean, settings.image_std, self._device)
                chances = self._model(pixel_values=pixels.to(self._model.dtype)).logits.float().softmax(-1)
                for row, chance in zip(rows, chances[:, self._label].tolist(), strict=True):
                    scores[row] = chance
        return scores


def _asked(
    model: Captioner | ServedCaptioner,
    settings: VerifierSettings,
    images: Sequence[Sequence[NDArray[np.uint8]]],
    questions: Sequence[str],
) -> list[float | None]:
    if settings.answer == "yes":
        return model.yes(images, questions)
    return [least_score(answer, settings.highest_score) for answer in model.answer(images, questions)]


def least_score(answer: str, highest: float) -> float | None:
    """Return the least of the numbers after the last `score` of an answer, as a share of the highest one.

    None where there is none, or one that is not between 0 and the highest.
    """
    told = _SCORES.findall(answer)
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", told[-1])] if told else []
    return min(numbers) / highest if numbers and max(numbers) <= highest else None
