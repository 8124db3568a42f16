"""Text that a terminal or a picture only shows, whatever a caption file or a model put into it."""


def printable(text: str) -> str:
    """One line: white space joined, control and direction characters made visible."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(text.split())
    )
