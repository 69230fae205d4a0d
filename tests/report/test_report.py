"""The report: what a reader is told, in HTML that is valid and safe, and with the numbers of the run."""

import html
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from cxrjax.config import default_config
from cxrjax.data import batch, tfds_store
from cxrjax.inference import pipeline
from cxrjax.io import predictions_csv
from cxrjax.io.crop import Crop, Frame
from cxrjax.metrics import baselines
from cxrjax.report import cases, description, inputs, render

CLASSES = ("normal", "viral", "co<b>vid")
HOSTILE = "a/<script>alert(1)</script>\"'&|`[x](http://evil.example)\u202e\udcff.png"
VOID = {"meta", "link", "img", "input", "br", "hr", "path", "circle", "line", "use", "image"}


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


@pytest.fixture
def found(tmp_path):
    """Evidence of a classifier that was evaluated and nothing else."""
    config = default_config()
    config.task, config.classifier.classes, config.training.metric = "classify", CLASSES, "macro_f1"
    chance = {"accuracy": 0.31, "macro_f1": 0.11, "macro_auroc": 0.5}
    return inputs.ReportInputs(
        workdir=tmp_path, config=config, split="test", name="test", directory="", rows=ROWS, chance=chance,
        identifiability=["covid19 comes from c alone & cannot be told from it."],
        scores={
            "all": scores_of(0.8123), "source_baseline": scores_of(0.4567), "n": 40, "patients": 37,
            "num_resamples": 2000,
            "calibration": {}, "selective_prediction": {}, "vote_convergence": {}, "operating_points": {},
            "subgroups": {"sex": {"F": scores_of(0.7) | {"n": 12}, "M": scores_of(0.8) | {"n": 28}}},
            "warnings": ["few of them"],
        },
        best_epoch={"epoch": 7}, audit=None, maps=None, ood_detector=None, morphometry=None, calibration=None,
        min_confidence=None, training_data=HERE, evaluation_data=HERE,
        versions={"cxrjax": "0", "jax": "1", "flax": "2"}, hardware="a machine",
    )  # fmt: skip


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
    """The rows of the table whose caption begins so, as lists of the words in their cells."""
    body = next(t for t in re.findall(r"<table.*?</table>", text, re.S) if re.search(rf"<caption>{caption}", t))
    plain = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.S) for line in re.findall(r"<tr.*?</tr>", body, re.S)]
    return [[" ".join(html.unescape(re.sub(r"<[^>]+>", " ", cell)).split()) for cell in cells] for cells in plain]


def test_worst_first():
    order = [each["path"] for each in cases.sort_worst_first(ROWS)]
    assert order == [HOSTILE, "wrong-unsure.png", "none.png", "right-unsure.png", "right-sure.png"]
    masks = [{"path": p, "status": s, "dice_lungs": d} for p, s, d in
             [("a", "ok", 0.9), ("b", "ok", np.nan), ("c", "no lungs found", np.nan), ("d", "ok", 0.1)]]  # fmt: skip
    assert [each["path"] for each in cases.sort_worst_first(masks)] == ["c", "d", "a", "b"]


def test_the_page_is_whole_and_asks_nothing_of_the_network(found):
    text = page(found._replace(audit=AUDIT))
    parsed = Page(text)
    assert not any(tag in ("link", "iframe", "object", "embed", "base") for tag, _ in parsed.elements)
    addresses = [a[key] for _, a in parsed.elements for key in ("src", "href", "action", "srcset") if a.get(key)]
    assert addresses and all(address.startswith(("data:image/", "#")) for address in addresses)
    assert all(a.get("src") is None for a in parsed.all("script")) and len(parsed.all("script")) == 1
    assert not any(key.startswith("on") for _, a in parsed.elements for key in a)
    policy = next(a["content"] for a in parsed.all("meta") if "http-equiv" in a)
    assert "default-src 'none'" in policy
    script = re.search(r"<script>(.*?)</script>", text, re.S)[1]
    assert f"script-src '{render.csp_hash(script)}'" in policy


def test_headings_ids_tables_and_pictures_can_be_read_aloud(found):
    parsed = Page(page(found._replace(audit=AUDIT)))
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    ids = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a["href"][1:] for tag, a in parsed.elements if tag in ("a", "use") and a.get("href")]
    assert set(links) <= set(ids)
    assert {a["aria-labelledby"] for _, a in parsed.elements if "aria-labelledby" in a} <= set(ids)
    assert all(a.get("alt") or a.get("class") == "thumbnail" for a in parsed.all("img"))
    assert all(a.get("aria-label") or a.get("aria-hidden") for a in parsed.all("svg"))
    assert len(parsed.all("caption")) == len(parsed.all("table"))
    assert all(a.get("scope") in ("row", "col") for a in parsed.all("th"))
    assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in parsed.elements}
    assert parsed.all("html")[0]["lang"] == "en"


def test_a_hostile_name_is_text_and_nothing_else(found):
    text = page(found)
    assert "<script>alert" not in text and "co<b>vid" not in text
    read = "".join(Page(text).texts)
    assert HOSTILE.replace("\udcff", "\\udcff") in read and "co<b>vid" in read
    for template in ("model_card.md", "checklist.md"):
        written = render.render(template, found._replace(evaluation_data=THERE, name="x"), shown()).decode()
        assert "<b>" not in written
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in written.splitlines() if line.startswith("|")}
        assert cells <= {3, 4, 5, 7}  # no name added a column


@pytest.mark.parametrize("audit", [None, AUDIT])
def test_the_numbers_are_those_of_the_run(found, audit):
    found = found._replace(audit=audit)
    text = page(found)
    head = table(text, "Scores of the network")
    assert head[3][:4] == ["accuracy", "0.812 0.700–0.900", "0.457 0.700–0.900", "0.310"]
    assert head[1][:4] == ["macro AUROC", "–", "0.765 0.700–0.800" if audit else "–", "0.500"]
    by_class = table(text, "Scores by class")
    assert by_class[2][:3] == ["viral", "20 few", "0.812 0.762–0.862"] and by_class[1][1] == "50"
    counts = table(text, "Label \\(rows\\)")
    assert [line[1:] for line in counts[1:]] == [["1", "0", "1", "1"], ["1", "1", "0", "0"], ["0", "0", "0", "0"]]
    assert [line[1] for line in table(text, "By sex")[1:]] == ["12 few", "28 few"]
    card = render.render("model_card.md", found, shown()).decode()
    assert "| accuracy | 0.812 (0.700 to 0.900) | 0.457 (0.700 to 0.900) | 0.310 |" in card
    assert "macro F1 0.812 (0.762 to 0.862)" in render.render("checklist.md", found, shown()).decode()
    if audit:
        controls = table(text, "Controls")
        assert controls[1][3:6] == ["0.765 0.700–0.800", "0.543 0.500–0.600", "66% 50–80%"]
        assert controls[2][2:6] == ["Is it? not done", "–", "–", "–"]
        answered = table(text, "Questions of the audit")
        guessed = ["Yes", "Source alone: 0.77 (0.70 to 0.80), 66% (50% to 80%) of the score above chance"]
        assert answered[1] == ["Can the label be guessed before the image is seen?", *guessed]
        assert answered[2][1] == "Not tried"


def test_the_audit_stands_before_every_score_and_what_is_missing_says_what_makes_it(found):
    stale = page(found._replace(audit=AUDIT))  # the scores of `found` have no AUROC
    assert stale.index("<h1>On 5 radiographs the network reaches 0.81") < stale.index("The audit is of other")
    assert stale.count("The audit is of other predictions") == 2 and "--mode=audit" in stale
    macro = found.scores["all"]["macro"] | {"auroc": AUDIT["scores"]["macro_auroc"]}
    audited = found._replace(audit=AUDIT, scores=found.scores | {"all": found.scores["all"] | {"macro": macro}})
    text = page(audited)
    sentence = "The label goes with the collection: a guess that never sees the radiograph reaches 0.77 of 0.90."
    assert f"<h1>{sentence}</h1>" in text and text.index(sentence) < text.index("0.812")
    assert "--mode=audit" not in text and "That any is seen" in text and "Most of it is the hospital." in text
    text = page(found)
    section = text[text.index('<section id="missing"') :]
    modes = re.findall(rf"python -m cxrjax\.main --workdir={found.workdir} --mode=(\w+)", section)
    assert modes == ["report", "audit", "evaluate", "evaluate_saliency", "fit_ood", "evaluate", "morphometry"]
    assert text.index("--mode=audit") < text.index("Scores of the network")
    judged = found._replace(ood_detector={}, rows=[each | {"ood_reason": ""} for each in ROWS])
    assert "fit_ood" not in page(judged) and "0 of 5 radiographs are unlike those of training" in page(judged)


def test_the_checklists_have_every_item_and_leave_open_what_only_authors_know(found):
    written = render.render("checklist.md", found, shown()).decode()
    claim, tripod = written.split("## TRIPOD+AI")
    lines = re.findall(r"^\| (\w+) \| [^|]+ \| ([^|]+) \|$", claim, re.M)
    assert [number for number, _ in lines if number != "item"] == [str(k) for k in range(1, 45)]
    answers = dict(lines)
    assert all("to be filled in" in answers[number] for number in ("2", "5", "14", "34", "44"))
    assert "here" in answers["7"] and "Epoch 7" in answers["26"] and "2000" in answers["29"]
    numbers = [number for number in re.findall(r"^\| (\w+) \|", tripod, re.M) if number != "item"]
    assert len(numbers) == 52 and {re.match(r"\d+", number)[0] for number in numbers} == set(map(str, range(1, 28)))


def answers(found, checklist="TRIPOD+AI"):
    """What a checklist answers, by item."""
    claim, tripod = render.render("checklist.md", found, shown()).decode().split("## TRIPOD+AI")
    return dict(re.findall(r"^\| (\w+) \| [^|]+ \| ([^|]+) \|$", tripod if checklist == "TRIPOD+AI" else claim, re.M))


def test_the_nav_leads_to_sections_and_cases_open_by_links_that_no_section_has(found):
    text = page(found)
    parsed, script = Page(text), re.search(r"<script>(.*?)</script>", text, re.S)[1]
    (prefix,) = re.findall(r"closest\(\"a\[href\^='#([^']+)'\], a\.close\"\)", script)
    sections = [a["id"] for a in parsed.all("section")]
    listed = re.findall(r'href="#([^"]+)"', re.search(r"<nav.*?</nav>", text, re.S)[0])
    assert set(listed) == set(sections) and not any(section.startswith(prefix) for section in sections)
    assert parsed.all("dialog") and all(a["id"].startswith(prefix) for a in parsed.all("dialog"))


def test_limitations_are_what_the_data_cannot_support(found):
    found = found._replace(audit=AUDIT)
    assert answers(found)["26"] == answers(found, "CLAIM")["40"] == "These data cannot support: that any is seen."
    card = render.render("model_card.md", found, shown()).decode()
    assert "These data cannot support:\n\n- that any is seen" in card


def test_what_the_sources_of_training_allow_is_listed_with_or_without_an_audit(found):
    for audited in (found, found._replace(audit=AUDIT)):
        assert "Covid19 comes from c alone &amp; cannot be told from it." in page(audited)
    assert "By the sources and labels" not in page(found._replace(identifiability=[]))


def test_controls_that_were_not_done_are_not_claimed_and_twins_are_told_apart(found):
    twins = [AUDIT["experiments"][0] | {"name": n, "title": "background alone", "model": by}
             for n, by in (("background", "small network"), ("background_network", "network"))]  # fmt: skip
    answer = answers(found._replace(audit=AUDIT | {"experiments": AUDIT["experiments"] + twins}), "CLAIM")["30"]
    assert "Border" not in answer and "Source alone (metadata)" in answer
    assert "background alone (small network), background alone (network)" in answer


@pytest.mark.parametrize(
    "changed, said, unsaid",
    [
        ({"segmenter.workdir": "runs/lungs"},
         ["100 patches of 224 pixels with their centers in the lungs, everything but the lungs blackened",
          "the class of most",
          "fc_densenet103 at 256 pixels", "specified to one histogram", "class activation of the patches"],
         ["Grad-CAM", "one prediction", "no lungs are segmented"]),
        ({"patches.mode": "global", "patches.mask_lungs": False, "image.equalize": False,
          "classifier.architecture": "vgg16"},
         ["the whole radiograph at 224 pixels", "none, there is one prediction per radiograph",
          "no lungs are segmented",
          "ray levels as they are", "Grad-CAM of the radiograph"],
         ["100 patches", "fc_densenet103", "specified", "class activation", "blackened", "patches vote",
          "without a lung mask gets"]),
        ({"patches.mode": "global", "patches.mask_lungs": False, "patches.center_crop": 0.0625, "patches.size": 120},
         ["the middle of the radiograph, 93.75% of its side, at 120 pixels"], ["the whole radiograph at"]),
        ({"segmenter.workdir": "runs/lungs", "patches.mode": "lung_bbox", "patches.mask_lungs": False,
          "patches.channels": "enhanced", "evaluation.ensemble_size": 3, "voting.aggregation": "mean_probability"},
         ["the box of the lungs at 224 pixels", "three channels", "one prediction of each of 3 networks",
          "the highest mean probability", "class activation of the lungs"],
         ["100 patches", "blackened"]),
        ({"segmenter.workdir": "runs/lungs", "patches.mode": "dense"},
         ["all windows of 224 pixels with their centers in the lungs, in one pass over the radiograph, "
          "everything but the lungs",
          "these windows, the class of most", "class activation of the windows"],
         ["100 patches", "there is one prediction"]),
    ],
)  # fmt: skip
def test_the_method_is_that_of_the_settings(found, changed, said, unsaid):
    found.config.update_from_flattened_dict(changed)
    card, checklist = (
        html.unescape(render.render(name, found, shown()).decode()) for name in ("model_card.md", "checklist.md")
    )
    for text in said:
        assert text in card and text in checklist
    for text in unsaid:
        assert text not in card and text not in checklist
    assert description.describe_method(found.config).classifier_input in html.unescape(page(found))


def test_without_a_segmenter_no_lungs_are_missed(found):
    found.config.update_from_flattened_dict({"patches.mode": "global", "patches.mask_lungs": False})
    text = page(found, PICTURE._replace(lungs=""))
    assert "No lungs" not in text and "patches" not in re.search(r"<dialog.*</dialog>", text, re.S)[0]
    assert text.count("<figcaption>Map: evidence for") == text.count("<dialog")
    found.config.segmenter.workdir = "runs/lungs"
    assert "No lungs found" in page(found, PICTURE._replace(lungs=""))


def test_what_is_of_other_data_is_said_to_be(found):
    other = found._replace(name="elsewhere-test", directory="data/there", evaluation_data=THERE)
    text = page(other)
    assert "another data set, <bdi>elsewhere</bdi>" in text and "--mode=audit" not in text
    assert "--mode=evaluate_saliency --split=test --dataset=data/there" in text
    assert table(text, "Radiographs evaluated")[1] == ["test", "far|away", "77"]
    assert table(text, "Radiographs of training")[1] == ["train", "here", "90", "40"]
    card = render.render("model_card.md", other, shown()).decode()
    trained, evaluated = card.split("## Evaluation")
    assert "train, here: 90 normal, 40 viral" in trained and "viral" not in trained.split("val, here")[1]
    assert "77 viral" in evaluated and "90 normal" not in evaluated
    claim = answers(other, "CLAIM")
    assert "to be filled in" in claim["32"] and "test split of elsewhere, another data set" in claim["33"]
    claim = answers(found, "CLAIM")
    assert "of clinic, the data set of training" in claim["32"] and "to be filled in" in claim["33"]
    gone = page(other._replace(training_data=None, chance=dict.fromkeys(found.chance)))
    assert "no longer exists" in gone and table(gone, "Scores of the network")[1][3] == "–"


def test_the_checklist_tells_what_was_computed(found):
    plain = answers(found)
    assert "average precision" in plain["12e"] and "Brier" not in plain["12e"] and "chosen" not in plain["15"]
    assert "to be filled in" in plain["12d"] and "to be filled in" in plain["23b"] and "sex" in plain["23a"]
    assert "train 90 normal, 40 viral; val 9 normal; test 7 normal" in plain["21"]
    assert "focal" not in plain["13"]
    point = {"threshold": 0.4, "sensitivity": estimate(0.5, 0.4, 0.6), "specificity": estimate(0.9, 0.8, 0.95)}
    calibration = {
        "raw": {"ece": estimate(0.1, 0.05, 0.2), "brier": estimate(0.3, 0.2, 0.4), "ece_if_calibrated": [0, 1]}
    }
    more = {"calibration": calibration, "operating_points": {"viral": {"at_specificity": point}},
            "subgroups": {"source": {name: scores_of(0.7) for name in "ab"}}}  # fmt: skip
    found.config.training.loss = "focal"
    full = found._replace(scores=found.scores | more, calibration={"split": "val", "target": 0.9})
    rich, claim = answers(full), answers(full, "CLAIM")
    for text in ("calibration error", "Brier", "average precision", "operating points"):
        assert text in rich["12e"] and text in claim["28"]
    assert "chosen on the val split" in rich["15"] and "0.9" in rich["15"]
    assert "by source" in rich["12d"] and "by source" in rich["23b"]
    assert "focal (gamma 2.0, alpha 1.0)" in rich["13"]


def test_the_page_has_the_data_card_and_the_audits_settings(found):
    text = page(found)
    assert "data_prep describe" in text and "Settings of the audit" not in text
    text = page(found._replace(evaluation_data=HERE._replace(card=CARD), audit=AUDIT))
    assert "data_prep describe" not in text and "Label and view go together." in text
    assert table(text, "Attributes that predict")[1] == ["view", "2", "7", "0.650", "0.390", "0.600"]
    assert table(text, "Radiographs by sex")[1:] == [["F", "5", ""], ["M", "", "2"]]
    assert "View: <bdi>PA</bdi>, all of them." in text
    assert table(text, "Settings of the audit")[1:] == [["seed", "41"], ["training.epochs", "12"]]
    assert "Seed 41" in text and "jax 0.10.9" in text and Page(text)


def test_checks_of_maps_are_in_words(found):
    maps = {
        "n": 4,
        "without_map": 0,
        "metrics": {},
        "verdict": "So so.",
        "checks": {"weights": "passed", "lungs": "inconclusive"},
    }
    rows = table(page(found._replace(maps=maps)), "Checks of the maps")
    assert rows[1:] == [["change when the network's weights are randomized", "yes"],
                        ["lie in the lungs more than chance would have it", "inconclusive"]]  # fmt: skip


def test_every_colour_of_the_style_is_used(found):
    style = re.search(r"<style>(.*?)</style>", page(found), re.S)[1]
    assert set(re.findall(r"(--[\w-]+):", style)) <= set(re.findall(r"var\((--[\w-]+)\)", style))


def test_what_cannot_be_told_is_said_to_be_so(found):
    reached = {
        "threshold": 0.5,
        "sensitivity": estimate(0.8, 0.7, 0.9),
        "specificity": {"value": 1.0, "interval": None},
    }
    points = {"viral": {"at_sensitivity": {"threshold": None}, "at_specificity": reached}}
    text = page(found._replace(scores=found.scores | {"vote_convergence": None, "operating_points": points}))
    assert "Convergence of the vote is not available" in text
    lines = table(text, "Thresholds chosen on validation")[1:]
    assert lines == [
        ["viral", "at sensitivity", "not reachable", "–", "–"],
        ["viral", "at specificity", "0.500", "0.800 0.700–0.900", "1.000"],
    ]


def test_a_run_of_masks_has_a_report_too(found):
    structure = {"dice": estimate(0.9432, 0.93, 0.95), "jaccard": estimate(0.9, 0.8, 0.95), "support": 40}
    every = {"n": 2, "failed": 1, "structures": {"lungs": structure}}
    masks = {"path": HOSTILE, "source": "here", "status": "ok", "reason": "", "dice_lungs": 0.9, "jaccard_lungs": 0.8,
             "lung_confidence": 0.7}  # fmt: skip
    found.config.task = "segment"
    found = found._replace(chance={}, rows=[masks], scores={
        "all": every, "subgroups": {"source": {"here": every}}, "n": 2, "patients": 2, "num_resamples": 9,
        "warnings": [],
    })  # fmt: skip
    text = render.render(
        "index.html", found, [cases.CaseView(masks, PICTURE._replace(saliency="", true_lungs="M1,1 2,2 3,1Z"), 1)]
    )
    assert table(text.decode(), "Overlap")[1] == ["all", "lungs", "40", "0.943 0.930–0.950", "0.900 0.800–0.950"]
    assert Page(text.decode()) and "0.943 (0.930 to 0.950)" in render.render("model_card.md", found, []).decode()
    assert "Dice of the lungs 0.943" in render.render("checklist.md", found, []).decode()


class Stub:
    """An examiner that finds the left half of every radiograph to be lungs, and viral pneumonia at its middle."""

    config = default_config()

    def saliency(self, result):
        return result.saliency

    def predict(self, images):
        for image in images:
            lungs = np.zeros(image.shape, bool)
            lungs[:, : len(image) // 2] = True
            heat = np.zeros(image.shape, np.float32)
            heat[len(image) // 2] = 1
            blank = dict.fromkeys(pipeline.Prediction._fields, 0)
            yield pipeline.Prediction(**blank | {"lung_mask": lungs, "saliency": heat})


def hold(count, side):
    rng = np.random.default_rng(0)
    paths = [f"{k}.png" for k in range(count)]
    blank = {name: [""] * count for name in batch.RadiographBatch._fields}
    images = rng.integers(0, 255, (count, side, side)).astype(np.uint8)
    masks, kinds = np.zeros((count, side, side), np.uint8), np.full(count, -1)
    return batch.RadiographBatch(**blank | {
        "paths": paths, "images": images, "masks": masks, "mask_types": kinds, "image_ids": batch.hash_images(images),
        "lesions": None, "ages": np.zeros(count),
    })  # fmt: skip


class Stored(batch.RadiographBatch):
    """A batch in place of a data set, of radiographs of 60 x 40 pixels of which 10 rows are cut."""

    def frame(self, row):
        return Frame(60, 40, Crop(10, 0, 0, 0))


def render_stored(predictor, held, rows, **options):
    return cases.render_cases(predictor, Stored(*held), rows, **options)


def test_pictures_end_where_the_room_does():
    held, rows = hold(6, 64), [row(f"{k}.png", "normal", "viral", 0.5) for k in (5, 3, 1)]
    every = render_stored(Stub(), held, rows, side=64, megabytes=1)
    sizes = [case.images.num_bytes for case in every]
    assert [case.row["path"] for case in every] == ["5.png", "3.png", "1.png"] and min(sizes) > 1000
    some = render_stored(Stub(), held, rows, side=64, megabytes=(sum(sizes[:2]) + 1) / 1e6)
    assert [case.images == other.images for case, other in zip(some, every, strict=True)] == [True, True, False]
    assert {case.images.aspect for case in every} == {50 / 40}
    shown_first = render_stored(Stub(), held, rows[:2], examples=[rows[2]], side=64, megabytes=0)
    assert [(case.row["path"], case.number, case.example) for case in shown_first] == [
        ("5.png", 1, None), ("3.png", 2, None), ("1.png", 3, 0)]  # fmt: skip
    assert [case.images is None for case in shown_first] == [True, True, False]
    assert some[2].images is None and some[2].row["path"] == "1.png"
    with pytest.raises(ValueError, match="7.png: was evaluated, but is not in this data set"):
        render_stored(Stub(), held, [row("7.png", "normal", "viral", 0.5)], side=64, megabytes=1)


def test_of_two_sources_with_equal_paths_each_row_has_its_own_picture():
    held = batch.with_columns(hold(3, 64), paths=["a.png", "1.png", "1.png"], sources=["here", "here", "there"])
    two = [row("1.png", "normal", "viral", 0.5) | {"source": source} for source in ("there", "here")]
    there, here = (case.images.radiograph for case in render_stored(Stub(), held, two, side=64, megabytes=1))
    alone = batch.with_columns(hold(3, 64), paths=["a.png", "here.png", "there.png"])
    rows = [row(f"{source}.png", "normal", "viral", 0.5) for source in ("there", "here")]
    assert [there, here] == [
        case.images.radiograph for case in render_stored(Stub(), alone, rows, side=64, megabytes=1)
    ]
    with pytest.raises(ValueError, match="1.png: was evaluated, but is not in this data set"):
        render_stored(Stub(), held, [two[0] | {"source": "elsewhere"}], side=64, megabytes=1)


def test_a_finding_has_its_map_whether_or_not_there_are_lungs():
    class Blind(Stub):
        def predict(self, images):
            for diagnosis in super().predict(images):
                yield diagnosis._replace(lung_mask=np.zeros_like(diagnosis.lung_mask))

    rows = [row("0.png", "normal", "viral", 0.5), row("1.png", "normal", "", float("nan"))]
    pictures = [case.images for case in render_stored(Blind(), hold(2, 64), rows, side=64, megabytes=1)]
    assert pictures[0].saliency and pictures[0].lungs == "" and pictures[1].saliency == ""


def test_an_outline_runs_where_the_mask_ends():
    mask = np.zeros((50, 50), bool)
    mask[10:20, 5:40] = True
    numbers = np.array(re.findall(r"([\d.]+),([\d.]+)", cases.svg_path(mask)), float)
    np.testing.assert_allclose(numbers.min(0), (11, 21), atol=0.11)  # the middle of pixels 5 and 10, of 50
    np.testing.assert_allclose(numbers.max(0), (79, 39), atol=0.11)
    assert cases.svg_path(np.zeros((50, 50), bool)) == ""


def test_what_lies_in_the_run_is_read_and_a_broken_file_is_named(tmp_path, monkeypatch):
    config = default_config()
    config.task, config.classifier.classes, config.training.metric = "classify", CLASSES, "macro_f1"
    (tmp_path / "config.json").write_text(config.to_json())
    with pytest.raises(Exception, match="not evaluated yet; --mode=evaluate --split=test"):
        inputs.gather_inputs(tmp_path, "test", None)
    folder = tmp_path / "evaluation" / "test"
    folder.mkdir(parents=True)
    columns = predictions_csv.classification_columns(CLASSES)
    predictions_csv.write(folder / "predictions.csv", ROWS, columns)
    (folder / "metrics.json").write_text(json.dumps({"all": {}}))
    with pytest.raises(Exception, match="older cxrjax; --mode=rescore"):
        inputs.gather_inputs(tmp_path, "test", None)
    (folder / "metrics.json").write_text(json.dumps({"all": {}, "subgroups": {}}))
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 5, "epoch": 1, "val/macro_f1": 0.5}\n{"step": 9, "epoch": 2, "val/macro_f1": 0.4}\n{"ep'
    )
    labels = ["normal", *["viral"] * 3]
    patients = ["p1", f"study-{'0a' * 12}", "", ""]
    told = zip(labels, patients, strict=True)
    stored = [{"source": "here", "label": label, "patient_id": patient} for label, patient in told]
    monkeypatch.setattr(tfds_store, "iter_records", lambda directory, split: stored)
    monkeypatch.setattr(tfds_store, "list_splits", lambda directory: ["train"])
    for name, value in (("read_report", {}), ("read_card", None), ("dataset_name", "clinic")):
        monkeypatch.setattr(tfds_store, name, lambda directory, value=value: value)
    found = inputs.gather_inputs(tmp_path, "test", None)
    assert found.best_epoch["epoch"] == 1 and found.rows[3]["path"] == HOSTILE
    assert found.training_data is found.evaluation_data and found.training_data.label_counts == {
        "train": Counter(viral=3, normal=1)
    }
    assert (found.training_data.without_patient, found.training_data.num_radiographs) == (3, 4)
    assert found.chance == baselines.chance_level(["viral"] * 3 + ["normal"], [each["label"] for each in ROWS], CLASSES)
    (tmp_path / "saliency" / "test").mkdir(parents=True)
    (tmp_path / "saliency" / "test" / "saliency_metrics.json").write_text("{")
    with pytest.raises(ValueError, match=r"saliency_metrics\.json: it is damaged"):
        inputs.gather_inputs(tmp_path, "test", None)


@pytest.mark.parametrize(
    ("without", "said", "unsaid"),
    [
        (0, "has a patient id; a patient in two splits is an error", "not known"),
        (9, "9 of 146 radiographs of <bdi>clinic</bdi> have no patient id: those of one patient", "Every radiograph"),
        (146, "patients of <bdi>clinic</bdi> are not known: radiographs of one patient may", "is an error"),
    ],
)
def test_what_is_said_of_patients_and_splits_is_true(found, without, said, unsaid):
    held = HERE._replace(without_patient=without)
    text = page(found._replace(training_data=held, evaluation_data=held))
    assert said in text and unsaid not in text
    unknown = found._replace(scores=found.scores | {"without_patient": 40})
    assert "40 radiographs, patients not known, the test split" in page(unknown)
    assert "40 radiographs of 37 patients, the test split" in page(found)


def test_only_what_is_of_the_same_data_is_joined(tmp_path, monkeypatch):
    """Two data sets in one folder: the second's scores stand beside no audit of the first, by whatever path."""
    for name in ("clinic", "elsewhere"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "dataset_info.json").touch()
    monkeypatch.setattr(tfds_store, "dataset_name", lambda directory: directory.rstrip("/").split("/")[-1])
    stored = [{"source": "here", "label": "normal", "patient_id": "p1"}]
    monkeypatch.setattr(tfds_store, "iter_records", lambda directory, split: stored)
    monkeypatch.setattr(tfds_store, "list_splits", lambda directory: ["train"])
    config = default_config()
    config.task, config.classifier.classes, config.data.dir = "classify", CLASSES, f"{tmp_path}/data/clinic"
    (tmp_path / "config.json").write_text(config.to_json())
    for name in ("test", "elsewhere-test"):
        folder = tmp_path / "evaluation" / name
        folder.mkdir(parents=True)
        predictions_csv.write(folder / "predictions.csv", ROWS, predictions_csv.classification_columns(CLASSES))
        (folder / "metrics.json").write_text(json.dumps({"all": {"of": name}, "subgroups": {}}))
    for path in ("audit/test/audit.json", "maps/test/checks.json", "morphology/test/differences.json"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("{}")
    for directory in (None, f"{tmp_path}/data/clinic/", f"{tmp_path}/data/../data/clinic"):
        own = inputs.gather_inputs(tmp_path, "test", directory)
        assert not own.is_external and (own.audit, own.maps, own.morphometry) == ({}, {}, {})
    other = inputs.gather_inputs(tmp_path, "test", f"{tmp_path}/data/elsewhere/")
    assert (
        other.is_external and other.scores["all"] == {"of": "elsewhere-test"} and other.training_data.name == "clinic"
    )
    assert (other.audit, other.maps, other.morphometry) == (None, None, None)
    assert other.file("evaluation", "x") == tmp_path / "evaluation" / "elsewhere-test" / "x"
    shutil.rmtree(tmp_path / "data" / "clinic")
    gone = inputs.gather_inputs(tmp_path, "test", f"{tmp_path}/data/elsewhere")
    assert gone.training_data is None and gone.chance == other.chance  # the run keeps what it was trained on, counted


def test_without_an_audit_the_first_sentence_is_what_the_source_alone_reaches(found):
    auroc = {"auroc": estimate(0.9, 0.85, 0.95), "f1": estimate(0.8, 0.7, 0.9)}
    for reached, sentence in (
        (0.71, "The label goes with the collection: a guess that never sees the radiograph reaches 0.71 of 0.90."),
        (0.69, "On 5 radiographs the network reaches 0.90, where chance is 0.50; by the disease or by a shortcut was"),
    ):
        scores = found.scores | {"all": found.scores["all"] | {"macro": found.scores["all"]["macro"] | auroc}}
        source = {"auroc": estimate(reached, 0.6, 0.8), "f1": estimate(0.4, 0.3, 0.5)}
        scores["source_baseline"] = scores["source_baseline"] | {"macro": scores["source_baseline"]["macro"] | source}
        text = page(found._replace(scores=scores))
        assert f"<h1>{sentence}" in text and "No audit was made." in text


def test_one_source_has_no_baseline_and_equal_thresholds_are_one_row(found):
    point = {"threshold": 0.4, "sensitivity": estimate(0.5, 0.4, 0.6), "specificity": estimate(0.9, 0.8, 0.95)}
    scores = found.scores | {"operating_points": {"viral": {"at_specificity": point, "at_sensitivity": point}}}
    text = page(found._replace(scores=scores, rows=[each | {"source": "here"} for each in ROWS]))
    assert table(text, "Scores of the network")[0] == ["score", "network", "chance", "0 to 1"]
    assert [line[1] for line in table(text, "Thresholds chosen")[1:]] == ["at specificity and at sensitivity"]


def test_predictions_below_the_threshold_are_called_undecided(found):
    rows = [each | {"decision": "decided" if each["confidence"] >= 0.5 else "undecided"} for each in ROWS]
    rows[2]["decision"] = ""  # there is no prediction
    calibration = {"split": "val", "target": 0.9, "min_confidence": 0.5, "temperature": 1.0}
    text = page(found._replace(rows=rows, calibration=calibration, min_confidence=0.5))
    assert "1 of 4 predictions are undecided: their confidence is below 50%" in text
    assert "Of the others, 67% are correct." in text


def test_axe_finds_no_fault(found, tmp_path):
    """Of the rules of axe-core, read from AXE_CORE or the global packages of npm; light and dark, wide and narrow."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    npm = shutil.which("npm")
    if not browser or not npm:
        pytest.skip("Chromium or npm is not installed")
    root = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=True).stdout.strip()
    axe = Path(os.environ.get("AXE_CORE", f"{root}/axe-core")) / "axe.min.js"
    if not axe.exists():
        pytest.skip("axe-core is not installed: npm install -g axe-core, or set AXE_CORE to its folder")
    text = page(found._replace(audit=AUDIT))
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    report = "axe.run().then(r => document.title = JSON.stringify(r.violations.map(v => [v.id, v.nodes[0].html])))"
    for theme, width in (("light", 1280), ("dark", 1280), ("light", 600)):
        themed = text.replace("<html", f'<html data-theme="{theme}"', 1)
        (tmp_path / "page.html").write_text(f"{themed}<script>{axe.read_text()}</script><script>{report}</script>")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
        command += ["--virtual-time-budget=20000", "--dump-dom", f"file://{tmp_path}/page.html"]
        dom = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        title = re.search(r"<title>(.*?)</title>", dom, re.S)
        assert title and html.unescape(title[1]) == "[]", (theme, width)
