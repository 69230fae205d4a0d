"""Tables that come with a collection, as Excel and others write them."""

import pytest

from data_prep.covid_radiography.dummy import write_xlsx
from data_prep.row import CannotPrepare
from data_prep.upstream.sheets import read_csv, read_xlsx


def test_both_kinds_say_the_same(tmp_path):
    write_xlsx(tmp_path / "a.xlsx", [("FILE NAME", "URL"), ("COVID-1", "https://a.org"), ("COVID-2", "")])
    (tmp_path / "a.csv").write_text("\ufeffFILE NAME,URL\nCOVID-1, https://a.org\nCOVID-2\n", encoding="utf-8")
    expected = [{"FILE NAME": "COVID-1", "URL": "https://a.org"}, {"FILE NAME": "COVID-2", "URL": ""}]
    assert read_xlsx(tmp_path / "a.xlsx", "URL") == read_csv(tmp_path / "a.csv", "URL") == expected


@pytest.mark.parametrize("read", [read_csv, read_xlsx])
def test_what_cannot_be_read_is_one_sentence_that_names_it(read, tmp_path):
    with pytest.raises(CannotPrepare, match=r"gone\.x: no such file"):
        read(tmp_path / "gone.x")
    (tmp_path / "other.x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CannotPrepare, match=r"other\.x: not a .*file"):
        read(tmp_path / "other.x")


def test_a_column_that_is_missing_is_named(tmp_path):
    write_xlsx(tmp_path / "a.xlsx", [("FILE NAME",), ("COVID-1",)])
    with pytest.raises(CannotPrepare, match=r"a\.xlsx: it has no column URL"):
        read_xlsx(tmp_path / "a.xlsx", "URL")
