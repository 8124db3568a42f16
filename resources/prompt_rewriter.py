"""Captions rewritten by a language model: any chat model of transformers."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator

from resources.guided import SchemaGuide, readable
from resources.loading import devices, weights
from resources.loading.settings import ChatModelSettings
from resources.loading.transformers_models import answer, load_model, prepare_to_answer
from resources.yes_or_no import shares_of_yes

if TYPE_CHECKING:
    import torch

PLACEHOLDER = "{caption}"


class PromptRewriterSettings(ChatModelSettings):
    """Settings of the prompt rewriter.

    `model` is a folder or hub id of a transformers causal language model with its tokenizer, or what the server at
    `base_url` calls one. The prompt is the user's turn of the model's chat template, or plain text if it has none.
    """

    role: ClassVar[str] = "prompt_rewriter"

    prompt: str = Field(description=f"What is said to the model; `{PLACEHOLDER}` stands for the caption.")
    temperature: float = Field(
        default=0.9, ge=0, description="How freely the words are drawn; 0 always takes the likeliest."
    )
    top_p: float = Field(
        default=0.95, gt=0, le=1, description="Only the likeliest words that together have this probability are drawn."
    )

    @field_validator("prompt")
    @classmethod
    def _has_placeholder(cls, prompt: str) -> str:
        if PLACEHOLDER not in prompt:
            raise ValueError(f"the prompt must contain {PLACEHOLDER}, where the caption goes")
        return prompt

    def question(self, caption: str) -> str:
        """Return what is said to the model about `caption`."""
        return self.prompt.replace(PLACEHOLDER, caption)


class PromptRewriter:
    """Rewrites captions. Slow to make (it loads the weights), so get it from `devices.load`."""

    def __init__(self, settings: PromptRewriterSettings) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.settings = settings
        self._device = devices.resolve(settings.device)
        folder = weights.locate(settings.model, settings.revision)
        self._model = load_model(AutoModelForCausalLM, folder, settings.dtype, self._device)
        self._tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        prepare_to_answer(self._model, self._tokenizer, settings)

    def rewrite(self, captions: Sequence[str], seeds: Sequence[int]) -> list[str]:
        """Return the model's whole answer to each caption, drawn by that caption's own seed (0 to 2**64 - 1).

        An answer depends on its caption, its seed and the settings alone, not on its neighbours in the batch.
        """
        return self.ask([self.settings.question(caption) for caption in captions], seeds)

    def ask(
        self, questions: Sequence[str], seeds: Sequence[int] | None = None, schema: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Return the model's whole answer to each question, drawn by its seed, or the likeliest without seeds.

        With a JSON schema, answers keep to it as far as they are not cut off. A model with a tokenizer for which that
        cannot be done answers as it likes.
        """
        import torch

        answers: list[str] = []
        size = self.settings.batch_size
        with torch.inference_mode():
            for start in range(0, len(questions), size):
                inputs = self._inputs(questions[start : start + size])
                prompt_length = inputs["input_ids"].shape[1]
                processors: list[Any] = []
                if schema is not None and self._readable is not None:
                    processors.append(SchemaGuide(self._readable, schema, prompt_length))
                if seeds is not None and self.settings.temperature > 0:
                    processors.append(
                        SeededSampler(self.settings, seeds[start : start + size], prompt_length, self._device)
                    )
                answers += answer(self._model, self._tokenizer, inputs, processors)
        return answers

    def yes(self, questions: Sequence[str]) -> list[float | None]:
        """Return how likely the answer to each question begins with yes rather than no; None where with neither."""
        import torch

        shares: list[float | None] = []
        with torch.inference_mode():
            for start in range(0, len(questions), self.settings.batch_size):
                inputs = self._inputs(questions[start : start + self.settings.batch_size])
                shares += shares_of_yes(self._model, self._tokenizer, inputs)
        return shares

    def _inputs(self, questions: Sequence[str]) -> Any:
        prompts = [self._prompt(question) for question in questions]
        # A chat template has written the special tokens already.
        return self._tokenizer(
            prompts, padding=True, add_special_tokens=not self._tokenizer.chat_template, return_tensors="pt"
        ).to(self._device)

    @cached_property
    def _readable(self) -> Any:
        """The tokenizer as guides read it; None for one that they cannot read."""
        vocabulary = self._model.get_output_embeddings().out_features
        return readable(self._tokenizer, vocabulary, self._model.generation_config.eos_token_id)

    def _prompt(self, question: str) -> str:
        if not self._tokenizer.chat_template:
            return question
        turn = {"role": "user", "content": question}
        prompt: str = self._tokenizer.apply_chat_template([turn], tokenize=False, add_generation_prompt=True)
        return prompt


class SeededSampler:
    """Draws the next token of each row of a batch by the row's own random numbers.

    The row's n-th token takes its seed's n-th uniform number through the inverse of the cumulative distribution, so a
    row draws the same tokens in any batch. Works as a logits processor: the drawn token is left as the only choice.
    """

    def __init__(
        self, settings: PromptRewriterSettings, seeds: Sequence[int], prompt_length: int, device: str
    ) -> None:
        import torch

        self._settings = settings
        self._prompt_length = prompt_length
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        draws = [torch.rand(settings.max_new_tokens, generator=generator) for generator in generators]
        self._draws = torch.stack(draws).double().to(device)

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """Return scores (N, vocabulary) that are zero for the drawn tokens and minus infinity for all others."""
        import torch

        probabilities = (scores.double() / self._settings.temperature).softmax(-1)
        if self._settings.top_p < 1:
            ordered = probabilities.sort(descending=True).values
            outside = ordered.cumsum(-1) - ordered >= self._settings.top_p
            # Compared by value, not by rank: tokens of equal probability stay or go together, in whatever order.
            least = ordered.masked_fill(outside, torch.inf).amin(-1, keepdim=True)
            probabilities = probabilities.masked_fill(probabilities < least, 0)
        cumulative = probabilities.cumsum(-1)
        step = input_ids.shape[1] - self._prompt_length
        targets = self._draws[:, step, None] * cumulative[:, -1:]
        drawn = torch.searchsorted(cumulative, targets, right=True)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0)
