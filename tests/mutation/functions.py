"""Putting a mutant into the running process: the function keeps its identity and gets other code.

So tables of handlers, decorators and modules that imported the function by name all see it.
"""

import gc
from types import CodeType, FunctionType

from tests.mutation.targets import ROOT

Key = tuple[str, str]
"""A file as a path from the root, and a function's qualified name."""


class NotLoaded(Exception):
    """The function is in no module that the tests import, or was made anew since."""


def loaded(files: list[str]) -> dict[Key, list[FunctionType]]:
    """The functions of `files` in this process. To be called before gc.freeze, which hides them."""
    wanted = {str(ROOT / file): file for file in files}
    found: dict[Key, list[FunctionType]] = {}
    for thing in gc.get_objects():
        if type(thing) is FunctionType:
            file = wanted.get(thing.__code__.co_filename)
            if file is not None:
                found.setdefault((file, thing.__code__.co_qualname), []).append(thing)
    return found


def put(functions: dict[Key, list[FunctionType]], file: str, name: str, code: CodeType) -> None:
    """Give the function other code. Raises NotLoaded."""
    fitting = [
        function
        for function in functions.get((file, name), ())
        if function.__code__.co_firstlineno == code.co_firstlineno
    ]
    if not fitting:
        raise NotLoaded(f"{file}: {name}")
    for function in fitting:
        function.__code__ = code
