"""The labels of a run on its page: small forms, which need no script."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.results.labelling import MAX_KEY, MAX_VALUE, tag_of
from edgekit.results.markup import Html, el
from edgekit.results.parts import card
from edgekit.results.store import Store
from edgekit.web.layout import run_url


def label_forms(run_id: str, labels: Mapping[str, str]) -> Html:
    """What there is, each with a button that takes it away; and two fields to set one."""
    action = f"{run_url(run_id)}/labels"
    there = [
        el("li", el("span", el("b", key), f": {value}" if value else None), _removal(action, key))
        for key, value in labels.items()
    ]
    boxes = [
        el(
            "label", title, el("input", type="text", name=name, maxlength=most, autocomplete="off",
                               spellcheck="false", required="" if name == "key" else None),
        )
        for title, name, most in (("Label", "key", MAX_KEY), ("Value", "value", MAX_VALUE))
    ]  # fmt: skip
    setting = el(
        "form",
        boxes,
        el("button", "Set label"),
        method="post",
        action=action,
        class_="label",
        aria_label="Set a label",
    )
    return el(
        "section",
        el("h2", "Labels", id="labels", tabindex="-1"),
        card(
            None,
            el("ul", there, class_="labels") if there else el("p", "This run has no labels.", class_="fine"),
            setting,
        ),
    )


def _removal(action: str, key: str) -> Html:
    # by a hash: a field cannot carry every key that a record may have
    return el(
        "form",
        el("input", type="hidden", name="remove", value=tag_of(key)),
        el("button", "Remove", class_="plain", aria_label=f"Remove the label {key}"),
        method="post",
        action=action,
    )


def changed(store: Store, run: str, fields: Mapping[str, str]) -> str:
    """Do what one of these forms asks; the address to go to. Raises InputError E_NO_RUN, E_LABEL."""
    run_id = store.resolve(run)
    if "remove" in fields:
        keys = [key for key in store.labels(run_id) if tag_of(key) == fields["remove"]]
        store.change_labels(run_id, {}, keys)
    else:
        store.change_labels(run_id, {fields.get("key", "").strip(): fields.get("value", "").strip()})
    return f"{run_url(run_id)}#labels"
