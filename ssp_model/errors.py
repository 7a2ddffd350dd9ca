"""The exception for problems that the user can correct."""


class InputError(Exception):
    """A problem with a file, a value or the machine that the user can correct.

    Its text is a whole sentence: which file or key, what was found, what was wanted, what to do.
    The command line and the workflow's scripts show this text without a traceback.
    """
