"""The one exception for what a user can mend."""


class InputError(Exception):
    """A problem with a file, a value or a machine that the user can mend.

    Its text is one plain sentence: which file or key, what was found, what was wanted, what to do.
    The command line and the workflow's scripts show the text alone, without a traceback.
    """
