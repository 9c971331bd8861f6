"""Rule conditions written as expressions: a small, exact evaluator.

The expression's operators are those of Python once `#` (the element at hand) has a name, so
Python's own parser reads it; every node is then checked against the few that are known here.
Numbers are integers or fractions, never floats. Whatever is not known is refused when the program
is read, not when a purchase comes.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_FIELDS = {
    "purchase": {"amount", "lines", "store_id", "channel", "region", "payment_type"},
    "account": {"tier"},
    "_item": {"sku", "category", "brand", "quantity", "amount"},
}
_PER_ELEMENT = {"map", "filter", "some", "all"}

Names = Mapping[str, Any]


def compiled(text: str) -> Callable[[Names], bool]:
    """The condition as a function of `purchase` and `account`; raises ValueError for what is
    unknown here.
    """
    source = text.replace("#.", "_item.").strip()
    if "#" in source:  # Python would read the rest as a comment
        raise ValueError(f"unknown in an expression: {text}")
    try:
        tree = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"not an expression: {text}") from error
    _check(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and not isinstance(node.value, str):
            # The written digits, not the float that Python's parser made of them.
            exact: Any = Fraction(ast.get_source_segment(source, node) or "")
            node.value = exact
    return lambda names: bool(_value(tree, names))


def _check(node: ast.AST) -> None:
    match node:
        case (
            ast.BoolOp(values=children)
            | ast.Call(
                func=ast.Name(id="map" | "filter" | "some" | "all"),
                args=[_, _] as children,
                keywords=[],
            )
        ):
            pass
        case ast.Call(func=ast.Name(id="sum" | "len"), args=[_] as children, keywords=[]):
            pass
        case ast.UnaryOp(op=ast.Not(), operand=child):
            children = [child]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            children = [left, right]
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            children = [left, right]
        case ast.Attribute(value=ast.Name(id=owner), attr=field) if field in _FIELDS.get(owner, ()):
            children = []
        case ast.Constant(value=value) if type(value) in (str, int, float):
            children = []
        case _:
            raise ValueError(f"unknown in an expression: {ast.unparse(node)}")
    for each in children:
        _check(each)


def _value(node: ast.AST, names: Names) -> Any:
    match node:
        case ast.Attribute(value=ast.Name(id=owner), attr=field):
            return getattr(names[owner], field)
        case ast.Constant(value=value):
            return value
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_value(part, names) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_value(part, names) for part in parts)
        case ast.UnaryOp(operand=part):
            return not _value(part, names)
        case ast.BinOp(left=left, op=op, right=right):
            return _ARITHMETIC[type(op)](_value(left, names), _value(right, names))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _COMPARE[type(op)](_value(left, names), _value(right, names))
        case ast.Call(func=ast.Name(id=function), args=[items, *body]):
            elements = _value(items, names)
            if function in _PER_ELEMENT:
                results = [_value(body[0], {**names, "_item": e}) for e in elements]
                if function == "map":
                    return results
                if function == "filter":
                    return [e for e, kept in zip(elements, results, strict=True) if kept]
                return any(results) if function == "some" else all(results)
            return sum(elements) if function == "sum" else len(elements)
    raise AssertionError(ast.dump(node))
