"""What Prompt-to-Prompt does to cross-attention: which tokens of a source prompt each token of a target prompt reads.

The edits are those of Hertz et al. 2022 (arXiv 2208.01626): word swap, refinement, and re-weighting. A target's
attention map is made column by column, a column belonging to a token of its prompt:

    target map = source map @ source_map + target map * own_weight.

Words that come or go shift the padding, to which the model pays attention as to words. So the two paddings are read by
position where both are padding, and what one has more of is shared out over what the other has: of what the source
pays to its padding, none is lost and none counted twice. Copied position by position, as by the published mapper of
refinement, a target with more tokens loses the attention of the paddings that it has less of, and one with fewer
tokens counts some twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

END_OF_WORD = "</w>"

EditKind = Literal["replace", "refine"]


@dataclass(frozen=True, slots=True, eq=False)
class PromptEdit:
    """How the cross-attention of a target prompt follows that of its source prompt, over L token positions.

    `kind` is what was done with swapped words: they read the maps of the words they replace, or keep their own.
    """

    kind: EditKind
    source_map: NDArray[np.float32]  # (L, L): how much of source token i's map goes to target token j
    own_weight: NDArray[np.float32]  # (L,): how much of its own map target token j keeps
    changed: NDArray[np.bool_]  # (L,): whether target token j belongs to a word that the source does not have there
    source_changed: NDArray[np.bool_]  # (L,): the same of source token i and the target

    def reweighted(self, factors: ArrayLike) -> "PromptEdit":
        """Return the edit with each target token's attention multiplied by a factor: one factor per position, (L,)."""
        columns = np.asarray(factors, np.float32)
        return replace(self, source_map=self.source_map * columns, own_weight=self.own_weight * columns)


def edit_prompt(
    tokenizers: Sequence[Any], source: str, target: str, kind: EditKind | Literal["auto"] = "auto"
) -> PromptEdit:
    """Compare two prompts as the text encoders read them. `tokenizers` are those of the pipeline, one or two.

    A prompt longer than the encoders' length is cut where the pipeline cuts it: the edit knows what the model sees.

    Raises:
        ValueError: the tokenizers split a prompt differently, so that one map of positions cannot serve both.
    """
    length = tokenizers[0].model_max_length
    return align(_tokens(tokenizers, source, length), _tokens(tokenizers, target, length), length, kind)


def _tokens(tokenizers: Sequence[Any], prompt: str, length: int) -> list[str]:
    ids, *others = (tokenizer(prompt, truncation=True, max_length=length).input_ids for tokenizer in tokenizers)
    if any(other != ids for other in others):
        raise ValueError(f"The two tokenizers of the pipeline split the prompt {prompt!r} differently.")
    tokens: list[str] = tokenizers[0].convert_ids_to_tokens(ids)
    return tokens


def align(
    source: Sequence[str], target: Sequence[str], length: int, kind: EditKind | Literal["auto"] = "auto"
) -> PromptEdit:
    """Compare two token sequences, each with its begin and end mark, that will be padded to `length`.

    Words (tokens up to one that ends in `</w>`) that both have are read one to one. A word or phrase that stands in
    the place of others is *replaced*: if both sides have as many words, word by word, otherwise as a whole, and where
    the tokens do not match in number, each target token reads the sum of the source tokens divided by the number of
    target tokens, so that the attention paid to a phrase stays what it was. Under `refine` such words keep their own
    map, as added words do under either. `auto` replaces if words are only swapped, and refines if any come or go.
    """
    source_words, target_words = _words(source), _words(target)
    changes = SequenceMatcher(
        None,
        [tuple(source[position] for position in word) for word in source_words],
        [tuple(target[position] for position in word) for word in target_words],
        autojunk=False,
    ).get_opcodes()
    if kind == "auto":
        kind = "replace" if all(change[0] in ("equal", "replace") for change in changes) else "refine"

    source_map = np.zeros((length, length), np.float32)
    own_weight = np.zeros(length, np.float32)
    changed, source_changed = np.zeros(length, np.bool_), np.zeros(length, np.bool_)
    for change, source_from, source_to, target_from, target_to in changes:
        replaced, replacing = source_words[source_from:source_to], target_words[target_from:target_to]
        positions = [position for word in replacing for position in word]
        changed[positions] = change != "equal"
        source_changed[[position for word in replaced for position in word]] = change != "equal"
        if change == "insert" or (change == "replace" and kind == "refine"):
            own_weight[positions] = 1
        elif len(replaced) == len(replacing):
            for source_word, target_word in zip(replaced, replacing, strict=True):
                _read(source_map, source_word, target_word)
        elif replacing:
            _read(source_map, range(replaced[0].start, replaced[-1].stop), positions)
    _align_padding(source_map, len(source), len(target), length)
    return PromptEdit(kind, source_map, own_weight, changed, source_changed)


def _words(tokens: Sequence[str]) -> list[range]:
    """Return the positions of each word; the begin mark is a word, the end mark is left to the padding."""
    last = len(tokens) - 1
    ends = [position + 1 for position in range(last) if position == 0 or tokens[position].endswith(END_OF_WORD)]
    if ends[-1] < last:
        ends.append(last)  # a word that was cut at the encoders' length
    return [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _read(source_map: NDArray[np.float32], source: Sequence[int], target: Sequence[int]) -> None:
    if len(source) == len(target):
        source_map[source, target] = 1
    else:
        source_map[np.ix_(source, target)] = 1 / len(target)


def _align_padding(source_map: NDArray[np.float32], source_length: int, target_length: int, length: int) -> None:
    """Let the end mark and the padding read one to one, by position where both are padding, and lose no attention."""
    meeting = max(source_length, target_length)
    if meeting == length:
        _read(source_map, range(source_length - 1, length), range(target_length - 1, length))
        return
    source_map[source_length - 1, target_length - 1] = 1
    _read(source_map, range(source_length, meeting + 1), range(target_length, meeting + 1))
    _read(source_map, range(meeting + 1, length), range(meeting + 1, length))
