"""Regular expressions on names of layers, matched in a time that is known beforehand. Pure.

A recipe file is somebody's input, and so are a model's names. `re` tries one way after the other, and their number can double with each
letter: `(a|a)(a|a)...`, `a?a?...aa`, `.*.*.*x`. So `re` only reads a pattern and tells which letters fit; the search goes all ways at once
(Thompson, "Regular Expression Search Algorithm", 1968), and what followed on a letter is kept (as in a lazy DFA), for most names are
alike. Whether there is a match does not depend on which way is tried first, so the answer is `re`'s. What only makes sense with an order of
ways is refused: back references, possessive repeats and atomic groups. Looking ahead and behind can be had.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, TypeAlias

from edgekit.errors import InputError

MAX_STATES = 2000
"""Of one pattern, each repeat up to a number written out."""
MAX_NAME_LENGTH = 10_000
MAX_STEPS = 10_000_000
"""States looked at anew, and letters that are looked around at, for all patterns of a recipe over all names of a model: seconds. What
was kept costs one look at a letter: as long as the names are."""
_MAX_KEPT = 500
"""Sets of states; past them the memory starts anew."""
_PARSER: Any = import_module("re._parser")
"""What `re` compiles from: a module without a public name since sre_parse was taken out of use."""
_TYPES = re.ASCII | re.LOCALE | re.UNICODE
_CATEGORIES = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}
_REFUSED = {
    "GROUPREF": "back references",
    "GROUPREF_EXISTS": "back references",
    "POSSESSIVE_REPEAT": "possessive repeats",
    "ATOMIC_GROUP": "atomic groups",
}
Symbol: TypeAlias = tuple[str | None, bool, tuple[bool, ...]]
"""The next letter (None at the end), whether it is a newline that ends the name, what each look around says there."""
Before: TypeAlias = tuple[bool, bool, bool, bool]
"""Of the letter before: whether there is none, it is a newline, a word's letter, a word's letter of ASCII."""
_FIRST: Before = (True, False, False, False)


class PatternError(ValueError):
    """A pattern that cannot be had, in words."""


@dataclass
class _State:
    """Of the automaton. `test`: which letter leads on; `holds`: what must be true here to go on, without a letter."""

    test: Callable[[str], bool] | None = None
    holds: Callable[[Before, Symbol], bool] | None = None
    at_start: bool = False
    """What it asks for is of the letter before alone."""
    look: int | None = None
    next: list[int] = field(default_factory=list)
    accepts: bool = False


@dataclass
class _Kept:
    """A set of states before a letter, and what followed on the symbols seen so far; None: a match. `looks`: what may be looked
    around for there."""

    states: frozenset[int]
    before: Before
    looks: tuple[int, ...]
    after: dict[Symbol, _Kept | None] = field(default_factory=dict)


@dataclass
class Budget:
    """Of all patterns of a recipe together."""

    steps: int = 0


class LayerPattern:
    """Raises PatternError for what is no regular expression, is too large, or is refused."""

    def __init__(self, text: str, budget: Budget | None = None) -> None:
        self.text = text
        try:
            re.compile(text)
            parsed = _PARSER.parse(text)
            self._machine = _Machine(
                parsed, parsed.state.flags, _Spending(text, budget if budget is not None else Budget())
            )
        except (re.error, OverflowError, RecursionError) as error:
            raise PatternError(f"is no regular expression: {error}") from error

    def search(self, name: str) -> bool:
        """Whether `re.search` finds it. Raises InputError E_RECIPE_RULE for a name that is too long, or where names take too
        long."""
        if len(name) > MAX_NAME_LENGTH:
            raise InputError(
                f"an operator's name has {len(name)} letters, too many to look for '{self.text[:60]}' in it",
                code="E_RECIPE_RULE",
                hint=f"up to {MAX_NAME_LENGTH} are; choose by `op` instead of `layer`",
            )
        return self._machine.found(name)


@dataclass
class _Spending:
    """Of one pattern, with all its looks around."""

    text: str
    budget: Budget
    states: int = 0

    def add_state(self) -> None:
        self.states += 1
        if self.states > MAX_STATES:
            raise PatternError("is too large: write it with fewer or shorter repeats")

    def spend(self, steps: int) -> None:
        self.budget.steps += steps
        if self.budget.steps > MAX_STEPS:
            raise InputError(
                f"looking for '{self.text[:60]}' in the names of the model's operators takes too long",
                code="E_RECIPE_RULE",
                hint="write the rule's pattern shorter, or choose by `op` instead of `layer`",
            )


class _Machine:
    """One pattern, or one look around of it (`anchored`: it begins where one looks)."""

    def __init__(self, parsed: Any, flags: int, spending: _Spending, *, anchored: bool = False) -> None:
        self._spending, self._anchored = spending, anchored
        self._states: list[_State] = []
        self._looks: list[tuple[_Machine, int, bool]] = []
        accept = self._new(_State(accepts=True))
        self._start = self._sequence(parsed, flags, accept)
        self._kept: dict[tuple[frozenset[int], Before], _Kept] = {}

    def found(self, text: str, start: int = 0) -> bool:
        """Whether there is a match in what begins there; of an anchored one, whether one begins there."""
        size = len(text)
        kept = self._keep(frozenset((self._start,)), _before(text, start))
        for i in range(start, size + 1):
            letter = text[i] if i < size else None
            looks = tuple(self._seen_around(look, text, i) for look in kept.looks)
            symbol = (letter, letter == "\n" and i == size - 1, looks)
            if symbol in kept.after:
                then = kept.after[symbol]
            else:
                then = kept.after[symbol] = self._follow(kept, symbol)
            if then is None:
                return True
            if not then.states:
                return False
            kept = then
        return False

    def _seen_around(self, look: int, text: str, place: int) -> bool:
        """Whether what it asks for is so there. One behind is as wide as it is, and so ends there."""
        machine, width, wanted = self._looks[look]
        self._spending.spend(len(text) - place + width + 1)
        return (place >= width and machine.found(text, place - width)) == wanted

    def _keep(self, states: frozenset[int], before: Before) -> _Kept:
        found = self._kept.get((states, before))
        if found is None:
            if len(self._kept) >= _MAX_KEPT:
                for old in self._kept.values():
                    old.after.clear()  # they name each other
                self._kept.clear()
            found = self._kept[states, before] = _Kept(states, before, self._looks_from(states, before))
        return found

    def _looks_from(self, states: frozenset[int], before: Before) -> tuple[int, ...]:
        """The looks around that may have a say before the next letter."""
        if not self._looks:
            return ()
        nothing: Symbol = (None, False, ())
        seen, waiting = set(states), list(states)
        while waiting:
            state = self._states[waiting.pop()]
            self._spending.spend(1)
            if state.test is not None or (
                state.at_start and state.holds and not state.holds(before, nothing)
            ):
                continue
            fresh = [one for one in state.next if one not in seen]
            seen.update(fresh)
            waiting += fresh
        return tuple(sorted({look for one in seen if (look := self._states[one].look) is not None}))

    def _follow(self, kept: _Kept, symbol: Symbol) -> _Kept | None:
        """What follows on one letter, all ways at once; None where one of them has arrived before it."""
        seen, waiting, after = set(kept.states), list(kept.states), set()
        letter = symbol[0]
        while waiting:
            state = self._states[waiting.pop()]
            self._spending.spend(1)
            if state.accepts:
                return None
            if state.test is not None:
                if letter is not None and state.test(letter):
                    after.update(state.next)
            elif (
                symbol[2][kept.looks.index(state.look)]
                if state.look is not None
                else state.holds is None or state.holds(kept.before, symbol)
            ):
                fresh = [one for one in state.next if one not in seen]
                seen.update(fresh)
                waiting += fresh
        if not self._anchored and letter is not None:
            after.add(self._start)
        return self._keep(frozenset(after), _class_of(letter) if letter is not None else _FIRST)

    def _new(self, state: _State) -> int:
        self._spending.add_state()
        self._states.append(state)
        return len(self._states) - 1

    def _sequence(self, parsed: Iterable[Any], flags: int, then: int) -> int:
        """The state that what is parsed begins with, where `then` follows on it."""
        for operation, given in reversed(list(parsed)):
            then = self._one(str(operation), operation, given, flags, then)
        return then

    def _one(self, name: str, operation: Any, given: Any, flags: int, then: int) -> int:
        if name in _REFUSED:
            raise PatternError(f"has {_REFUSED[name]}, which names of layers are not searched with")
        match name:
            case "SUBPATTERN":
                _, added, removed, inner = given
                kept = flags & ~_TYPES if added & _TYPES else flags
                return self._sequence(inner, (kept | added) & ~removed, then)
            case "BRANCH":
                ways = [self._sequence(way, flags, then) for way in given[1]]
                return self._new(_State(next=ways))
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, inner = given
                return self._repeat(least, most, inner, flags, then)
            case "AT":
                place = str(given)
                at_start = place.startswith("AT_BEGINNING")
                return self._new(_State(holds=_held(place, flags), at_start=at_start, next=[then]))
            case "ASSERT" | "ASSERT_NOT":
                return self._look(given, flags, name == "ASSERT", then)
            case "FAILURE":
                return self._new(_State())
            case _:
                return self._new(_State(test=_letter(operation, given, flags), next=[then]))

    def _repeat(self, least: int, most: Any, inner: Any, flags: int, then: int) -> int:
        if most == _PARSER.MAXREPEAT:
            # the loop's state is there before what leads back to it
            loop = self._new(_State(next=[then]))
            self._states[loop].next.append(self._sequence(inner, flags, loop))
            then = loop
        else:
            for _ in range(int(most) - least):
                then = self._new(_State(next=[self._sequence(inner, flags, then), then]))
        for _ in range(least):
            then = self._new(_State(next=[self._sequence(inner, flags, then)]))
        return then

    def _look(self, given: Any, flags: int, wanted: bool, then: int) -> int:
        direction, inner = given
        width = inner.getwidth()[0] if direction < 0 else 0
        self._looks.append((_Machine(inner, flags, self._spending, anchored=True), width, wanted))
        return self._new(_State(look=len(self._looks) - 1, next=[then]))


def _letter(operation: Any, given: Any, flags: int) -> Callable[[str], bool]:
    """Which letters fit, as `re` says."""
    name = str(operation)
    if name == "LITERAL":
        text = _escaped(given)
    elif name == "NOT_LITERAL":
        text = f"[^{_escaped(given)}]"
    elif name == "ANY":
        text = "."
    elif name == "IN":
        text = "[" + "".join(_part(str(kind), value) for kind, value in given) + "]"
    else:
        raise PatternError(f"has what names of layers are not searched with ({name.lower()})")
    return _letters(text, flags & (re.IGNORECASE | re.DOTALL | re.ASCII))


@cache
def _letters(text: str, flags: int) -> Callable[[str], bool]:
    compiled, known = re.compile(text, flags), dict[str, bool]()

    def fits(letter: str) -> bool:
        found = known.get(letter)
        if found is None:
            found = known[letter] = compiled.fullmatch(letter) is not None
        return found

    return fits


def _part(kind: str, value: Any) -> str:
    if kind == "NEGATE":
        return "^"
    if kind == "RANGE":
        return f"{_escaped(value[0])}-{_escaped(value[1])}"
    return _CATEGORIES[str(value)] if kind == "CATEGORY" else _escaped(value)


def _escaped(letter: int) -> str:
    return f"\\U{letter:08x}"


def _held(place: str, flags: int) -> Callable[[Before, Symbol], bool]:
    """What `^`, `$`, `\\b` and the like ask for."""
    word = 3 if flags & re.ASCII else 2
    match place:
        case "AT_BEGINNING" if flags & re.MULTILINE:
            return lambda before, _: before[0] or before[1]
        case "AT_BEGINNING" | "AT_BEGINNING_STRING":
            return lambda before, _: before[0]
        case "AT_END" if flags & re.MULTILINE:
            return lambda _, symbol: symbol[0] in (None, "\n")
        case "AT_END":
            return lambda _, symbol: symbol[0] is None or symbol[1]
        case "AT_END_STRING":
            return lambda _, symbol: symbol[0] is None
        case "AT_BOUNDARY":
            return lambda before, symbol: before[word] != _is_word(symbol, word)
        case "AT_NON_BOUNDARY":
            # of no letters at all it says no, as `re` does
            return lambda before, symbol: (
                before[word] == _is_word(symbol, word) and not (before[0] and symbol[0] is None)
            )
    raise PatternError(f"has what names of layers are not searched with ({place.lower()})")


def _is_word(symbol: Symbol, word: int) -> bool:
    return symbol[0] is not None and _class_of(symbol[0])[word]


def _before(text: str, place: int) -> Before:
    return _class_of(text[place - 1]) if place else _FIRST


@cache
def _class_of(letter: str) -> Before:
    unicode_word = re.match(r"\w", letter) is not None
    return False, letter == "\n", unicode_word, unicode_word and letter.isascii()
