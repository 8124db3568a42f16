"""Questions about images answered by a vision-language model: any image-text-to-text chat model of transformers."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from resources.images.crops import distinct
from resources.images.shared_images import Question, answer_sharing, can_share
from resources.loading import devices, weights
from resources.loading.settings import ChatModelSettings
from resources.loading.transformers_models import answer, load_model, prepare_to_answer
from resources.yes_or_no import shares_of_yes


class CaptionerSettings(ChatModelSettings):
    """Settings of the captioner.

    `model` is a folder or hub id of a transformers image-text-to-text model with its processor, or what the server at
    `base_url` calls one.
    """

    role: ClassVar[str] = "captioner"

    max_new_tokens: int = Field(default=64, ge=1, description="Where an answer is cut off, in tokens.")


class Captioner:
    """Answers questions about images. Slow to make (it loads the weights), so get it from `devices.load`."""

    def __init__(self, settings: CaptionerSettings) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.settings = settings
        self._device = devices.resolve(settings.device)
        folder = weights.locate(settings.model, settings.revision)
        self._model = load_model(AutoModelForImageTextToText, folder, settings.dtype, self._device)
        self._processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
        _see_whole_images(self._processor.image_processor)
        prepare_to_answer(self._model, self._processor.tokenizer, settings)

    def answer(self, images: Sequence[Sequence[NDArray[np.uint8]]], questions: Sequence[str]) -> list[str]:
        """Return the likeliest answer to each question about its own one or more images (H, W, 3) of any shapes.

        The model is shown the images in their order, then the question. An answer does not depend on its neighbours
        in the batch; an image that several are about, the same array or the same cut of it, is read once for all.
        """
        import torch

        asked = self._questions(images, questions)
        # Those about the same images come together, for they share what is read of them.
        order = sorted(range(len(asked)), key=lambda row: asked[row].shown)
        answers: dict[int, str] = {}
        size = self.settings.batch_size
        with torch.inference_mode():
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                answers.update(zip(rows, self._answer([asked[row] for row in rows]), strict=True))
        return [answers[row] for row in range(len(asked))]

    def _questions(self, images: Sequence[Sequence[NDArray[np.uint8]]], questions: Sequence[str]) -> list[Question]:
        from PIL import Image

        views, places = distinct([image for group in images for image in group])
        # As PIL images, for the channels of an array three pixels high cannot be told from its rows.
        pictures, remaining = [Image.fromarray(view) for view in views], iter(places)
        asked = []
        for group, question in zip(images, questions, strict=True):
            shown = tuple(islice(remaining, len(group)))
            head, image, tail = self._prompt(len(group), question).rpartition(self._processor.image_token)
            asked.append(Question(head + image, tail, [pictures[place] for place in shown], shown))
        return asked

    def _answer(self, questions: Sequence[Question]) -> list[str]:
        if can_share(self._model, questions):
            return answer_sharing(self._model, self._processor, questions, self._adds_special_tokens(questions))
        return answer(self._model, self._processor.tokenizer, self._inputs(questions))

    def yes(self, images: Sequence[Sequence[NDArray[np.uint8]]], questions: Sequence[str]) -> list[float | None]:
        """Return how likely the answer to each question begins with yes rather than no; None where with neither."""
        import torch

        asked, shares, size = self._questions(images, questions), list[float | None](), self.settings.batch_size
        with torch.inference_mode():
            for start in range(0, len(asked), size):
                inputs = self._inputs(asked[start : start + size])
                shares += shares_of_yes(self._model, self._processor.tokenizer, inputs)
        return shares

    def _inputs(self, questions: Sequence[Question]) -> Any:
        return self._processor(
            text=[question.head + question.tail for question in questions],
            images=[question.images for question in questions],
            padding=True,
            add_special_tokens=self._adds_special_tokens(questions),
            return_tensors="pt",
        ).to(self._device, self._model.dtype)

    def _adds_special_tokens(self, questions: Sequence[Question]) -> bool:
        begin = self._processor.tokenizer.bos_token
        return not (begin and questions[0].head.startswith(begin))

    def _prompt(self, image_count: int, question: str) -> str:
        if not self._processor.chat_template:
            return f"{self._processor.image_token * image_count}{question}"
        content = [{"type": "image"}] * image_count + [{"type": "text", "text": question}]
        turn = {"role": "user", "content": content}
        prompt: str = self._processor.apply_chat_template([turn], add_generation_prompt=True)
        return prompt


def _see_whole_images(image_processor: Any) -> None:
    """Let a processor that would resize the shorter side and crop the centre squash the whole image instead."""
    if getattr(image_processor, "do_center_crop", False):
        image_processor.do_center_crop = False
        image_processor.size = image_processor.crop_size
