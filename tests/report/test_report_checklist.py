"""Model card and checklists of a report: the method, and the items left to authors."""

import html
import re

import pytest

from cxrjax.report import description, render
from tests.helpers.report_page import AUDIT, PICTURE, answers, estimate, page, scores_of, shown


def test_checklists_have_every_item_and_leave_some_to_authors(found):
    written = render.render("checklist.md", found, shown()).decode()
    claim, tripod = written.split("## TRIPOD+AI")
    lines = re.findall(r"^\| (\w+) \| [^|]+ \| ([^|]+) \|$", claim, re.M)
    assert [number for number, _ in lines if number != "item"] == [str(k) for k in range(1, 45)]
    answers = dict(lines)
    assert all("to be filled in" in answers[number] for number in ("2", "5", "14", "34", "44"))
    assert "here" in answers["7"] and "Epoch 7" in answers["26"] and "2000" in answers["29"]
    numbers = [number for number in re.findall(r"^\| (\w+) \|", tripod, re.M) if number != "item"]
    assert len(numbers) == 52 and {re.match(r"\d+", number)[0] for number in numbers} == set(map(str, range(1, 28)))


def test_limitations_are_the_claims_that_the_data_cannot_support(found):
    found = found._replace(audit=AUDIT)
    assert answers(found)["26"] == answers(found, "CLAIM")["40"] == "These data cannot support: that any is seen."
    card = render.render("model_card.md", found, shown()).decode()
    assert "These data cannot support:\n\n- that any is seen" in card


def test_only_finished_controls_are_listed_with_their_model(found):
    twins = [AUDIT["experiments"][0] | {"name": n, "title": "background alone", "model": by}
             for n, by in (("background", "small network"), ("background_network", "network"))]  # fmt: skip
    answer = answers(found._replace(audit=AUDIT | {"experiments": AUDIT["experiments"] + twins}), "CLAIM")["30"]
    assert "Border" not in answer and "Source alone (metadata)" in answer
    assert "background alone (small network), background alone (network)" in answer


@pytest.mark.parametrize(
    "changed, present, absent",
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
def test_method_text_follows_the_settings(found, changed, present, absent):
    found.config.update_from_flattened_dict(changed)
    card, checklist = (
        html.unescape(render.render(name, found, shown()).decode()) for name in ("model_card.md", "checklist.md")
    )
    for text in present:
        assert text in card and text in checklist
    for text in absent:
        assert text not in card and text not in checklist
    assert description.describe_method(found.config).classifier_input in html.unescape(page(found))


def test_report_without_a_segmenter_does_not_mention_lungs(found):
    found.config.update_from_flattened_dict({"patches.mode": "global", "patches.mask_lungs": False})
    text = page(found, PICTURE._replace(lungs=""))
    assert "No lungs" not in text and "patches" not in re.search(r"<dialog.*</dialog>", text, re.S)[0]
    assert text.count("<figcaption>Map: evidence for") == text.count("<dialog")
    found.config.segmenter.workdir = "runs/lungs"
    assert "No lungs found" in page(found, PICTURE._replace(lungs=""))


def test_checklist_lists_the_computed_metrics(found):
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
