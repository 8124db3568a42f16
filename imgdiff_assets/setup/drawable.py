"""Which captions the models of a recipe can draw: those of the miniature know the few words of a drawn world."""

from collections import Counter
from dataclasses import dataclass, field

from imgdiff_assets.common.plain_text import counted, printable, shortened
from imgdiff_assets.method.caption_edit import words
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.editions import shipped_recipes
from imgdiff_assets.recipe.recipe import Recipe
from resources.loading.known_models import words_drawn

SHOWN_WORDS = 4
LONGEST_WORD = 30
MOST_WORDS = 100_000
"""Different words that are counted."""

NO_THINGS = frozenset({
    "and", "are", "for", "from", "has", "her", "his", "into", "its", "near", "next", "onto", "over", "some", "that",
    "their", "there", "this", "two", "under", "while", "with",
})  # fmt: skip
"""Words that are not shown, nor are those of one or two letters: they name nothing."""


@dataclass(slots=True)
class Drawable:
    """How many of some `captions` a recipe can draw, and in how many of the others each word is that it cannot."""

    recipe: Recipe
    captions: int = 0
    drawable: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    _known: frozenset[str] | None = field(init=False)

    def __post_init__(self) -> None:
        self._known = known_words(self.recipe)

    def add(self, caption: str) -> None:
        """Count one more."""
        strange = set() if self._known is None else set(words(caption)) - self._known
        self.captions += 1
        self.drawable += not strange
        full = len(self.unknown) >= MOST_WORDS
        self.unknown.update(word for word in strange if not full or word in self.unknown)

    @property
    def all(self) -> bool:
        return self.drawable == self.captions

    def to_text(self) -> str:
        """One sentence: how many can be drawn, or cannot, of which words, and which recipes can."""
        name = self.recipe.name
        if self.all:
            return f"The {name} recipe can draw {'it' if self.captions == 1 else f'all {self.captions:,}'}."
        left = self.captions - self.drawable
        verb = "names" if left == 1 else "name"
        words_by_use = sorted(self.unknown, key=lambda word: (-self.unknown[word], word))
        things = [word for word in words_by_use if len(word) > 2 and word not in NO_THINGS] or words_by_use
        shown = [shortened(printable(word), LONGEST_WORD) for word in things[:SHOWN_WORDS]]
        more = ", ..." if len(things) > len(shown) else ""
        return (
            f"{left:,} of {counted(self.captions, 'caption')} {verb} things that the {name} recipe cannot draw "
            f"({', '.join(shown)}{more}); {_others()} can."
        )


def known_words(recipe: Recipe) -> frozenset[str] | None:
    """The words that captions may have, by what the image model was trained on and by the recipe's own list.

    None where they may have any.
    """
    listed = {word.lower() for phrase in recipe.section("prompt_pairs").known_words for word in phrase.split()}
    drawn = words_drawn(recipe.models.pair_generator.model)
    if drawn is None:
        return frozenset(listed) or None
    return drawn & listed if listed else drawn


def remark_on_pairs(recipe: Recipe) -> str | None:
    """What is to be known before pairs of images are read by models of the drawn world; None for other models."""
    if words_drawn(recipe.models.captioner.model) is None:
        return None
    return (
        f"The {recipe.name} recipe's models have seen small drawn scenes alone: what they say of photographs is not "
        f"to be used; {_others()} can read them."
    )


def _others() -> str:
    """The shipped recipes that draw any caption, as they are chosen."""
    able = [name for name in shipped_recipes() if known_words(load_recipe(name)) is None]
    return " and ".join(f"`--recipe {name}`" for name in able)
