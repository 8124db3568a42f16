"""A new home: the recipe that fits what somebody has and what models can run on, and what to do then."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from imgdiff_assets.home import Home
from imgdiff_assets.recipe.chosen_recipe import chosen_recipe
from imgdiff_assets.recipe.recipe_text import named, with_overrides

HAVE = ("captions", "pairs", "photographs")
ON = ("miniature", "card", "server")


@dataclass(frozen=True, slots=True)
class Wish:
    """What there is (`have`, one of HAVE: pairs are of images, or of photographs), and what runs the models (of ON).

    `url` and `model` are those of a server, which then rewrites captions and describes regions; the other roles run
    here.
    """

    have: str
    on: str
    url: str = ""
    model: str = ""

    @property
    def recipe(self) -> str:
        """The shipped recipe that it begins with."""
        return "miniature" if self.on == "miniature" else "modern"


def recipe_text(wish: Wish, home: Home) -> str:
    """The recipe of the new home, commented. Raises RecipeError for a URL that is none."""
    told = []
    if wish.on == "server":
        for role in ("captioner", *(["prompt_rewriter"] if wish.have == "captions" else [])):
            told += [f"{role}.model={wish.model}", f"{role}.base_url={wish.url}", f"{role}.revision=null"]
    text = named(with_overrides(chosen_recipe(wish.recipe).text(), told), home.root.name)
    head = [
        f"# The recipe of {home.root.name}, written by `imgdiff init`:",
        f"# {_about(wish)}.",
        "# Every command goes by it here, unless --recipe or IMGDIFF_RECIPE names another. All keys and values:",
        "# `imgdiff recipe show --all`; what a change would make anew: `imgdiff run --dry-run`.",
        f"# It began as the shipped recipe {wish.recipe}:",
    ]
    return "\n".join([*head, text])


def next_steps(wish: Wish, home: Home, file: str | None) -> Sequence[tuple[str, str]]:
    """What to type next, with what for."""
    root = shlex.quote(str(home.root))
    given = shlex.quote(file or ("captions.txt" if wish.have == "captions" else f"{wish.have}/"))
    steps = [(f"export IMGDIFF_HOME={root}", "every command works in this home then")]
    if wish.on == "server":
        steps.append((f'export IMGDIFF_API_KEYS="{wish.url}=KEY"', "if the server asks for a key"))
    if wish.on != "miniature":
        steps.append(("imgdiff doctor", "whether this machine can run it, and what is missing"))
        needed = "" if wish.have == "captions" else f" --roles {' '.join(_roles_here(wish))}"
        steps.append((f"imgdiff models pull{needed}", "fetches the weights"))
    command = "ingest" if wish.have == "captions" else "ingest-pairs"
    fit = " --fit resize" if wish.have == "photographs" else ""
    steps.append((f"imgdiff {command} {given}{fit} --dry-run", "what would come in; without --dry-run, brings it in"))
    steps.append(("imgdiff run", "all stages; stop it and start it at will"))
    return steps


def warning(wish: Wish) -> str | None:
    """What will disappoint, said before it does."""
    if wish.on != "miniature":
        return None
    if wish.have == "captions":
        return (
            'The miniature draws captions such as "a red ball on the grass" alone, to try things out: of others '
            "nothing comes."
        )
    return (
        "The miniature's models have seen small drawn scenes alone, to try things out: what they say of your "
        f"{wish.have} is not to be used."
    )


def _roles_here(wish: Wish) -> Sequence[str]:
    """The roles that given pairs need on this machine."""
    roles = ("image_text_encoder", "image_text_matcher", "segmenter", "captioner")
    return roles[:-1] if wish.on == "server" else roles


def _about(wish: Wish) -> str:
    what = {"captions": "captions", "pairs": "pairs of images", "photographs": "pairs of photographs"}[wish.have]
    where = {
        "miniature": "the miniature's models on a CPU",
        "card": "models on this machine's card",
        "server": f"{wish.model} behind {wish.url}, the other models on this machine",
    }[wish.on]
    return f"{what}, by {where}"
