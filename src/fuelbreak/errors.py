"""The one exception that is meant for a person.

Its own file because every room raises it and it must lie below all of them.
"""


class InputError(ValueError):
    """What a user gave cannot be used; the message is one line: what, where, why and what to do.

    The command line prints the message alone and exits with code 2.
    """
