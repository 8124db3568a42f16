"""Tokens of chat templates in what models and people write: to a trainer an `<image>` in an answer is a picture."""

import re

_TOKEN = re.compile(
    r"""
      [<＜][|｜] [^<>\s]{1,60} [|｜][>＞]                 # <|im_end|>, <｜end▁of▁sentence｜>
    | [<＜]{1,2} /?(?:[A-Za-z]|0x) [^<>\s]{0,60} [>＞]{1,2}  # <image>, </s>, <start_of_turn>, <<SYS>>, <0x0A>
    | \[ /?g?[A-Z][A-Z_]+ \]                              # [INST], [/INST], [IMG_END], [gMASK]
    """,
    re.VERBOSE,
)
_END_OF_TURN = re.compile(
    r"[<＜][|｜]?(?:/s|im_end|end|eot|eot_id|eos|return|endoftext|end.of.(?:turn|text|sentence))[|｜]?[>＞]",
    re.IGNORECASE,
)
_STEERING = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
"""Signs that only steer a screen, such as those that turn the direction of writing."""
_SPACE_BEFORE = re.compile(r" (?=[.,;:!?](?:\s|$))")
_ECHO = re.compile(r"\[INST\].*?\[/INST\]|<\|im_start\|>\s*(?:user|system)\b.*?<\|im_end\|>", re.DOTALL)
"""The question, repeated before the answer."""
_SPEAKER = re.compile(r"(?:<\|(?:im_start|start_header_id)\|>|<start_of_turn>)\s*(?:assistant|model)\b:?")


def without_tokens(text: str) -> str:
    """The text without special tokens, of whatever template, and without what follows the end of a turn.

    No list of tokens decides: what is written as one goes. A text that has none comes back as it is.
    """
    text = _STEERING.sub("", text)
    if not _TOKEN.search(text):
        return text
    if _TOKEN.sub("", answered := _ECHO.sub(" ", text)).strip():
        text = answered
    parts = _END_OF_TURN.split(_SPEAKER.sub(" ", text))
    # A space stays in their place, or what stood around a token could make another.
    said = (_SPACE_BEFORE.sub("", " ".join(_TOKEN.sub(" ", part).split())) for part in parts)
    return next((part for part in said if part), "")
