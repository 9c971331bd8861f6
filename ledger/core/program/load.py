"""From the text of a program file to a program that is certain to be usable, or all its problems.

Reading the file is the caller's: nothing here does input or output.
"""

from ledger.core.program import form
from ledger.core.program.check import check
from ledger.core.program.document import Unreadable, read_document
from ledger.core.program.judge import Judge, Names
from ledger.core.program.problems import Problem, ProgramErrors
from ledger.core.program.shape import fit

__all__ = ["Problem", "ProgramErrors", "load_program"]


def load_program(text: str, name: str) -> form.Program:
    """The program in `text`. `name` is what errors call the file.

    Raises ProgramErrors with every problem found, sorted by line.
    """
    try:
        root, problems, unusable = read_document(text)
    except Unreadable as error:
        raise ProgramErrors(name, [error.problem]) from None
    names = Names(root)
    program, misfits, damaged = fit(root, unusable)
    problems += misfits
    if program is not None:
        judge = Judge(root, names, damaged)
        check(program, judge)
        problems += judge.problems
    if problems or program is None:
        raise ProgramErrors(name, problems)
    return program
