"""CSV and Excel: ids come back exactly as they went in."""

import csv
import io
import struct
import zlib

import numpy as np
import openpyxl
import pytest

from shoal.data import export
from shoal.data.export import write_csv, write_excel
from shoal.data.files import read_file
from shoal.errors import InputError, ShoalWarning

HAZARDS = ["007", "=A1", "+1", "-1", "@x", "SEPT2", "1e5", "http://x.y", "a,b", 'say "hi"', "two\nlines", " padded ", "Ünï",
           "NA", "0x1F", "'quoted'", "TRUE", "12345678901234567890"]


def png():
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b""))


def columns():
    n = len(HAZARDS)
    return {"id": HAZARDS, "cluster": np.arange(n), "x": np.linspace(0, 1, n), "flag": np.arange(n) % 2 == 0}


def test_csv_keeps_everything(tmp_path):
    path = tmp_path / "a.csv"
    write_csv(path, columns())
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "cluster", "x", "flag"]
    assert [row[0] for row in rows[1:]] == HAZARDS
    assert [float(row[2]) for row in rows[1:]] == columns()["x"].tolist()
    assert rows[1][3] == "true"
    again = read_file(path, id="id", columns=["cluster", "x"])
    assert again.ids == tuple(HAZARDS)
    np.testing.assert_array_equal(again.X[:, 1], columns()["x"])


def test_csv_details(tmp_path):
    write_csv(tmp_path / "a.tsv", {"id": ["a"], "x": [np.nan], "y": [None], "z": np.float32([0.1])})
    assert (tmp_path / "a.tsv").read_bytes() == b"id\tx\ty\tz\na\t\t\t0.10000000149011612\n"
    with pytest.raises(InputError, match="exists"):
        write_csv(tmp_path / "a.tsv", {"id": ["b"]})
    write_csv(tmp_path / "a.tsv", {"id": ["b"]}, force=True)
    with pytest.raises(InputError, match="equally long"):
        write_csv(tmp_path / "b.csv", {"id": ["b"], "x": []})
    assert not (tmp_path / "b.csv").exists()


def test_excel_types(tmp_path):
    path = tmp_path / "a.xlsx"
    write_excel(path, {"Items": columns() | {"odd": [np.nan, np.inf, None, 2**60] + [1.5] * (len(HAZARDS) - 4)}})
    sheet = openpyxl.load_workbook(path)["Items"]
    assert [cell.value for cell in sheet["A"]][1:] == HAZARDS
    assert {cell.data_type for cell in sheet["A"]} == {"s"}
    assert not any(cell.hyperlink for cell in sheet["A"])
    assert [cell.data_type for cell in sheet["B"]][1:] == ["n"] * len(HAZARDS)
    np.testing.assert_allclose([cell.value for cell in sheet["C"]][1:], columns()["x"], rtol=1e-15)
    assert sheet["D2"].value is True
    assert [sheet[f"E{k}"].value for k in (2, 3, 4, 5, 6)] == [None, "inf", None, str(2**60), 1.5]
    assert sheet["A1"].font.bold
    assert sheet.freeze_panes == "A2"
    assert sheet.column_dimensions["A"].width > 10


def test_excel_ids_come_back_through_the_reader(tmp_path):
    write_excel(tmp_path / "a.xlsx", {"Items": columns()})
    again = read_file(tmp_path / "a.xlsx", id="id", columns=["cluster", "x"])
    assert again.ids == tuple(HAZARDS)
    np.testing.assert_allclose(again.X[:, 1], columns()["x"], rtol=1e-15)


def test_sheet_names_are_made_to_fit(tmp_path):
    names = ["a/b:c*d?[e]\\f", "x" * 40, "X" * 40, "History", "history", "", "'q'"]
    write_excel(tmp_path / "a.xlsx", {name: {"x": [k]} for k, name in enumerate(names)})
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")
    assert book.sheetnames == ["a_b_c_d__e__f", "x" * 31, "X" * 27 + " (2)", "History (2)", "history (3)", "Sheet", "q"]
    assert [book[name]["A2"].value for name in book.sheetnames] == list(range(7))


def test_long_tables_go_on_over_further_sheets(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MAX_ROWS", 3)
    write_excel(tmp_path / "a.xlsx", {"Items": {"x": np.arange(7)}, "Empty": {"x": []}})
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")
    assert book.sheetnames == ["Items", "Items (2)", "Items (3)", "Empty"]
    assert [[cell.value for cell in book[name]["A"]] for name in book.sheetnames] == [
        ["x", 0, 1, 2], ["x", 3, 4, 5], ["x", 6], ["x"]]


def test_cells_that_are_too_long_are_cut_and_reported(tmp_path):
    with pytest.warns(ShoalWarning, match="1 cells"):
        write_excel(tmp_path / "a.xlsx", {"Items": {"id": ["y" * 40_000, "z" * 32_767]}})
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx")["Items"]
    assert sheet["A2"].value == "y" * 32_766 + "…"
    assert sheet["A3"].value == "z" * 32_767


def test_pictures_and_refusals(tmp_path):
    path = tmp_path / "a.xlsx"
    write_excel(path, {"Items": {"x": [1]}}, pictures={"Items": png(), "Tree": png()})
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["Items", "Tree"]
    assert [len(sheet._images) for sheet in book] == [1, 1]
    with pytest.raises(InputError, match="exists"):
        write_excel(path, {"Items": {"x": [1]}})
    with pytest.raises(InputError, match="equally long"):
        write_excel(path, {"Items": {"x": [1], "y": []}}, force=True)
    assert openpyxl.load_workbook(io.BytesIO(path.read_bytes())).sheetnames == ["Items", "Tree"]
