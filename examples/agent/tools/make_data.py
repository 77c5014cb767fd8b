"""python tools/make_data.py: writes data/<action>.jsonl, the same bytes every time."""

import json
import random
import re
from pathlib import Path

BUTTONS = ["Save", "Save as", "Send", "Send later", "Cancel", "Open file", "Open folder", "Delete", "Delete draft", "Print",
           "Sign in", "Sign out", "Add card", "Add user", "Next page", "Export report", "Book room", "Reply", "Reply all"]
FIELDS = ["first_name", "last_name", "user_name", "street_address", "email_address", "card_number", "phone_number", "zip_code",
          "city", "company", "start_date", "end_date", "subject"]
LISTS = ["messages", "orders", "open orders", "contacts", "search results", "invoices", "old invoices", "events", "comments"]
VALUES = ["Ada", "Turing", "42", "Main Street 5", "ada@example.org", "2024-05-01", "Oslo", "4111", "report"]

GOALS = {
    "click": ["click {label}", "press {label}", "choose {label}", "{label} please", "go to {label}", "set {label}"],
    "type": ["type {value} into {label}", "enter {value} as {label}", "{label} is {value}", "set {label}", "fill in {label}: {value}"],
    "scroll": ["scroll down the {label}", "show more {label}", "go to {label}", "show {label}", "{label} please"],
}
KINDS = {"click": ("button", BUTTONS), "type": ("field", FIELDS), "scroll": ("list", LISTS)}


def words(label):
    return re.findall("[a-z]+", label.lower())


def screen(chance, action, label):
    """Six to ten elements in any order, some of the kind that is wanted, some with a word in common."""
    kind, labels = KINDS[action]
    others = [f"{other}: {name}" for other, names in KINDS.values() for name in names if name != label]
    alike = [name for name in others if set(words(name)[1:]) & set(words(label))]
    same = [f"{kind}: {name}" for name in labels if name != label]
    elements = {f"{kind}: {label}", *alike, *chance.sample(same, 2), *chance.sample(others, 3)}
    return chance.sample(sorted(elements), len(elements))


def sample(chance, action, split):
    kind, labels = KINDS[action]
    label = chance.choice(labels)
    spoken = " ".join(words(label))
    if chance.random() < 0.25:  # people leave words out, or say it in their own
        spoken = chance.choice([spoken.split()[0], spoken.split()[-1], "this one"])
    goal = chance.choice(GOALS[action]).format(label=spoken, value=chance.choice(VALUES))
    elements = screen(chance, action, label)
    return {"split": split, "goal": goal, "screen": elements, "action": action, "target": elements.index(f"{kind}: {label}")}


def main():
    for action in GOALS:
        chance = random.Random(action)
        rows = [sample(chance, action, "train") for _ in range(600)] + [sample(chance, action, "test") for _ in range(150)]
        Path("data", f"{action}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
