"""What a question is about that is in no table: what looks like a pair, and what is in a part of the map."""

from dataclasses import replace

from imgdiff_assets.browser.alike import Alike, look_alike
from imgdiff_assets.browser.plane import NoPlane, read_plane
from imgdiff_assets.browser.question import BadQuestion, Question
from imgdiff_assets.browser.site import Site
from imgdiff_assets.common.hashing import content_id


def prepared(site: Site, question: Question) -> tuple[Question, Alike | None]:
    """The question, now that the index has what it needs; and what looks like the pair that it is about.

    Raises BadQuestion.
    """
    if question.area:
        numbers = [int(text) for text in question.area.split(",")]
        try:
            inside = read_plane(site.home).inside(list(zip(numbers[0::2], numbers[1::2], strict=True)))
        except NoPlane as error:
            raise BadQuestion(str(error)) from None
        site.index.keep_alike(content_id("area", question.area), inside)
    if not question.like:
        return question, None
    alike = look_alike(site.index, question.like)
    return replace(question, like=alike.pair_id), alike
