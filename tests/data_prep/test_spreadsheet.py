"""Tables of collections, in Excel and CSV."""

import zipfile

import pytest

from data_prep import splits
from data_prep.collections.spreadsheet import read_csv, read_xlsx
from data_prep.record import PreparationError
from tests.data_prep.fixtures.covid_radiography import write_xlsx


def test_csv_and_excel_give_the_same_rows(tmp_path):
    write_xlsx(tmp_path / "a.xlsx", [("FILE NAME", "URL"), ("COVID-1", "https://a.org"), ("COVID-2", "")])
    (tmp_path / "a.csv").write_text("\ufeffFILE NAME,URL\nCOVID-1, https://a.org\nCOVID-2\n", encoding="utf-8")
    expected = [{"FILE NAME": "COVID-1", "URL": "https://a.org"}, {"FILE NAME": "COVID-2", "URL": ""}]
    assert read_xlsx(tmp_path / "a.xlsx", "URL") == read_csv(tmp_path / "a.csv", "URL") == expected


@pytest.mark.parametrize("read", [read_csv, read_xlsx])
def test_unreadable_table_is_one_sentence_with_its_name(read, tmp_path):
    with pytest.raises(PreparationError, match=r"gone\.x: no such file"):
        read(tmp_path / "gone.x")
    (tmp_path / "other.x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PreparationError, match=r"other\.x: not a .*file"):
        read(tmp_path / "other.x")


def test_missing_column_is_named(tmp_path):
    write_xlsx(tmp_path / "a.xlsx", [("FILE NAME",), ("COVID-1",)])
    with pytest.raises(PreparationError, match=r"a\.xlsx: it has no column URL"):
        read_xlsx(tmp_path / "a.xlsx", "URL")


def change_zip(data: bytes, kind: str) -> bytes:
    """Return an Excel file that is truncated, encrypted, compressed by an unknown method, or does not decompress."""
    at, size = data.index(b"PK\x01\x02"), len(data)
    flags, method, local = at + 8, at + 10, 6
    if kind == "cut":
        return data[: size // 2]
    changed = bytearray(data)
    if kind == "encrypted":
        changed[flags] |= 1
        changed[local] |= 1
    elif kind == "unknown":
        changed[method] = changed[8] = 99
    else:
        changed[60 : at - 40] = bytes(0xA5 ^ byte for byte in changed[60 : at - 40])
    return bytes(changed)


@pytest.mark.parametrize("kind", ["cut", "encrypted", "unknown", "garbled"])
def test_damaged_excel_file_is_one_sentence(tmp_path, kind):
    write_xlsx(tmp_path / "a.xlsx", [("FILE NAME", "URL"), *(("COVID-1", f"https://a.org/{k}") for k in range(40))])
    path = tmp_path / "b.xlsx"
    path.write_bytes(change_zip((tmp_path / "a.xlsx").read_bytes(), kind))
    with pytest.raises(PreparationError, match=r"b\.xlsx: not a readable Excel file"):
        read_xlsx(path, "URL")


def test_excel_file_that_unpacks_to_too_much_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/worksheets/sheet1.xml", b" " * (33 << 20))
    with pytest.raises(PreparationError, match="not a readable Excel file"):
        read_xlsx(tmp_path / "bomb.xlsx", "URL")


def test_too_long_cell_is_one_sentence(tmp_path):
    (tmp_path / "a.csv").write_text("URL\n" + "a" * 200_000)
    with pytest.raises(PreparationError, match=r"a\.csv: not a CSV file"):
        read_csv(tmp_path / "a.csv", "URL")
    (tmp_path / "splits.csv").write_text("id,split\na,train\nb," + "a" * 200_000)
    with pytest.raises(PreparationError, match=r"splits\.csv: not a CSV file"):
        splits.read_table(tmp_path / "splits.csv")
