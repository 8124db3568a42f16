"""A trained model with more words: what it knows stays, and the new words begin as the mean of the known ones."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def load_grown(
    model: nn.Module, weights: Mapping[str, Tensor], old: Mapping[str, int], new: Mapping[str, int]
) -> None:
    """Load `weights` of the vocabulary `old` (ids by token) into a model that was built for the vocabulary `new`.

    Of a matrix with a row for each token, rows go with their tokens. Raises ValueError where a token is lost.
    """
    if lost := set(old) - set(new):
        raise ValueError(f"the larger vocabulary lacks {sorted(lost)[:5]}")
    state = model.state_dict()
    rows = torch.tensor(list(old.values())), torch.tensor([new[token] for token in old])
    for name, weight in weights.items():
        if name not in state or state[name].shape == weight.shape:
            state[name] = weight.float() if weight.is_floating_point() else weight
        else:
            grown = weight.float().mean(0, keepdim=True).repeat(len(new), 1)
            grown[rows[1]] = weight.float()[rows[0]]
            state[name] = grown
    model.load_state_dict(state)
