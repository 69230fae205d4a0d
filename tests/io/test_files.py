"""Listings of folders: links, hidden names, names of any bytes, and skipped files."""

import os
import socket

import pytest

from cxrjax.io.files import HIDDEN, list_files
from cxrjax.io.radiograph import ImageReadError

DICOM = bytes(128) + b"DICM" + bytes(40)
DICOMDIR = bytes(128) + b"DICM" + bytes(40) + b"\x02\x00UI\x14\x001.2.840.10008.1.3.10\0"


def names(root):
    return [path.relative_to(root).as_posix() for path in list_files(root).radiographs]


def reasons(root):
    return {path.relative_to(root).as_posix(): reason for path, reason, _ in list_files(root).skipped_files}


def fill(root, *files):
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_radiographs_are_recognized_by_suffix_or_dicom_magic(tmp_path):
    fill(tmp_path, "b/c.jpeg", "a.PNG", "b/short")
    (tmp_path / "b" / "1.2.840.77").write_bytes(DICOM)
    (tmp_path / "DICOMDIR").write_bytes(DICOM)
    (tmp_path / "index").write_bytes(DICOMDIR)
    assert names(tmp_path) == ["a.PNG", "b/1.2.840.77", "b/c.jpeg"]
    assert list_files(tmp_path / "b" / "short").radiographs == [tmp_path / "b" / "short"]
    index = "an index of DICOM files"
    assert reasons(tmp_path) == {"DICOMDIR": index, "index": index, "b/short": "not an image"}
    with pytest.raises(ImageReadError, match=r"index: an index of DICOM files \(DICOMDIR\)"):
        list_files(tmp_path / "index")


def test_unsupported_formats_are_named(tmp_path):
    kinds = {
        "c.gif": "GIF",
        "d.npz": "NumPy .npz",
        "e.nii.gz": "NIfTI (save its slice, upright, as 16-bit PNG or .npy)",
        "f.jp2": "JPEG 2000",
    }
    fill(tmp_path, "z.png", "notes.txt", *kinds)
    (tmp_path / "picture").write_bytes(b"\x89PNG\r\n\x1a\n")
    found = reasons(tmp_path)
    assert found.pop("notes.txt") == "not an image"
    assert found.pop("picture") == "a PNG file with another suffix; rename it to .png"
    assert found == {
        name: f"{kind}, which is not supported "
        "(PNG, JPEG, TIFF, WebP, BMP, DICOM, NumPy .npy and JSRT .IMG are supported)"
        for name, kind in kinds.items()
    }


def test_linked_folders_are_entered_once(tmp_path):
    root = tmp_path / "in"
    fill(tmp_path, "in/a/1.png", "elsewhere/2.png", "elsewhere/deep/3.png")
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (root / "c").symlink_to(tmp_path / "elsewhere")  # once more
    (root / "0").symlink_to(root / "a")  # sorts before what it leads to
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "top").symlink_to("/")
    (tmp_path / "elsewhere" / "deep" / "back").symlink_to(tmp_path / "elsewhere")
    (root / "file.png").symlink_to(root / "a" / "1.png")
    assert names(root) == ["a/1.png", "b/2.png", "b/deep/3.png", "file.png"]
    assert list_files(root).folders == [root, root / "a", root / "b", root / "b" / "deep"]
    up, again = "a link to a folder that it lies in", "a link to a folder that is listed already"
    assert reasons(root) == {"0": again, "c": again, "a/up": up, "a/top": up, "b/deep/back": up}


def test_hidden_files_and_folders_are_skipped(tmp_path):
    fill(tmp_path, "a.png", ".b.png", ".git/c.png", "d/.ipynb_checkpoints/d.png")
    assert names(tmp_path) == ["a.png"]
    assert reasons(tmp_path) == dict.fromkeys([".b.png", ".git", "d/.ipynb_checkpoints"], HIDDEN)


def test_names_of_any_bytes_are_listed(tmp_path):
    raw = [b"\xe9t\xe9.png", b"line\nbreak.png", b"\x1b[31m.png", b"\xff\xfe/\x80.png", b"x" * 251 + b".png"]
    for name in raw:
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"x")
    assert {os.fsencode(path.relative_to(tmp_path)) for path in list_files(tmp_path).radiographs} == set(raw)


def test_files_that_are_not_regular_are_never_opened(tmp_path, monkeypatch):
    fill(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")  # to open it would wait for ever
    (tmp_path / "null.dcm").symlink_to("/dev/null")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        found = reasons(tmp_path)
    assert found.pop("loop.png").startswith("too many levels of symbolic links")
    assert found == {
        "pipe.png": "a named pipe",
        "null.dcm": "a device",
        "gone.png": "a broken link",
        "socket.png": "a socket",
    }
    assert {each.path.name for each in list_files(tmp_path).skipped_files if each.is_unopened} == {
        "gone.png",
        "loop.png",
    }
    with pytest.raises(ImageReadError, match=r"pipe.png: a named pipe, neither a file nor a folder"):
        list_files(tmp_path / "pipe.png")
    with pytest.raises(ImageReadError, match=r"gone.png: a broken link"):
        list_files(tmp_path / "gone.png")


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    fill(tmp_path, "a.png", "locked/b.png")
    scandir = os.scandir

    def refuse(folder):
        if folder.name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    (locked,) = list_files(tmp_path).skipped_files
    assert (locked.path.name, locked.reason) == ("locked", "a folder that cannot be opened: permission denied")
    assert locked.is_unopened


def test_path_without_radiographs_is_refused(tmp_path):
    with pytest.raises(ImageReadError, match=r"absent: no such file or folder"):
        list_files(tmp_path / "absent")
    with pytest.raises(ImageReadError, match=r"no radiograph in this folder$"):
        list_files(tmp_path)
    fill(tmp_path, "a.gif", "b.txt", ".DS_Store")
    with pytest.raises(ImageReadError, match=r"folder \(skipped: a.gif: GIF, .*, and 1 more\)$"):
        list_files(tmp_path)
