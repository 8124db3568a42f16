"""How questions may be worded; a recipe takes the wordings that an installed package offers by their name."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from imgdiff_assets.common.templates import fillable
from resources.installed import Offer, offers

QUESTION_FIELDS = ("subject", "region", "coordinates")
"""What a question may have in braces."""

INSTALLED = "installed:"
"""In a recipe, before the name of wordings that a package offers."""

GROUP = "imgdiff_assets.questions"


@dataclass(frozen=True, slots=True)
class Wordings:
    """Wordings of one task's question: what the entry point of installed questions names."""

    task: str
    wordings: tuple[str, ...]

    def __post_init__(self) -> None:
        check(self.wordings)


def check(wordings: Sequence[str]) -> None:
    """Raises ValueError unless there is a wording, and each can be filled."""
    if not wordings or isinstance(wordings, str):
        raise ValueError("give a list of at least one wording")
    for wording in wordings:
        try:
            fillable(wording, **dict.fromkeys(QUESTION_FIELDS, ""))
        except ValueError as error:
            raise ValueError(f"{wording!r} {error}") from None


def written_out(task: str, wordings: Sequence[str]) -> list[str]:
    """The wordings of a task, those that packages offer in the place of their name. Raises ValueError, BrokenPart."""
    result: list[str] = []
    for wording in wordings:
        result += _installed(task, wording.removeprefix(INSTALLED)) if wording.startswith(INSTALLED) else [wording]
    return result


def wordings_of(offer: Offer) -> Wordings:
    """What is offered. Raises BrokenPart where it is something else."""
    if not isinstance(offer.part, Wordings):
        raise offer.broken("it is no Wordings")
    return offer.part


def _installed(task: str, name: str) -> Sequence[str]:
    offered = {offer.name: wordings_of(offer) for offer in offers(GROUP).values()}
    known = [offer for offer, part in offered.items() if part.task == task]
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"installed for it: {', '.join(known) or 'none'}"
        raise ValueError(f"no installed wordings {name!r} for {task}; {hint}")
    return offered[name].wordings
