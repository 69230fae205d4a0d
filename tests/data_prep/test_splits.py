"""Splits by patient: ratios worked out by hand, no patient in two splits, and few changes if a patient is added."""

from collections import Counter
from pathlib import Path

import pytest

from data_prep import splits
from data_prep.record import PreparationError, Record

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def draw_rows(count: int, label: str, source: str = "a", images: int = 1) -> list[Record]:
    """Return `count` patients with `images` radiographs each."""
    return [
        Record(f"{source}/{label}/{i}-{k}.png", label=label, source=source, patient_id=f"{source}-{label}-{i}")
        for i in range(count)
        for k in range(images)
    ]


def split_by_id(plan: dict[str, list[Record]]) -> dict[str, str]:
    return {row.id: split for split, rows in plan.items() for row in rows}


def test_each_label_of_each_source_is_divided():
    rows = draw_rows(20, "viral") + draw_rows(10, "normal") + draw_rows(30, "normal", "b", images=2)
    plan = splits.assign_splits(rows, SHARES, seed=0)
    counts = {split: Counter((row.label, row.source) for row in kept) for split, kept in plan.items()}
    assert counts["train"] == {("viral", "a"): 14, ("normal", "a"): 7, ("normal", "b"): 42}
    assert counts["val"] == {("viral", "a"): 2, ("normal", "a"): 1, ("normal", "b"): 6}
    assert counts["test"] == {("viral", "a"): 4, ("normal", "a"): 2, ("normal", "b"): 12}


def test_a_patient_is_in_one_split_even_with_two_labels():
    rows = draw_rows(30, "viral", images=3) + [
        Record(f"later/{i}.png", label="normal", source="a", patient_id=f"a-viral-{i}") for i in range(10)
    ]
    plan = splits.assign_splits(rows, SHARES, seed=1)
    splits_of: dict[str, set[str]] = {}
    for split, kept in plan.items():
        for row in kept:
            splits_of.setdefault(row.patient_id, set()).add(split)
    assert len(splits_of) == 30 and all(len(split_names) == 1 for split_names in splits_of.values())
    assert sum(map(len, plan.values())) == len(rows)


def test_splits_depend_on_the_seed_only():
    rows = draw_rows(50, "viral")
    assert split_by_id(splits.assign_splits(rows, SHARES, 3)) == split_by_id(
        splits.assign_splits(rows[::-1], SHARES, 3)
    )
    assert split_by_id(splits.assign_splits(rows, SHARES, 3)) != split_by_id(splits.assign_splits(rows, SHARES, 4))


def test_one_more_patient_moves_few_others():
    before = split_by_id(splits.assign_splits(draw_rows(200, "viral"), SHARES, 0))
    after = split_by_id(splits.assign_splits(draw_rows(201, "viral"), SHARES, 0))
    assert sum(after[name] != split for name, split in before.items()) <= 4


def test_fixed_split_applies_to_all_images_of_the_patient():
    rows = [
        Record("a.png", patient_id="p1", split="test"),
        Record("b.png", patient_id="p1"),
        *(Record(f"{i}.png", patient_id=f"q{i}", split="train|val") for i in range(8)),
    ]
    plan = splits.assign_splits(rows, SHARES, 0)
    assert [row.id for row in plan["test"]] == ["a.png", "b.png"]
    assert {split: len(kept) for split, kept in plan.items()} == {"train": 7, "val": 1, "test": 2}


def test_patient_fixed_to_two_splits_is_refused_by_name():
    rows = [Record("a.png", patient_id="p1", split="train|val"), Record("b.png", patient_id="p1", split="test")]
    with pytest.raises(PreparationError, match=r"patient p1 is in two splits, train\|val and test"):
        splits.assign_splits(rows, SHARES, 0)


def test_radiographs_without_a_patient_count_as_patients():
    plan = splits.assign_splits([Record(f"{i}.png") for i in range(10)], SHARES, 0)
    assert {split: len(kept) for split, kept in plan.items()} == {"train": 7, "val": 1, "test": 2}


def test_folds_are_equal_and_by_patient():
    plan = splits.assign_splits(draw_rows(25, "viral", images=2), splits.name_folds(5), 0)
    assert {split: len(kept) for split, kept in plan.items()} == {f"fold{k}": 10 for k in range(5)}
    assert len({(row.patient_id, split) for split, kept in plan.items() for row in kept}) == 25


def test_table_of_splits_can_be_read_back(tmp_path):
    rows = draw_rows(20, "viral", images=2)
    plan = splits.assign_splits(rows, SHARES, 0)
    (tmp_path / "splits.csv").write_text(splits.format_table(plan))
    bound, left = splits.assign_fixed_splits(rows, splits.read_table(tmp_path / "splits.csv"))
    assert not left and split_by_id(splits.assign_splits(bound, SHARES, seed=99)) == split_by_id(plan)


def test_table_of_patients_skips_other_patients(tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text("patient_id,split\np1,test\np2,train\n")
    rows = [Record("a", patient_id="p1"), Record("b", patient_id="p2"), Record("c", patient_id="p3")]
    kept, left = splits.assign_fixed_splits(rows, splits.read_table(table), required_by="mine.csv")
    assert [(row.id, row.split) for row in kept] == [("a", "test"), ("b", "train")]
    assert left == [("c", "in no split of mine.csv")]
    kept, left = splits.assign_fixed_splits(rows, splits.read_table(table))
    assert [row.split for row in kept] == ["test", "train", ""] and not left


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("id,patient_id,split\na,p,train\nb,p,test\n", "patient p is in two splits, train and test"),
        ("id,fold\na,1\n", "columns split, and id or patient_id"),
        (None, "No such file"),
    ],
)
def test_invalid_table_is_refused_by_name(tmp_path: Path, content, sentence):
    table = tmp_path / "splits.csv"
    if content is not None:
        table.write_text(content)
    with pytest.raises(PreparationError, match=sentence):
        splits.read_table(table)


@pytest.mark.parametrize("ratios", [(0.5, 0.5), (0.5, 0.6, -0.1), (0.5, 0.2, 0.2)])
def test_ratios_that_do_not_sum_to_1_are_refused(ratios):
    with pytest.raises(PreparationError, match="three ratios"):
        splits.name_ratios(ratios)
    assert splits.name_ratios((0.6, 0.2, 0.2)) == {"train": 0.6, "val": 0.2, "test": 0.2}


def test_ratios_are_written_as_the_command_line_takes_them():
    assert [splits.format_ratios(ratios) for ratios in ((0.7, 0.1, 0.2), (1.0, 0.0, 0), ())] == [
        "0.7,0.1,0.2",
        "1,0,0",
        "",
    ]
