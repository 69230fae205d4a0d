"""The report of a run of several findings: its tables, worst cases and checklists."""

import re

from cxrjax.report import cases, finding_table, overview, render
from tests.helpers.finding_rows import FINDINGS


def view(rows, number):
    return [cases.CaseView(row, None, k) for k, row in enumerate(cases.sort_worst_first(rows)[:number], 1)]


def test_every_finding_is_a_row_sorted_by_its_auroc(found_findings, rows):
    text = render.render("index.html", found_findings, view(rows, 5)).decode()
    table = text[text.index('id="findings"') : text.index("</table>", text.index('id="findings"'))]
    names = re.findall(r'<th[^>]*scope="row">([^<]+)</th>', table)
    aurocs = {name: s["auroc"]["value"] for name, s in found_findings.scores["all"]["classes"].items()}
    best = sorted(FINDINGS, key=lambda name: -(aurocs[name] or -1))
    assert names == best and names[-1] == "Hernia"
    assert 'data-table="findings"' in text and "source alone" in table
    assert "Label (rows) by prediction (columns)" not in text  # of one label alone


def test_scores_of_the_first_table_are_macro_scores(found_findings):
    titles = [title for title, *_ in render.headline(found_findings)]
    assert titles == ["macro AUROC", "macro average precision", "macro F1"]
    sentence = overview.summarize(found_findings).sentence
    assert f"{found_findings.scores['all']['macro']['auroc']['value']:.2f}" in sentence


def test_the_model_card_lists_every_finding(found_findings, rows):
    card = render.render("model_card.md", found_findings, view(rows, 0)).decode()
    assert all(f"| {name} |" in card for name in FINDINGS)
    checklist = render.render("checklist.md", found_findings, view(rows, 0)).decode()
    assert "by finding" in checklist and "confusion" not in checklist


def test_worst_case_has_the_largest_error_of_known_findings(rows):
    worst = cases.sort_worst_first(rows)[0]
    known = [(row, name) for row in rows for name in FINDINGS if row[f"target_{name}"] >= 0]
    errors = {(row["path"], name): abs(row[f"target_{name}"] - row[f"probability_{name}"]) for row, name in known}
    lost = [path for (path, _), error in errors.items() if error != error]  # without a prediction
    assert worst["path"] in lost or worst["path"] == max(errors, key=errors.__getitem__)[0]
    right = cases.CaseView(next(row for row in rows if not cases.is_wrong(row)), None, 1)
    assert right.errors == [] and not right.is_wrong


def test_uncertain_finding_is_not_an_error(rows):
    row = next(row for row in rows if row["target_Edema"] == -1 and "Edema" in row["prediction"])
    assert "Edema" not in cases.CaseView(row, None, 1).errors
    assert [render.format_truth(x) for x in (1.0, 0.0, -1.0, float("nan"), 0.67)] == [
        "yes",
        "no",
        "uncertain",
        "–",
        "67%",
    ]


def test_controls_of_the_audit_are_listed_by_finding(found_findings):
    number = {"value": 0.6, "interval": [0.5, 0.7], "n": 9}
    entry = {"title": "source alone", "model": "metadata", "category": "shortcut"}
    controls = [
        entry | {"classes": {"Edema": {"auroc": number}}},
        entry | {"classes": {}},
        entry | {"category": "check"},
    ]
    controls[2]["classes"] = {"Edema": {"auroc": number}}
    listed = finding_table.list_controls(found_findings._replace(audit={"experiments": controls}))
    assert [(control.title, control.by_finding) for control in listed] == [("source alone", {"Edema": number})]
