"""Arrays in .npy files are read in the range that is stated, and nothing else is guessed."""

import io

import numpy as np
import pytest

from cxrjax.io import decoding, files, numpy_file
from cxrjax.io.errors import ImageReadError
from cxrjax.io.limits import Limits

RAMP = np.arange(40 * 50).reshape(40, 50)


def save(array, version=None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), version=version)
    return file.getvalue()


def read(data, value_range=None):
    return decoding.decode(data, "a.npy", Limits(max_pixels=10_000), value_range)


@pytest.mark.parametrize("array", [RAMP.astype(np.uint8), RAMP.astype(np.uint16), RAMP.astype(">u2")])
def test_unsigned_gray_levels_are_unchanged(array):
    for stored in (array, np.asfortranarray(array), array[None], array[..., None]):
        radiograph = read(save(stored))
        np.testing.assert_array_equal(radiograph.pixels, array)
        assert radiograph.format == "npy" and radiograph.pixels.dtype.isnative
    np.testing.assert_array_equal(read(save(array, (2, 0))).pixels, array)


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8"])
def test_floats_from_0_to_1_need_no_range_and_others_do(dtype):
    share = (RAMP / RAMP.max()).astype(dtype)
    np.testing.assert_array_equal(read(save(share)).pixels, np.rint(share.astype(float) * 65535))
    with pytest.raises(ImageReadError, match=r"a.npy: floats that are not all from 0 to 1, .*; --value_range=LOW,HIGH"):
        read(save(share * 2))
    assert read(save(share * 2), (0, 2)).pixels.max() == 65535
    with pytest.raises(ImageReadError, match=r"its values go from 0 to 2, beyond value_range=\(0, 1.5\)"):
        read(save(share * 2), (0, 1.5))
    share[3, 3] = np.nan
    with pytest.raises(ImageReadError, match="not a number"):
        read(save(share), (0, 1))


def test_other_integers_need_a_range():
    levels = (RAMP - 1024).astype(np.int16)
    with pytest.raises(ImageReadError, match="integers of the type int16, whose range is not stated"):
        read(save(levels))
    pixels = read(save(levels), (-1024, 3071)).pixels
    np.testing.assert_array_equal(pixels, np.rint(RAMP / 4095 * 65535))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (save(np.zeros((3, 40, 50), np.uint8)), r"a NumPy array of the shape \(3, 40, 50\), and one gray channel"),
        (save(np.zeros(50)), r"a NumPy array of the shape \(50,\)"),
        (save(np.zeros((40, 50), bool)), "a NumPy array of the type bool"),
        (save(np.zeros((40, 50), complex)), "a NumPy array of the type complex128"),
        (save(RAMP.astype(np.uint8))[:-1], "truncated or damaged NumPy file"),
        (save(RAMP.astype(np.uint8)) + b"x", "truncated or damaged NumPy file"),
        (save(RAMP.astype(np.uint8)).replace(b"(40, 50)", b"(999,99)"), "too large: 99 x 999 pixels"),
        (save(RAMP.astype(np.uint8)).replace(b"(40, 50)", b"(-4, 50)"), "truncated or damaged NumPy file"),
        (save(RAMP.astype(np.uint8)).replace(b"(40, 50)", b"exit()  "), "truncated or damaged NumPy file"),
        (b"\x93NUMPY\x09\x09", "truncated or damaged NumPy file"),
    ],
)
def test_arrays_that_are_not_images_are_refused(data, reason):
    with pytest.raises(ImageReadError, match=reason):
        read(data)


def test_object_arrays_are_never_unpickled():
    file = io.BytesIO()
    np.save(file, np.full((40, 50), None), allow_pickle=True)
    with pytest.raises(ImageReadError, match="a NumPy array of the type object"):
        read(file.getvalue())


def test_only_npy_files_with_images_are_listed(tmp_path):
    np.save(tmp_path / "a.npy", RAMP)
    np.save(tmp_path / "labels.npy", np.arange(7))
    listing = files.list_files(tmp_path)
    assert listing.radiographs == [tmp_path / "a.npy"]
    assert [file.reason for file in listing.skipped_files] == ["a NumPy array of the shape (7,), not an image"]
    assert numpy_file.explain_shape(b"\x93NUMPY") == ""
