"""A report to test: files of a run in memory, and a parser of its page."""

import html
import re
from collections import Counter
from html.parser import HTMLParser

from cxrjax.report import cases, inputs, render

CLASSES = ("normal", "viral", "co<b>vid")


HOSTILE = "a/<script>alert(1)</script>\"'&|`[x](http://evil.example)\u202e\udcff.png"


VOID = {"meta", "link", "img", "input", "br", "hr", "path", "circle", "line", "use", "image", "wbr"}


class Page(HTMLParser):
    """The elements of a page in order, each with its attributes and the text directly in it; nesting is checked."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append(text)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def estimate(value, low, high):
    return {"value": value, "interval": [low, high], "n": 40}


def scores_of(value):
    each = {name: estimate(value, value - 0.05, value + 0.05) for name in ("precision", "recall", "specificity", "f1")}
    each["auroc"] = {"value": None, "interval": None, "n": 0}
    by_class = {name: each | {"support": 20 if name == "viral" else 50} for name in CLASSES}
    return {"n": 40, "no_prediction": 1, "accuracy": estimate(value, 0.7, 0.9), "macro": each, "classes": by_class}


def row(path, label, finding, confidence):
    votes = {f"votes_{name}": 8 if name == finding else 1 for name in CLASSES}
    return {
        "path": path, "patient_id": path, "source": "there" if path == "none.png" else "here", "split": "test",
        "label": label, "prediction": finding,
        "confidence": confidence, "vote_fraction": 0.8, "status": "ok" if finding else "no lungs found", "reason": "",
        "source_baseline": "normal", **votes, **{f"probability_{name}": confidence / 2 for name in CLASSES},
    }  # fmt: skip


ROWS = [
    row("right-sure.png", "normal", "normal", 0.9),
    row("wrong-unsure.png", "viral", "normal", 0.4),
    row("none.png", "normal", "", float("nan")),
    row(HOSTILE, "normal", "co<b>vid", 0.9),
    row("right-unsure.png", "viral", "viral", 0.5),
]


HERE = inputs.DatasetInfo(
    "clinic",
    {
        "train": {"here": Counter(normal=90, viral=40)},
        "val": {"here": Counter(normal=9)},
        "test": {"here": Counter(normal=7)},
    },
    {"skipped": ["one"]},
    None,
    num_radiographs=146,
)


THERE = inputs.DatasetInfo("elsewhere", {"test": {"far|away": Counter(viral=77)}}, {}, None)


CARD = {
    "name": "clinic", "version": "1.0.0", "splits": ["train", "test"], "warnings": ["Label and view go together."],
    "counts": {"label": {}, "source": {"here": {"train": 130, "test": 7}}, "sex": {"F": {"train": 5}, "M": {"test": 2}},
               "view": {"PA": {"train": 130, "test": 7}}},
    "label_and_source": {"normal": {"here": 97}},
    "patients": {split: {"patients": 3, "radiographs without": 1} for split in ("train", "test")},
    "resolution": {"all": {"width": {"median": 512}, "height": {"median": 374}}},
    "baselines": [
        {"attribute": "view", "values": 2, "tried": 7, "accuracy": 0.65, "without": 0.39, "uncertainty": 0.6},
    ],
}  # fmt: skip


AUDIT = {
    "experiments": [{
        "name": "source", "title": "Source alone", "question": "Does it?", "note": "", "model": "metadata",
        "scores": {"macro_f1": estimate(0.5432, 0.5, 0.6), "macro_auroc": estimate(0.7654, 0.7, 0.8)},
        "category": "shortcut", "share": estimate(0.66, 0.5, 0.8), "classes": {}, "reference": None, "difference": None,
    }, {
        "name": "border", "title": "Border", "question": "Is it?", "note": "not done", "model": "small network",
        "category": "shortcut", "scores": {}, "share": None, "classes": {}, "reference": None, "difference": None,
    }],
    "scores": {"macro_auroc": estimate(0.9, 0.85, 0.95), "macro_f1": estimate(0.8, 0.7, 0.9)},
    "chance": {"macro_auroc": 0.5, "macro_f1": 0.2, "accuracy": 0.3}, "labels": {"normal": 5}, "shared_patients": 0,
    "settings": {"probe_network": {"seed": 41, "training": {"epochs": 12}}, "headline": "macro_auroc"},
    "versions": {"cxrjax": "0", "jax": "0.10.9"},
    "verdict": {"paragraph": "Most of it is the hospital.", "sentences": [], "cannot_support": ["that any is seen"]},
}  # fmt: skip


def shown(picture=None):
    rows = cases.sort_worst_first(ROWS)
    return [
        cases.CaseView(each, picture, number, place)
        for number, (each, place) in enumerate(zip(rows, (None, 1, None, None, 0), strict=True), 1)
    ]


PICTURE = cases.CaseImages(
    "data:image/webp;base64,AA==",
    "M1,1 2,2 3,1Z",
    "",
    "data:image/webp;base64,AA==",
    "data:image/webp;base64,AA==",
    1.25,
)


def page(found, picture=PICTURE):
    return render.render("index.html", found, shown(picture)).decode()


def table(text, caption):
    """Return the rows of the table whose caption starts with `caption`, as lists of the texts of their cells."""
    text = text.replace("<wbr>", "")
    body = next(t for t in re.findall(r"<table.*?</table>", text, re.S) if re.search(rf"<caption>{caption}", t))
    plain = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.S) for line in re.findall(r"<tr.*?</tr>", body, re.S)]
    return [[" ".join(html.unescape(re.sub(r"<[^>]+>", " ", cell)).split()) for cell in cells] for cells in plain]


def answers(found, checklist="TRIPOD+AI"):
    """Return the answers of a checklist by item."""
    claim, tripod = render.render("checklist.md", found, shown()).decode().split("## TRIPOD+AI")
    return dict(re.findall(r"^\| (\w+) \| [^|]+ \| ([^|]+) \|$", tripod if checklist == "TRIPOD+AI" else claim, re.M))
