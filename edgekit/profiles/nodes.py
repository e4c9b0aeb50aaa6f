"""A YAML file as nodes that know their file and line.

Only what a profile or a recipe needs: one document of maps, lists and scalars. Anchors, aliases, tags and merge keys are
refused (`extends` serves instead), so no small file can unfold into a large one. Scalars stay text; what they
mean is decided by the schema, so `no` can be a name and `0-3` is never arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml
from msgspec import Struct

from edgekit.cache import is_special
from edgekit.errors import Finding

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml: the same events, slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 12
MAX_NODES: Final = 20_000


class Scalar(Struct, frozen=True):
    text: str
    plain: bool
    file: str
    line: int


class ListNode(Struct, frozen=True):
    items: list[Node]
    file: str
    line: int


class MapNode(Struct, frozen=True):
    items: dict[str, tuple[Scalar, Node]]
    """Key text to (key, value), in the file's order."""
    file: str
    line: int


Node = Scalar | ListNode | MapNode


class _Refused(Exception):
    """Stops the reading; what is wrong is in the reader's findings."""


class _Reader:
    def __init__(self, file: str, until: frozenset[str] | None, what: str) -> None:
        self.file = file
        self.until = until
        self.what = what
        self.instead = "; use extends" if what == "profile" else ""
        self.findings: list[Finding] = []
        self.nodes = 0

    def refuse(self, line: int, message: str, path: str = "") -> _Refused:
        self.add(line, message, path)
        return _Refused()

    def add(self, line: int, message: str, path: str = "") -> None:
        self.findings.append(Finding(self.file, line, path, message))

    def document(self, events: Iterator[yaml.Event]) -> Node | None:
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise self.refuse(
                        _line(event), f"a {self.what} is one YAML document; '---' begins a second one"
                    )
                root = self.node(next(events), events, "", 1)
                if self.enough(root):
                    break
        return root

    def enough(self, root: Node) -> bool:
        return self.until is not None and isinstance(root, MapNode) and self.until <= root.items.keys()

    def node(self, event: yaml.Event, events: Iterator[yaml.Event], path: str, depth: int) -> Node:
        line = _line(event)
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise self.refuse(line, f"nested deeper than {MAX_DEPTH} levels", path)
        if self.nodes > MAX_NODES:
            raise self.refuse(line, f"more than {MAX_NODES} values", path)
        self.refuse_features(event, line, path)
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(event.value, bool(event.implicit[0]), self.file, line)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(events, path, depth, line)
        return self.mapping(events, path, depth, line)

    def refuse_features(self, event: yaml.Event, line: int, path: str) -> None:
        if isinstance(event, yaml.AliasEvent):
            raise self.refuse(line, f"aliases (*name) are not for {self.what}s{self.instead}", path)
        if anchor := getattr(event, "anchor", None):
            self.add(line, f"anchors (&{anchor}) are not for {self.what}s{self.instead}", path)
        if tag := getattr(event, "tag", None):
            self.add(line, f"tags ({tag}) are not for {self.what}s", path)

    def sequence(self, events: Iterator[yaml.Event], path: str, depth: int, line: int) -> ListNode:
        items: list[Node] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self.node(event, events, f"{path}[{len(items)}]", depth + 1))
        return ListNode(items, self.file, line)

    def mapping(self, events: Iterator[yaml.Event], path: str, depth: int, line: int) -> MapNode:
        items: dict[str, tuple[Scalar, Node]] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self.node(event, events, path, depth + 1)
            if not isinstance(key, Scalar):
                raise self.refuse(key.line, "a key must be a word", path)
            here = f"{path}.{key.text}" if path else key.text
            value = self.node(next(events), events, here, depth + 1)
            if key.text == "<<":
                self.add(key.line, f"merge keys (<<) are not for {self.what}s{self.instead}", path)
            elif key.text in items:
                first = items[key.text][0].line
                self.add(key.line, f"'{key.text}' is here twice (first on line {first})", here)
            else:
                items[key.text] = (key, value)
            if depth == 1 and self.until is not None and self.until <= items.keys():
                break
        return MapNode(items, self.file, line)


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return 1 if mark is None else mark.line + 1


def read_nodes(
    path: Path, until: frozenset[str] | None = None, *, what: str = "profile"
) -> tuple[MapNode | None, list[Finding]]:
    """Read one file. None for the map where nothing could be made of it; findings may come with a map too.

    `until`: stop as soon as these keys were read, whatever comes after them. `what`: a word for messages; "recipe" for
    the other kind of file that is read so.
    """
    file = str(path)
    text, findings = _read_text(path, what)
    if text is None:
        return None, findings
    reader = _Reader(file, until, what)
    root: Node | None = None
    try:
        root = reader.document(yaml.parse(text, Loader=_Loader))
    except _Refused:
        return None, reader.findings
    except yaml.YAMLError as error:
        # what was noticed before may follow from the broken syntax; the syntax comes first
        return None, _syntax_findings(file, text, error)
    if root is None or (isinstance(root, Scalar) and not root.text):
        return None, [Finding(file, 1, "", "the file is empty")]
    if not isinstance(root, MapNode):
        kind = "a list" if isinstance(root, ListNode) else "plain text"
        return None, [Finding(file, root.line, "", f"a {what} is a map of keys to values, this is {kind}")]
    return root, reader.findings


def _read_text(path: Path, what: str) -> tuple[str | None, list[Finding]]:
    file = str(path)
    try:
        if not path.is_dir() and is_special(path):  # a pipe would be waited for without end
            return None, [Finding(file, None, "", "is no plain file")]
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None, [Finding(file, None, "", "there is no such file")]
    except OSError as error:
        return None, [Finding(file, None, "", f"cannot be read: {error.strerror or error}")]
    if len(data) > MAX_BYTES:
        return None, [Finding(file, None, "", f"larger than {MAX_BYTES // 1024} KiB: not a {what}")]
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else f"byte 0x{data[error.start]:02x}"
        return None, [Finding(file, line, "", f"is not UTF-8 ({what}); save it as UTF-8")]


def _syntax_findings(file: str, text: str, error: yaml.YAMLError) -> list[Finding]:
    tabs = [
        number
        for number, line in enumerate(text.splitlines(), start=1)
        if "\t" in line[: len(line) - len(line.lstrip())]
    ]
    if tabs:
        return [
            Finding(file, number, "", "YAML is not indented with tabs; use spaces") for number in tabs[:20]
        ]
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark is not None else None
    position = getattr(error, "position", None)
    if line is None and isinstance(position, int):
        # the pure Python reader counts characters, libyaml counts bytes; both end on the line meant
        line = text.encode()[:position].count(b"\n") + 1
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    return [Finding(file, line, "", f"not YAML: {problem}" + (f" ({context})" if context else ""))]


def merge(parent: Node, child: Node) -> Node:
    """Maps are merged key by key, anything else is replaced by the child's."""
    if not (isinstance(parent, MapNode) and isinstance(child, MapNode)):
        return child
    items = dict(parent.items)
    for name, (key, value) in child.items.items():
        items[name] = (key, merge(items[name][1], value) if name in items else value)
    return MapNode(items, child.file, child.line)
