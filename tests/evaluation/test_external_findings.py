"""Several findings on collections of another data set: areas worked out by hand, and pooled ones that flatter."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxrjax.evaluation import external, external_findings, external_tables
from cxrjax.io import predictions_csv
from cxrjax.runs import provenance
from tests.helpers import finding_rows


def draw(source, prevalence, skill, seed, n=150, offset=0.0):
    """Rows whose logit is `skill` standard deviations higher with an edema, and `offset` higher in this source."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        edema = float(rng.random() < prevalence)
        p = {"Edema": 1 / (1 + np.exp(-(skill * edema + offset + rng.normal()))), "Hernia": 0.1}
        row = {"path": f"{source}{i}.png", "patient_id": f"{source}{i // 2}", "source": source, "status": "ok"}
        row |= {"target_Edema": edema if i % 10 else -1.0, "target_Hernia": float(i == 3), "num_patches": 1}
        row |= {f"probability_{name}": value for name, value in p.items()} | {"votes_Edema": 0, "votes_Hernia": 0}
        rows.append(row | {"prediction": "Edema" if p["Edema"] > 0.5 else "no finding", "label": ""})
    return rows


def area(rows):
    known = [row for row in rows if row["target_Edema"] >= 0]
    return roc_auc_score([row["target_Edema"] for row in known], [row["probability_Edema"] for row in known])


def test_a_network_that_tells_collections_apart_has_a_high_pooled_area_alone():
    own = draw("own", 0.5, 2.5, 0)
    many = draw("many", 0.85, 0.3, 1, offset=3.0)
    few = draw("few", 0.15, 0.3, 2)
    result = external_findings.assess([*many, *few], own, "test", resamples=200)
    groups = result["collections"]
    for name, rows in (("many", many), ("few", few)):
        assert groups[name]["classes"]["Edema"]["auroc"]["value"] == pytest.approx(area(rows))
        assert groups[name]["verdict"] == "falls" and set(groups[name]["classes"]) == {"Edema"}
        assert groups[name]["small"] == {"Hernia": [149, 1]}
        change = area(rows) - area(own)
        assert groups[name]["difference"]["classes"]["Edema"]["auroc"]["value"] == pytest.approx(change)
    assert result["pooled"]["auroc"]["value"] == pytest.approx(area([*many, *few]))
    assert result["own"]["auroc"]["value"] == pytest.approx(area(own))
    within = (area(many) + area(few)) / 2
    assert result["within"]["within"]["value"] == pytest.approx(within)
    assert "comes from differences between the collections. The network falls in few" in result["sentence"]
    text = external_tables.format_findings(result)
    assert result["sentence"] in text and "| few | Edema |" in text and "radiographs with or without Hernia" in text


def test_a_network_that_transfers_holds_and_nothing_is_said_of_differences():
    own = draw("own", 0.5, 3.0, 0, n=400)
    result = external_findings.assess(draw("one", 0.3, 3.0, 1, n=400), own, "test", resamples=200)
    assert result["sentence"].startswith("It holds in one (mean AUROC 0.9")
    assert result["sentence"].count(".") == 2


def test_without_the_own_split_or_enough_radiographs_that_is_said():
    rows = draw("one", 0.3, 2.0, 1)
    alone = external_findings.assess(rows, [], "test", resamples=20)
    assert alone["own"] == {} and "the own split was not evaluated" in alone["sentence"]
    assert "too few" in alone["collections"]["one"]["verdict"]
    assert "nothing can be said" in external_findings.assess(rows[:12], [], "test", resamples=20)["sentence"]
    assert "| one |" in external_tables.format_findings(alone)


def test_an_evaluation_on_another_data_set_writes_the_result(tmp_path, monkeypatch):
    assess = external_findings.assess
    monkeypatch.setattr(external_findings, "assess", lambda *rows: assess(*rows, resamples=20))
    for name, seed in (("test", 1), ("other-test", 2)):
        folder = finding_rows.write(tmp_path, finding_rows.draw_rows(seed), name)
        provenance.write(folder, provenance.Provenance(name.removesuffix("-test"), "test", 7))
        assert external.assess_run(tmp_path, name) is None
        assert (folder / external_findings.FILE).exists() == (name != "test")
    result = external.read(tmp_path, "other-test", external_findings.FILE)
    assert result == json.loads((folder / external_findings.FILE).read_text())
    assert set(result["collections"]) == {"a", "b"} and result["own"]["n"] == len(predictions_csv.read(
        tmp_path / "evaluation" / "test" / "predictions.csv"
    ))  # fmt: skip
