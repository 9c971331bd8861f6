"""A program file read as a tree of nodes that know their path and line.

YAML with the plain values of YAML 1.2's core schema: only `true` and `false` are booleans, so that
`on:` and `no` are texts, and a date is a text too. What could hide or multiply content is refused:
anchors and aliases, tags, several documents, a key given twice, an empty value. No floats at all.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, ScalarNode, SequenceNode
from yaml.nodes import Node as YamlNode
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from ledger.core.program.problems import Problem

FILE_SIZE_MAX = 262_144
"""Largest program, in bytes: a thousand rules fit, and reading stays a matter of seconds."""

DEPTH_MAX = 30
"""Deepest nesting: the form of a program needs less than ten, and reading descends by recursion."""

INTEGER_DIGITS_MAX = 18
"""Longest integer: what 64 bits hold for sure."""

_TAG = "tag:yaml.org,2002:"
_ALIAS = _TAG + "alias"
_NO_ALIASES = "anchors (&) and aliases (*) cannot be used here; write the value out"
_UNPRINTABLE = re.compile("[\0\ud800-\udfff]")


class Node:
    """A value and where it stands. `value`: a dict of nodes, a list of nodes, or a plain value."""

    __slots__ = ("line", "parent", "path", "value")

    def __init__(self, path: str, line: int, parent: "Node | None") -> None:
        self.path = path
        self.line = line
        self.parent = parent
        self.value: dict[str, Node] | list[Node] | Any = None

    def plain(self) -> Any:
        """The tree as plain dicts and lists."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def child(self, key: str | int) -> "Node | None":
        """The value of that key, or the element of that number; None when there is none."""
        if isinstance(self.value, dict):
            return self.value.get(str(key))
        if isinstance(self.value, list) and isinstance(key, int) and key < len(self.value):
            found: Node = self.value[key]
            return found
        return None

    def near(self, *path: str | int) -> "Node":
        """The node at `path` below this one, or the nearest above it that is there."""
        here = self
        for key in path:
            found = here.child(key)
            if found is None:
                break
            here = found
        return here

    def remove(self) -> None:
        """Take the node out of its parent (the root cannot be taken out)."""
        if self.parent is None:
            return
        siblings = self.parent.value
        if isinstance(siblings, dict):
            self.parent.value = {k: n for k, n in siblings.items() if n is not self}
        else:
            self.parent.value = [n for n in siblings if n is not self]

    def ancestors(self) -> Iterator["Node"]:
        """The nodes above this one, nearest first."""
        above = self.parent
        while above is not None:
            yield above
            above = above.parent


class Unreadable(Exception):
    """The text is no such document; nothing of it can be judged."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def read_document(text: str) -> tuple[Node, list[Problem], list[Node]]:
    """The tree, the problems found in reading it, and the nodes that these make unusable.

    Raises Unreadable for what is no YAML document of bounded size and depth.
    """
    if len(text.encode("utf-8", "surrogatepass")) > FILE_SIZE_MAX:
        message = f"the file is larger than {FILE_SIZE_MAX // 1024} KiB; split or shorten it"
        raise Unreadable(Problem(1, "", "file_too_large", message))
    try:
        loader = _Loader(text)
        composed = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        what = f"this is not valid YAML: {error.problem or error.context}"
        if "'\\t'" in what:
            what = "a tab cannot indent YAML; use spaces"
        raise Unreadable(Problem(line, "", "yaml_syntax", what)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"the character U+{int(error.character):04X} is not allowed in YAML"
        raise Unreadable(Problem(line, "", "yaml_syntax", what)) from None
    if composed is None:
        raise Unreadable(Problem(1, "", "yaml_syntax", "the file is empty; write a program"))
    if not isinstance(composed, MappingNode):
        line = composed.start_mark.line + 1
        raise Unreadable(Problem(line, "", "bad_value", "a program is a block of `key: value`"))
    builder = _Builder(loader.problems)
    root = builder.build(composed, Node("", 1, None))
    return root, builder.problems, builder.unusable


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """YAML text to YAML nodes, without aliases, deep nesting or any construction of objects."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self.problems: list[Problem] = []
        self._depth = 0

    def compose_node(self, parent: YamlNode | None, index: Any) -> YamlNode | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if self.check_event(AliasEvent):
            self.get_event()  # type: ignore[no-untyped-call]
            return ScalarNode(_ALIAS, "", event.start_mark, event.end_mark)
        if event.anchor is not None:
            self.problems.append(Problem(line, "", "alias_refused", _NO_ALIASES))
            event.anchor = None
        if self._depth >= DEPTH_MAX:
            message = f"this is nested more than {DEPTH_MAX} deep"
            raise Unreadable(Problem(line, "", "too_deep", message))
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def _resolve(kind: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(_TAG + kind, re.compile(pattern), list(first))


_resolve("null", r"^(?:~|null|Null|NULL|)$", "~nN")
_Loader.add_implicit_resolver(_TAG + "null", re.compile(r"^$"), [""])
_resolve("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_resolve("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789")
_resolve(
    "float",
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
    "-+0123456789.",
)


class _Dumper(yaml.SafeDumper):
    """Writes YAML that `read_document` reads back: quotes where these values need them."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def write_document(plain: Any) -> str:
    """Plain dicts, lists, texts and integers as YAML text."""
    return yaml.dump(
        plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=FILE_SIZE_MAX
    )


class _Builder:
    """Turns YAML nodes into ours and collects problems."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        self.unusable: list[Node] = []

    def build(self, source: YamlNode, into: Node) -> Node:
        if isinstance(source, MappingNode) and source.tag == _TAG + "map":
            self._mapping(source, into)
        elif isinstance(source, SequenceNode) and source.tag == _TAG + "seq":
            into.value = [
                self.build(each, Node(f"{into.path}[{i}]", each.start_mark.line + 1, into))
                for i, each in enumerate(source.value)
            ]
        elif isinstance(source, ScalarNode) and source.tag.startswith(_TAG):
            self._scalar(source, into)
        else:
            self._refuse(into, "tag_refused", f"the tag {source.tag} cannot be used here")
        return into

    def _mapping(self, source: MappingNode, into: Node) -> None:
        children: dict[str, Node] = {}
        into.value = children
        for key_node, value_node in source.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode) or key_node.tag != _TAG + "str":
                message = "a key is a plain text; put it in quotes if it is meant"
                self.problems.append(Problem(line, into.path, "bad_key", message))
                continue
            key = key_node.value
            child = Node(f"{into.path}.{key}" if into.path else key, line, into)
            self.build(value_node, child)
            if key in children:
                first = children[key].line
                message = f"the key is given twice; the first is in line {first}"
                self.problems.append(Problem(line, child.path, "duplicate_key", message))
            else:
                children[key] = child

    def _scalar(self, source: ScalarNode, into: Node) -> None:
        kind, text = source.tag.removeprefix(_TAG), source.value
        if kind == "str":
            into.value = text
            if _UNPRINTABLE.search(text):
                self._refuse(into, "bad_value", "the text holds a character that cannot be stored")
        elif kind == "null":
            message = "the key has no value; give it one or take the key out"
            self._refuse(into, "empty_value", message)
        elif kind == "bool":
            into.value = text.lower() == "true"
        elif kind == "int":
            self._integer(text, into)
        elif kind == "float":
            message = (
                f"{text} is a floating-point number, which is never exact: write a whole number "
                f'of minor units or points or, where a ratio is meant, "{text}" in quotes'
            )
            self._refuse(into, "float_refused", message)
        elif source.tag == _ALIAS:
            self._refuse(into, "alias_refused", _NO_ALIASES)
        else:
            self._refuse(into, "tag_refused", f"the tag {source.tag} cannot be used here")

    def _integer(self, text: str, into: Node) -> None:
        try:
            if len(text) > INTEGER_DIGITS_MAX + 1:
                raise OverflowError
            into.value = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        except OverflowError:
            self._refuse(into, "bad_value", f"the number has more than {INTEGER_DIGITS_MAX} digits")
        except ValueError:  # !!int on something else
            self._refuse(into, "bad_value", f"{text!r} is not a whole number")

    def _refuse(self, node: Node, code: str, message: str) -> None:
        self.problems.append(Problem(node.line, node.path, code, message))
        self.unusable.append(node)
