"""Which errors are told in a sentence, and that sentence; any other is a mistake of the program."""

import errno

from resources.errors import ExpectedError

REPORT = (
    "This is a mistake in imgdiff-assets, not in what it was given: please report the command, the lines above, and "
    "what `imgdiff doctor` says."
)
"""What follows a traceback."""


class ImgDiffError(ExpectedError):
    """An expected error of the asset graph and its tools; those of the models stand in `resources`."""


def is_expected(error: BaseException) -> bool:
    """Whether a user can mend it: such an error as says so, or the system's own of a file, a disk or a connection."""
    return isinstance(error, ExpectedError) or (isinstance(error, OSError) and error.strerror is not None)


def sentence(error: BaseException) -> str:
    """What an expected error says to the user."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error) or type(error).__name__
    place = f"{error.filename}: " if error.filename else ""
    advice = "; make room or point IMGDIFF_HOME elsewhere" if error.errno == errno.ENOSPC else ""
    return f"{place}{error.strerror}{advice}."
