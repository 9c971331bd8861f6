"""The small mistakes: mutmut's operators, and three that it lacks.

Left out on purpose: sentences for people (a test must not pin a wording), the second and third
spelling of one string, what is written to the log, and hints for the type checker.
"""

from collections.abc import Iterator

import libcst as cst
from mutmut.mutation.mutators import mutation_operators

SKIPPED_CALLS = frozenset({"assert_never", "cast", "crash_point", "TypeVar"})
"""Calls that do nothing when the program runs and no crash is ordered."""

LOGGERS = frozenset({"log", "logger", "_log"})


Mutation = tuple[str, cst.CSTNode, cst.CSTNode]
"""The operator's name, a node, and what to put in its place."""


def mutations(node: cst.CSTNode) -> Iterator[Mutation]:
    """The mistakes to make at `node`."""
    yield from _ours(node)
    if _is_text(node):
        return
    for kind, operator in mutation_operators:
        if not isinstance(node, kind):
            continue
        for place, mutated in enumerate(operator(node)):
            if isinstance(node, cst.BaseString) and place:
                break
            if isinstance(node, cst.Call) and _changes_a_text(node, mutated):
                continue
            yield operator.__name__.removeprefix("operator_"), node, mutated


def skipped(node: cst.CSTNode) -> bool:
    """Whether nothing in `node` is to be mutated."""
    if isinstance(node, (cst.Annotation, cst.Decorator, cst.Parameters, cst.Raise)):
        return not isinstance(node, cst.Raise) or node.exc is None
    if not isinstance(node, cst.Call):
        return False
    called = node.func
    if isinstance(called, cst.Name):
        return called.value in SKIPPED_CALLS
    return (
        isinstance(called, cst.Attribute)
        and isinstance(called.value, cst.Name)
        and called.value.value in LOGGERS
    )


def _ours(node: cst.CSTNode) -> Iterator[Mutation]:
    if isinstance(node, (cst.If, cst.While, cst.IfExp, cst.CompIf, cst.Assert)):
        test = node.test
        bare = test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield (
            "condition",
            test,
            cst.UnaryOperation(cst.Not(), bare, [cst.LeftParen()], [cst.RightParen()]),
        )
    elif isinstance(node, cst.For) and node.asynchronous is None:
        yield "loop", node.iter, cst.Tuple([])
    elif isinstance(node, cst.Expr):
        value = node.value.expression if isinstance(node.value, cst.Await) else node.value
        if isinstance(value, cst.Call) and not skipped(value):
            yield "statement", node, cst.Pass()


def _is_text(node: cst.CSTNode) -> bool:
    """A sentence for people: a string with a space in it."""
    if isinstance(node, cst.SimpleString):
        return " " in node.value
    if isinstance(node, cst.ConcatenatedString):
        return True
    if isinstance(node, cst.FormattedString):
        return any(" " in part.value for part in node.parts if hasattr(part, "value"))
    return False


def _changes_a_text(call: cst.Call, mutated: cst.Call) -> bool:
    kept = {id(argument) for argument in mutated.args}
    return any(_is_text(a.value) for a in call.args if id(a) not in kept)
