"""Several questions about the same images in one row: each sees the images and itself alone, where it stands alone.

So no answer can be copied from another's, and the images, which are most of a row, are read once.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.teaches.model import IGNORED, Asked, Encoder, pixels
from resources.miniature.train_captioner import IMAGE


def side_by_side(encoder: Encoder, groups: Sequence[Sequence[Asked]]) -> dict[str, Tensor]:
    """A batch of the questions of each group; the mask, float32 (groups, 1, L, L), is added to attention: 0 where
    a token is seen, else the lowest float."""
    rows = [_row(encoder, asked) for asked in groups]
    longest = max(len(ids) for ids, *_ in rows)
    ids, places = torch.zeros((2, len(rows), longest), dtype=torch.long)
    ids[:] = encoder.tokenizer.pad_token_id
    labels = torch.full_like(ids, IGNORED)
    parts = torch.full_like(ids, -1)
    for number, (tokens, answers, part, place) in enumerate(rows):
        for whole, values in ((ids, tokens), (labels, answers), (parts, part), (places, place)):
            whole[number, : len(values)] = torch.tensor(values)
    seen = (parts[:, :, None] == parts[:, None, :]) | (parts[:, None, :] == 0)
    seen &= torch.ones(longest, longest, dtype=torch.bool).tril()
    mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)
    return {
        "input_ids": ids,
        "attention_mask": mask[:, None],
        "position_ids": places,
        "labels": labels,
        "pixel_values": pixels([image for asked in groups for image in asked[0].images]),
    }


def _row(encoder: Encoder, asked: Sequence[Asked]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Tokens, labels, the part each belongs to (0: what all see), and its place."""
    taught = [encoder.taught(each) for each in asked]
    picture = encoder.tokenizer.convert_tokens_to_ids(IMAGE)
    common = max(number for number, token in enumerate(taught[0][0]) if token == picture) + 1
    ids, labels = taught[0][0][:common], [IGNORED] * common
    parts, places = [0] * common, list(range(common))
    for number, (tokens, answers) in enumerate(taught, 1):
        ids += tokens[common:]
        labels += [IGNORED, *answers[common + 1 :]]
        parts += [number] * (len(tokens) - common)
        places += range(common, len(tokens))
    return ids, labels, parts, places


def by_answer(outputs: object, labels: Tensor, num_items_in_batch: object = None) -> Tensor:
    """The mean over answers of the mean over their tokens of the cross-entropy; labels are a batch's, (N, L).

    So a letter counts as much as a sentence. The signature is the one that `transformers.Trainer` calls.
    """
    logits = outputs.logits[:, :-1].float().transpose(1, 2)  # type: ignore[attr-defined]
    after = labels[:, 1:]
    losses = torch.nn.functional.cross_entropy(logits, after, ignore_index=IGNORED, reduction="none")
    learnt = (after != IGNORED).flatten()
    begins = learnt & ~torch.cat([learnt.new_zeros(1), learnt[:-1]])
    answer = begins.cumsum(0)[learnt] - 1
    lengths = answer.bincount()
    return (losses.flatten()[learnt] / lengths[answer]).sum() / len(lengths)
