"""Damaged archives, decompression bombs and archives with paths outside their folder are refused in one sentence."""

import bz2
import io
import tarfile
import zipfile

import pytest

from data_prep.download import archive
from data_prep.record import PreparationError


def make_zip(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, content in files.items():
            pack.writestr(name, content)
    return packed.getvalue()


def make_tar(suffix: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=f"w:{suffix}") as pack:
        member = tarfile.TarInfo("a.txt")
        member.size = len(content)
        pack.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def mutate(data: bytes, seed: int) -> bytes:
    """Change one byte in sixteen of the second half, which contains the directory of a zip file."""
    half = len(data) // 2
    return data[:half] + bytes(
        (byte + seed + at) % 256 if (at + seed) % 16 == 0 else byte for at, byte in enumerate(data[half:])
    )


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.tar"])
def test_damaged_archive_is_refused_or_unpacked(tmp_path, name):
    content = bytes(range(256)) * 8
    made = (
        make_zip(**{"a.txt": content, "b/\u00e9.txt": content})
        if name == "a.zip"
        else make_tar(name[6:] or "", content)
    )
    path = tmp_path / name
    outcomes = set()
    for seed in range(60):
        path.write_bytes(mutate(made, seed) if seed else made)
        try:
            archive.unpack(path, tmp_path / f"out{seed}")
            outcomes.add("unpacked")
        except PreparationError as error:
            assert str(error).startswith(name)
            outcomes.add("refused")
    assert "unpacked" in outcomes and ("refused" in outcomes or name == "a.tar")
    assert {one.name for one in tmp_path.iterdir()} <= {name, *(f"out{seed}" for seed in range(60))}


def test_known_damaged_archives(shared, tmp_path):
    sample = shared / "faults" / "inputs" / "archive_IndexError.zip"
    if not sample.is_file():
        pytest.skip("the shared data has no damaged archive")
    with pytest.raises(PreparationError, match="damaged"):
        archive.unpack(sample, tmp_path)


def test_decompression_bomb_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_ALLOWANCE", 1 << 20)
    path = tmp_path / "bomb.zip"
    path.write_bytes(make_zip(**{"a.txt": bytes(20 << 20)}))
    with pytest.raises(PreparationError, match="unpacks to over 100 times its size"):
        archive.unpack(path, tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").stat().st_size < 5 << 20


def test_broken_stream_without_errno_is_reported_as_damage(tmp_path):
    path = tmp_path / "a.tar.bz2"
    made = bytearray(bz2.compress(make_tar("", bytes(range(256)) * 400)))
    made[len(made) // 2] ^= 0xFF
    path.write_bytes(made)
    with pytest.raises(PreparationError, match=r"a\.tar\.bz2: not an archive"):
        archive.unpack(path, tmp_path / "out")
