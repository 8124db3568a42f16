"""What tells errors that a user can mend from mistakes of the program."""


class ExpectedError(Exception):
    """Something that a user can mend: its text is a sentence that says what is wrong and what to do.

    Every exception class here derives from it, most from one of Python's own as well; those above the models derive
    from `imgdiff_assets.common.errors.ImgDiffError` in the same way.
    """
