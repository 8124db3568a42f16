"""The one vocabulary of all miniature models: a small CLIP-style byte-pair encoding, written out rather than learned.

Every word below is one token; any other lower-case text is spelled letter by letter. Nothing is fitted, so token ids
are the same in every process and every model agrees on them.
"""

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from resources.miniature.contents import ACTIONS, NUMBERS, PLURALS, RELATIONS, SIZES
from resources.miniature.scenes import BACKGROUNDS, COLOURS, OBJECTS

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

BEGIN_OF_TEXT = "<|startoftext|>"
END_OF_TEXT = "<|endoftext|>"
END_OF_WORD = "</w>"
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'\"()-"
QUESTION_WORDS = (
    "a an and answer are at bottom box both by can caption change describe difference different does each "
    "everything has image images in instead is it keep left more new no nothing now object of on one only "
    "other picture replace replaced rewrite right same see show shows so that the there this to top two what "
    "which with word write yes you"
)
REQUEST_WORDS = (
    "action add all attribute background behind color colour count counted doing each every how kinds list make many "
    "move nothing of pose position relation remove several size state swap take things thing where whole"
)
SCENE_WORDS = frozenset(word for phrase in (*OBJECTS, *COLOURS, *BACKGROUNDS) for word in phrase.split())
CAPTION_WORDS = SCENE_WORDS | {"a", "an", "and", "on", "the"}
"""The words of all captions that the miniature's images were drawn for."""

WORDS: tuple[str, ...] = tuple(sorted(SCENE_WORDS | set(QUESTION_WORDS.split())))
KIND_WORDS = frozenset(
    word for phrase in (*PLURALS, *NUMBERS, *SIZES, *RELATIONS, *ACTIONS) for word in phrase.split()
)
MORE_WORDS: tuple[str, ...] = (*WORDS, *sorted((KIND_WORDS | set(REQUEST_WORDS.split())) - set(WORDS)))
"""Those of models that know every kind of difference: the others, with the ids that they have, and more behind."""


def _split(word: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """The pieces of a word after all merges known so far, lowest rank first, as byte-pair encoding applies them."""
    pieces = [*word[:-1], word[-1] + END_OF_WORD]
    while True:
        candidates = [(ranks[pair], at) for at, pair in enumerate(itertools.pairwise(pieces)) if pair in ranks]
        if not candidates:
            return pieces
        _, at = min(candidates)
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]


def build_vocabulary(words: Sequence[str] = WORDS) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Token ids, and the merges in order of priority.

    Each word in turn gets new merges, of lower priority than all before, that join what it still falls into. The end
    of text has the highest id, which is where CLIP text encoders pool.
    """
    tokens = [*CHARACTERS, *(character + END_OF_WORD for character in CHARACTERS)]
    ranks: dict[tuple[str, str], int] = {}
    for word in words:
        while len(pieces := _split(word, ranks)) > 1:
            ranks[pieces[0], pieces[1]] = len(ranks)
            tokens.append(pieces[0] + pieces[1])
    ordered = [*dict.fromkeys(tokens), BEGIN_OF_TEXT, END_OF_TEXT]
    return {token: identifier for identifier, token in enumerate(ordered)}, list(ranks)


def build_tokenizer(model_max_length: int, words: Sequence[str] = WORDS) -> "CLIPTokenizer":
    """A CLIP tokenizer of this vocabulary. Texts get begin and end marks; padding is the end of text, as in SDXL."""
    from transformers import CLIPTokenizer

    vocabulary, merges = build_vocabulary(words)
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=model_max_length)


def unknown_words(text: str) -> list[str]:
    """The words of a text that no miniature model has ever seen, in order, each once."""
    return list(dict.fromkeys(word for word in re.findall(r"[^\W\d_]+", text.lower()) if word not in WORDS))
