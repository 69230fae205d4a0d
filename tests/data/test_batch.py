"""Checksums of radiographs."""

import zlib

import numpy as np

from cxrjax.data import batch


def test_hash_images_is_the_crc32_of_row_major_pixels():
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    ids = batch.hash_images(images)
    assert ids.dtype == np.uint32
    assert ids.tolist() == [zlib.crc32(bytes(range(12))), zlib.crc32(bytes(range(12, 24)))]
    turned = np.asfortranarray(images[0])  # the same image in column-major order
    assert batch.hash_images(turned[None]) == ids[0] and batch.hash_images(images[:, ::-1])[0] != ids[0]
    assert batch.hash_images(images[:0]).shape == (0,)
