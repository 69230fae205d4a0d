"""The reader of untrusted files: a bad file gives a reason, and the next good file is read."""

import gc
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxrjax.io import decoding, radiograph, reader
from cxrjax.io.errors import ImageReadError
from cxrjax.io.limits import Limits
from cxrjax.io.reader import SafeReader

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
SCENE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (300, 200), dtype=np.uint8), (0, 0), 2)


def encode(form: str, *options: int, pixels: np.ndarray = SCENE) -> bytes:
    return cv2.imencode(form, pixels, options)[1].tobytes()


@pytest.fixture(scope="module")
def safe():
    with SafeReader(Limits(max_seconds=5, max_memory=2**30)) as safe:
        yield safe


# Each once crashed, took gigabytes or minutes, or had a name in its reason.
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("picture/apng_segv_radiograph.png", "an animated PNG, not one radiograph"),
        ("picture/headonly_32k.jpg", "too large: 32760 x 32760 pixels"),
        ("dicom/jls_16384.dcm", "too large: 16384 x 16384 pixels"),
        ("dicom/leak_7792.dcm", "unsupported pixel data: its transfer syntax is not one of DICOM's"),
        ("picture/png_356_bytes_4GB.png", "truncated or damaged PNG file"),
        ("dicom/rle_65535_empty.dcm", "too large: 65535 x 65535 pixels"),
        ("dicom/rgb_twice_the_pixels.dcm", "pixel data of several frames"),
        ("dicom/slow_atheris.dcm", "truncated, damaged or unsupported pixel data"),
        ("picture/g4_8k_60pages.tif", "60 pages, not one radiograph"),
    ],
)
def test_known_dangerous_files_are_refused_by_their_headers(name, reason):
    with pytest.raises(ImageReadError, match=f"{name}: {reason}"):
        decoding.decode((CORPUS / name).read_bytes(), name)


def test_bad_files_do_not_affect_later_reads(safe, tmp_path, capfd):
    (tmp_path / "good.png").write_bytes(encode(".png"))
    (tmp_path / "empty").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.png")
    for _ in range(2):
        assert safe.read(tmp_path / "good.png").format == "png"
        for path, reason in [
            (tmp_path / "absent.png", "no such file or folder"),
            (tmp_path, "is a directory"),
            (tmp_path / "pipe.png", "is no file, but a device, pipe or socket"),
            ("/dev/zero", "is no file, but a device, pipe or socket"),
            (tmp_path / "empty", "empty file"),
            (tmp_path / ("long" * 100), "file name too long"),
            (f"{tmp_path}/nul\0", "not a valid path"),
        ]:
            with pytest.raises(ImageReadError) as error:
                safe.read(path)
            assert (error.value.path, error.value.reason) == (str(path), reason)
    assert capfd.readouterr() == ("", "")


def test_a_sparse_file_larger_than_memory_is_not_read(safe, tmp_path):
    with open(tmp_path / "huge.tif", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(ImageReadError, match="too large: 1099511627776 bytes"):
        safe.read(tmp_path / "huge.tif")


def test_file_names_of_any_bytes_are_read(safe, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/R\xf6ntgen\n.png")
    Path(path).write_bytes(encode(".png"))
    assert safe.read(path).path == path


def test_safe_reader_equals_decoding_in_this_process(safe):
    wide = SCENE.astype(np.uint16) * 257
    for data in (
        encode(".png"),
        encode(".jpg"),
        encode(".tiff"),
        encode(".png", pixels=wide),
        encode(".tiff", pixels=wide),
    ):
        far = safe.decode(data, "x")
        near = decoding.decode(data, "x")
        np.testing.assert_array_equal(far.pixels, near.pixels)
        assert far.pixels.dtype == near.pixels.dtype
        assert {**vars(far), "pixels": 0} == {**vars(near), "pixels": 0}
        far.pixels[0, 0] = 1  # the array is writable


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
def test_jpegs_with_a_damaged_middle_are_refused(safe, progressive, at, capfd):
    data = encode(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    start = int(len(data) * at)
    hole = min(1000, len(data) - start - 20)
    for damaged in (data[:start] + data[-2:], data[:start] + bytes(hole) + data[start + hole :]):
        with pytest.raises(ImageReadError, match="truncated or damaged JPEG file"):
            safe.decode(damaged, "x.jpg")
    safe.decode(data, "x.jpg")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("compression", [5, 8, 32773])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_damaged_tiff_strips_are_refused(safe, compression, depth):
    noise = np.random.default_rng(1).integers(0, 50, SCENE.shape)
    data = encode(".tiff", cv2.IMWRITE_TIFF_COMPRESSION, compression, pixels=(SCENE + noise).astype(depth))
    safe.decode(data, "x.tif")
    for at in (0.2, 0.5, 0.7):
        start = int(len(data) * at)
        with pytest.raises(ImageReadError, match="truncated or damaged TIFF file"):
            safe.decode(data[:start] + bytes(3000) + data[start + 3000 :], "x.tif")


def test_real_radiographs_equal_opencv(safe, shared):
    for path in sorted((shared / "data").rglob("*.[jp][pn]*g"))[::150]:
        got = safe.read(path)
        np.testing.assert_array_equal(got.pixels, cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH))
        assert got.note == ""


def test_masks_are_read_with_their_values(safe, tmp_path):
    mask = (SCENE // 64)[..., None].repeat(3, axis=2)
    for name in ("mask.png", "mask.bmp", "mask.tif"):
        cv2.imwrite(str(tmp_path / name), mask)
        np.testing.assert_array_equal(safe.read_values(tmp_path / name), mask)
    (tmp_path / "mask.png").write_bytes((CORPUS / "picture" / "apng_segv_radiograph.png").read_bytes())
    with pytest.raises(ImageReadError, match="an animated PNG"):
        safe.read_values(tmp_path / "mask.png")


def test_reader_limits_memory_and_bytes(tmp_path):
    large = np.random.default_rng(0).integers(0, 2**16, (3000, 3000), dtype=np.uint16)
    data = encode(".tiff", cv2.IMWRITE_TIFF_COMPRESSION, 1, pixels=large)  # 18 MB, and as much again decoded
    with SafeReader(Limits(max_memory=50 * 2**20)) as small:
        with pytest.raises(ImageReadError, match="takes more than 50 MiB of memory to decode"):
            small.decode(data, "x.tif")
        np.testing.assert_array_equal(small.decode(encode(".png"), "x.png").pixels, SCENE)
    with pytest.raises(ImageReadError, match="too large: .* bytes"):
        SafeReader(Limits(max_bytes=1000)).decode(data, "x.tif")


def test_threads_share_a_reader(safe):
    values = range(50, 58)
    files = [encode(".png", pixels=np.where(value < SCENE, SCENE, 0).astype(np.uint8)) for value in values]
    with ThreadPoolExecutor(4) as pool:
        for value, got in zip(values, pool.map(lambda data: safe.decode(data, "x"), files), strict=True):
            np.testing.assert_array_equal(got.pixels, np.where(value < SCENE, SCENE, 0))


def test_forked_process_starts_its_own_reader():
    """The process has no threads of JAX, which do not survive a fork."""
    script = """
    import os
    from cxrjax.io import reader
    data = open(0, "rb").read()
    mine = reader.shared()
    mine.decode(data, "x")
    mine._process._lock.acquire()  # as by a thread that reads
    child = os.fork()
    if not child:
        assert reader.shared() is not mine
        mine.decode(data, "x")
        os._exit(7)
    mine._process._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    mine.decode(data, "x")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], input=encode(".png"), check=True, env=environment())


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def test_reader_works_in_a_removed_folder_without_reading_stdin(tmp_path):
    """The address space is limited, and the parent folder has a file with the name of a module of Python."""
    (tmp_path / "json.py").write_text("raise SystemExit('of the current folder')")
    (tmp_path / "a.png").write_bytes(encode(".png"))
    script = """
    import os, sys
    from cxrjax.io import radiograph
    os.chdir(sys.argv[1])
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")
    assert radiograph.read(sys.argv[1] + "/a.png").pixels.shape == (300, 200)
    print(sys.stdin.read(), end="")
    """
    command = [
        "bash",
        "-c",
        'ulimit -v 2000000; exec "$@"',
        "-",
        sys.executable,
        "-c",
        textwrap.dedent(script),
        str(tmp_path),
    ]
    done = subprocess.run(command, input="left", capture_output=True, text=True, env=environment(), cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "left", "")


def test_deleted_reader_leaves_no_process_or_warning():
    one = SafeReader()
    one.decode(encode(".png"), "x")
    process = one._process._process
    del one
    gc.collect()
    assert process.returncode is not None


def test_reader_imports_only_the_decoders():
    """It starts within a second, in parallel to JAX."""
    script = "import sys, cxrjax.io.reader; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment()
    )
    assert not {"jax", "flax", "matplotlib", "tensorflow_datasets", "grain"} & set(loaded.stdout.split())


def test_shared_reader_is_one_per_process():
    assert reader.shared() is reader.shared()
    found = []
    thread = threading.Thread(target=lambda: found.append(radiograph.decode(encode(".png"), "x").format))
    thread.start()
    thread.join()
    assert found == ["png"]
