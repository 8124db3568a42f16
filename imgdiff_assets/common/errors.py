"""Which errors are told in a sentence, and that sentence; any other is a mistake of the program."""

import errno

REPORT = (
    "This is a mistake in imgdiff-assets, not in what it was given: please report the command, the lines above, and "
    "what `imgdiff doctor` says."
)
"""What follows a traceback."""


class ImgDiffError(Exception):
    """Something that a user can mend: its text is a sentence that says what is wrong and what to do.

    Every exception class of this package derives from it, most from one of Python's own as well; those of the models
    derive from `resources.errors.ExpectedError`. So who shows errors shows the text of these alone, and of any other
    the traceback.
    """


def is_expected(error: BaseException) -> bool:
    """Whether a user can mend it: such an error as says so, or the system's own of a file, a disk or a connection."""
    if isinstance(error, ImgDiffError) or (isinstance(error, OSError) and error.strerror is not None):
        return True
    # Here, for one of the expected errors is that another package `resources` hides ours.
    from resources.errors import ExpectedError

    return isinstance(error, ExpectedError)


def sentence(error: BaseException) -> str:
    """What an expected error says to the user."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error) or type(error).__name__
    place = f"{error.filename}: " if error.filename else ""
    advice = "; make room or point IMGDIFF_HOME elsewhere" if error.errno == errno.ENOSPC else ""
    return f"{place}{error.strerror}{advice}."
