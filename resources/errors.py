"""What tells errors that a user can mend from mistakes of the program."""


class ExpectedError(Exception):
    """Something that a user can mend: its text is a sentence that says what is wrong and what to do.

    Every exception class of this project derives from it, most from one of Python's own as well. So who shows errors
    shows the text of these alone, and of any other the traceback: it is a mistake of the program.
    """
