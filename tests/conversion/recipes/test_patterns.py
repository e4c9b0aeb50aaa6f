"""Patterns of rules: the answer is `re`'s, and it comes in bounded time whatever a recipe's and a model's author think of."""

from __future__ import annotations

import random
import re

import pytest

from edgekit.conversion.recipes import patterns
from edgekit.conversion.recipes.patterns import Budget, LayerPattern, PatternError
from edgekit.errors import InputError

pytestmark = pytest.mark.base
NAMES = (
    "",
    "a",
    "conv_1/weights",
    "StatefulPartitionedCall/model/conv2d/Relu;model/conv2d/BiasAdd",
    "layers.0.attention.query",
    "Éclair_ü",
    "two\nlines",
    "line\n",
    "\n",
    "aaaa",
)


@pytest.mark.parametrize(
    "pattern",
    [
        "a",
        "",
        "^$",
        "^a*$",
        r"\Aa\Z",
        "(?m)^lines$",
        "(?s)o.l",
        "o.l",
        "line$",
        r"\bconv",
        r"\Bonv\B",
        r"conv(2d)?/(Relu|BiasAdd)$",
        r"layers\.\d+\.",
        "[^a-z]",
        r"[\W_]",
        r"[\d.]{2}",
        "(?i)é",
        "(?i:CONV)_1",
        r"(?a)\w\w\w\w\w\w\w\w",
        "(?i)[A-C]ONV",
        "^(?!.*attention)",
        "conv(?=2d)",
        r"(?<=/)conv",
        r"(?<!/)conv2d",
        "(?=a)(?!ab)a",
        "(?!)",
        "(a+)+$",
        "(?:(?:)*)*x",
        "a{2,3}a",
        "a{,2}?$",
        "x|y|conv",
        "(?P<n>q)uery",
    ],
)
def test_a_pattern_finds_what_re_finds(pattern: str) -> None:
    made = LayerPattern(pattern)
    for name in NAMES:
        assert made.search(name) == (re.search(pattern, name) is not None), name


def test_random_patterns_find_what_re_finds() -> None:
    """Two and a half million such were compared when this was written, without a difference."""
    random_ = random.Random(20)
    leaves = ["a", "b", "_", ".", "[ab]", "[^a]", r"\d", r"\w", r"\W", "^", "$", r"\b", "A", ""]

    def made(depth: int) -> str:
        kind = random_.random()
        if depth > 3 or kind < 0.4:
            return random_.choice(leaves)
        if kind < 0.65:
            return made(depth + 1) + made(depth + 1)
        if kind < 0.75:
            return f"({made(depth + 1)}|{made(depth + 1)})"
        if kind < 0.9:
            return f"(?:{made(depth + 1)}){random_.choice(['*', '+', '?', '{2}', '{1,3}', '*?'])}"
        return f"(?{random_.choice(['=', '!', 'i:'])}{made(depth + 1)})"

    for _ in range(400):
        pattern = made(0)
        found = LayerPattern(pattern)
        for _ in range(10):
            name = "".join(random_.choice("aabA_0\n") for _ in range(random_.randrange(8)))
            assert found.search(name) == (re.search(pattern, name) is not None), (pattern, name)


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("^(a+)+$", "a" * 5000 + "!", False),
        ("(a?){150}" + "a" * 150, "a" * 150, True),
        ("(a|a)" * 90 + "b", "a" * 3000, False),
        ("a*" * 200 + "b", "a" * 3000, False),
        (".*.*.*x", "a" * 3000, False),
        ("((a{1,8}){1,8}){1,8}b", "a" * 3000, False),
        ("^(?!.*attn)", "a" * 9000, True),
    ],
)
def test_what_takes_re_for_ever_is_answered(pattern: str, name: str, found: bool) -> None:
    """By the work that is done, not by the clock."""
    budget = Budget()
    assert LayerPattern(pattern, budget).search(name) == found
    assert budget.steps < patterns.MAX_STEPS / 4


@pytest.mark.parametrize("pattern", ["(?=.*x)" * 60, "[ab]*a[ab]{480}c"])
def test_what_takes_too_long_is_an_error(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all patterns of a recipe together."""
    monkeypatch.setattr(patterns, "MAX_STEPS", 100_000)
    name = "".join(random.Random(1).choice("ab") for _ in range(5000))
    budget = Budget()
    with pytest.raises(InputError) as caught:
        LayerPattern(pattern, budget).search(name)
    assert caught.value.code == "E_RECIPE_RULE"
    assert caught.value.hint
    with pytest.raises(InputError):
        LayerPattern("x", budget).search("yy")


def test_a_name_that_is_too_long_is_an_error() -> None:
    with pytest.raises(InputError) as caught:
        LayerPattern("a").search("b" * 10_001)
    assert caught.value.code == "E_RECIPE_RULE"


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "is no regular expression"),
        ("(a)\\1", "back references"),
        ("(a)?(?(1)b|c)", "back references"),
        ("a*+", "possessive repeats"),
        ("(?>a)", "atomic groups"),
        ("((((a{100}){100}){100}){100}){100}", "too large"),
        ("(){1000000000}", "too large"),
        ("(?:|){0,1000000000}", "too large"),
        ("(?=a{1500})(?=a{1500})", "too large"),
        ("(" * 250 + "a" + ")" * 250, ""),
    ],
)
def test_what_cannot_be_had_is_refused_at_once(pattern: str, why: str) -> None:
    if not why:
        assert LayerPattern(pattern).search("xa")
        return
    with pytest.raises(PatternError, match=why):
        LayerPattern(pattern)
