"""How sure a model is of a yes: from the probabilities of the first token of its answer, which nobody draws."""

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

YES, NO = "yes", "no"


def share_of_yes(chances: Iterable[tuple[str, float]]) -> float | None:
    """Return P(yes) among yes and no, of first tokens with their probabilities; None where neither is among them.

    However they are written, with a space before or a capital letter.
    """
    said = {YES: 0.0, NO: 0.0}
    for token, chance in chances:
        word = token.strip(" \u2581\u0120\n").lower()
        if word in said:
            said[word] += chance
    return said[YES] / sum(said.values()) if any(said.values()) else None


def yes_tokens(tokenizer: Any) -> dict[int, str]:
    """Return the tokens of a transformers tokenizer that are yes or no, with what they say."""
    spellings = [space + word for word in (YES, NO, "Yes", "No", "YES", "NO") for space in ("", " ")]
    firsts = (tokenizer.encode(spelling, add_special_tokens=False)[:1] for spelling in spellings)
    said = {token: tokenizer.decode([token]) for first in firsts for token in first}
    return {token: text for token, text in said.items() if text.strip().lower() in (YES, NO)}


def shares_of_yes(model: Any, tokenizer: Any, inputs: Mapping[str, Any]) -> list[float | None]:
    """Return P(yes), as `share_of_yes`, of the first token after each prompt of a left-padded batch."""
    said = yes_tokens(tokenizer)
    chances = first_token_chances(model, tokenizer, inputs)[:, list(said)]
    return [share_of_yes(zip(said.values(), row, strict=True)) for row in chances.tolist()]


def first_token_chances(model: Any, tokenizer: Any, inputs: Mapping[str, Any]) -> "torch.Tensor":
    """Return the probabilities (N, vocabulary) of the first token after each prompt of a left-padded batch."""
    settings = copy.deepcopy(model.generation_config)
    settings.update(max_new_tokens=1, return_dict_in_generate=True, output_logits=True)
    made = model.generate(**inputs, generation_config=settings, tokenizer=tokenizer)
    first: torch.Tensor = made.logits[0]
    return first.double().softmax(-1)


def share_told(likeliest: Sequence[Mapping[str, Any]]) -> float | None:
    """Return P(yes) of what a server tells of the likeliest first tokens (`token`, `logprob`)."""
    return share_of_yes((str(told["token"]), math.exp(float(told["logprob"]))) for told in likeliest)
