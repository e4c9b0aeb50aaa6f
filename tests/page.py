"""An HTML page read for tests: of the report and of the dashboard."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "input", "link", "br"}
LINKS = ("href", "src", "action", "xlink:href", "srcset")


class Page(HTMLParser):
    """Checks that tags nest and that nothing handles an event, and collects what matters. `styled` False: nor has anything a
    style of its own, which a strict policy for content forbids."""

    def __init__(self, page: str, *, styled: bool = True) -> None:
        super().__init__()
        self.styled = styled
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")], "an event handler"
        assert self.styled or "style" not in dict(attrs), "a style"
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in LINKS]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words += data
