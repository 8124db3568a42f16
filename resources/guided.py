"""Answers that keep to a JSON schema: of a local model's next tokens only those are left that the schema allows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from llguidance import LLTokenizer

SIGNS = '{"replaced": "wine glass"}'
"""A vocabulary of a few words may have no tokens for such."""


def readable(tokenizer: Any, vocabulary: int, ends: int | list[int]) -> "LLTokenizer | None":
    """Return a transformers tokenizer as guides read it, or None for one that they cannot read.

    `vocabulary` is how many tokens the model scores, `ends` are those that end its answers. Takes a second.
    """
    from llguidance.hf import from_tokenizer

    said = tokenizer.decode(tokenizer.encode(SIGNS, add_special_tokens=False))
    if said.replace(" ", "") != SIGNS.replace(" ", ""):
        return None
    try:
        return from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=ends)
    except ValueError:
        return None


class SchemaGuide:
    """Leaves each row of a batch the tokens with which its answer may go on; once it is whole, only its end.

    A row's choice depends on its own tokens alone. Works as a logits processor, before what draws the next token.
    """

    def __init__(self, tokenizer: "LLTokenizer", schema: Mapping[str, Any], prompt_length: int) -> None:
        from llguidance import LLMatcher

        # Compact, or a model may write spaces between two keys until its tokens are used up.
        self._grammar = LLMatcher.grammar_from_json_schema(dict(schema), {"whitespace_flexible": False})
        if wrong := LLMatcher.validate_grammar(self._grammar, tokenizer):
            raise ValueError(f"The schema cannot be kept to: {wrong}")
        self._tokenizer = tokenizer
        self._prompt_length = prompt_length
        self._matchers: list[Any] = []

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """Return scores (N, vocabulary) that are minus infinity for all tokens that the schema does not allow."""
        import numpy as np
        import torch
        from llguidance import LLMatcher

        if not self._matchers:
            self._matchers = [LLMatcher(self._tokenizer, self._grammar) for _ in range(len(input_ids))]
        elif input_ids.shape[1] > self._prompt_length:
            for matcher, token in zip(self._matchers, input_ids[:, -1].tolist(), strict=True):
                if not matcher.is_stopped():
                    matcher.consume_token(token)
        # A matcher that has stopped allows the end and nothing else.
        bits = np.stack([np.frombuffer(matcher.compute_bitmask(), np.uint8) for matcher in self._matchers])
        allowed = np.unpackbits(bits, axis=1, bitorder="little")[:, : scores.shape[1]].astype(bool)
        return scores.masked_fill(~torch.from_numpy(allowed).to(scores.device), -torch.inf)
