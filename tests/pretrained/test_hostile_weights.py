"""No file of weights hangs, fills the memory or raises anything but WeightFormatError in one short line."""

import io
import json
import os
import pickle
import struct
import time
import zipfile
from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax.pretrained import formats, keras_weights, key_aliases, safe_unpickle, state_dict
from cxrjax.pretrained.formats import WeightFormatError, read_metadata, read_weights
from cxrjax.runs import weights
from cxrjax.runtime.bounded import BoundedProcess, Bounds


def zipped(pickled: bytes, **parts: bytes) -> bytes:
    """A file of `torch.save` with a pickle made by hand."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in {"data.pkl": b"\x80\x02" + pickled, **parts}.items():
            archive.writestr(f"a/{name}", content)
    return stream.getvalue()


def safetensors(tensors: dict, data: bytes = b"", **metadata: str) -> bytes:
    """A file of safetensors whose header is written by hand."""
    header = json.dumps(({"__metadata__": metadata} if metadata else {}) | tensors).encode()
    return struct.pack("<Q", len(header)) + header + data


def tensor(dtype: str, shape: list[int], size: int) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}


def unicode(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n%sX\x03\x00\x00\x00cpuK\x04tQ"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"K\x00(K\x04t(K\x01t\x89ccollections\nOrderedDict\n)RtR"


def named(count: int, length: int) -> bytes:
    """Return a state dict of `count` tensors with names of that length; all are views of one storage."""
    one = b"q\x00".join((TENSOR % unicode("0"), b""))
    names = [unicode(str(i).ljust(length, "\x1b")) for i in range(count)]
    return zipped(
        b"}(" + names[0] + one + b"".join(name + b"h\x00" for name in names[1:]) + b"u.", **{"data/0": bytes(16)}
    )


CALL = b"ccollections\nOrderedDict\n"
LEGACY = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
COLLIDING = b"".join(pickle.dumps(i * (2**61 - 1), 2)[2:-1] + b"N" for i in range(1, 20_000))
FILES = {
    # 200 kB that took more than a minute: the stack was searched at every mark
    "marks": zipped(b"K\x00" * 100_000 + b"(t" * 100_000 + b"."),
    "a dict inside itself": zipped(b"}q\x00" + unicode("model") + b"h\x00s."),
    "dicts inside one another": zipped(b"}" + (unicode("net") + b"}") * 5000 + b"s" * 5000 + b"."),
    "two sizes of one part": zipped(b"}(" + unicode("a") + TENSOR % unicode("0") + unicode("b")
                                    + (TENSOR % unicode("0")).replace(b"cpuK\x04", b"cpuK\x03") + b"u."),
    "keys that collide": zipped(b"}(" + COLLIDING + b"u."),
    "one list for many calls": zipped(b"](" + b"K\x00" * 20_000 + b"eq\x00" + (CALL + b"h\x00\x85R") * 99 + b"."),
    "many calls of one tuple": zipped(b"(" + b"K\x00" * 99 + b"tq\x00(" + (CALL + b"(h\x00tR") * 9_000 + b"t."),
    "many arguments": zipped(b"cbuiltins\ndict\n(" + b"K\x00" * 1000 + b"tR."),
    "a wide reference": zipped(b"(" + b"K\x00" * 1000 + b"tQ."),
    "a number of ten thousand digits": zipped(b"L" + b"9" * 10_000 + b"L\n."),
    "numbers listed by no name": LEGACY + pickle.dumps({}, 2) + pickle.dumps([[]], 2),
    "weights listed by no name": LEGACY + b"\x80\x02}" + unicode("w") + TENSOR % unicode("0") + b"s."
    + pickle.dumps([{}], 2),
    "a long string": zipped(unicode("x" * 10**6) + b"."),
    "other names": zipped(pickle.dumps({f"\x1b[31m\n{i}": i for i in range(20_000)}, 2)[2:]),
    "one name": zipped(pickle.dumps({"y" * 10**6: 1}, 2)[2:]),
    "a name that is no text": zipped(b"K\x01K\x02\x93."),
    "packed numbers": safetensors({"a": tensor("F4", [2], 1)}, b"\0"),
    "complex numbers": safetensors({"a": tensor("C64", [1], 8)}, bytes(8)),
    "an unknown type": safetensors({"a": tensor("F\x1b[31m", [1], 1)}, b"\0"),
    "sixty-five axes": safetensors({"a": tensor("U8", [1] * 65, 1)}, b"\0"),
    "a huge shape": safetensors({"a": tensor("F32", [2**40, 2**40], 4)}, bytes(4)),
    "a negative shape": safetensors({"a": tensor("F32", [-1], 4)}, bytes(4)),
    "a huge header": struct.pack("<Q", 10**12) + b"{}",
    "a long header": struct.pack("<Q", 20 * 2**20) + b"{" + b" " * 20 * 2**20,
    "a header of lists": struct.pack("<Q", 100_000) + b"{" + b'"a":[' * 19_999 + b" " * 5,
    "offsets that overlap": safetensors({"a": tensor("U8", [4], 4), "b": tensor("U8", [4], 4)}, bytes(4)),
    "metadata that is no text": safetensors({"__metadata__": {"classes": 5}}),
}  # fmt: skip


QUANTIZED = b"ctorch._utils\n_rebuild_qtensor\n)R."
TWICE = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
REASONS = {
    "of a quantized tensor": (zipped(QUANTIZED), "tensors of a type that is not supported .*_rebuild_qtensor"),
    "of an order of bytes that is none": (
        zipped(b"}" + unicode("a") + TENSOR % unicode("0") + b"s.", **{"data/0": bytes(16), "byteorder": b"middle"}),
        "byteorder is neither little nor big",
    ),
    "of one tensor twice": (struct.pack("<Q", len(TWICE)) + TWICE + b"\1", "two entries of the same name"),
    "of a web page": (b"\n<!DOCTYPE html><html>", "this is a web page"),
    "of a tar archive": (b"storages".ljust(257, b"\0") + b"ustar\x0000", "this is a tar archive"),
    "of gzip": (b"\x1f\x8b\x08", "compressed by gzip"),
}


@pytest.mark.parametrize("kind", REASONS)
def test_error_has_the_true_reason(tmp_path, kind):
    content, reason = REASONS[kind]
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(WeightFormatError, match=reason):
        read_weights(tmp_path / "w")


def test_keras_3_file_is_named_in_the_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "w", "w") as archive:
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(WeightFormatError, match="a .keras file of Keras 3"):
        read_weights(tmp_path / "w")


def test_state_dict_is_found_beside_a_tensor_score(tmp_path):
    """As torchvision's training script saves them, with `best_acc1` beside `state_dict`."""
    score = unicode("best_acc1") + TENSOR % unicode("0")
    weights = unicode("state_dict") + b"}" + unicode("fc.bias") + TENSOR % unicode("1") + b"s"
    numbers = {"data/0": bytes(16), "data/1": np.arange(4, dtype="<f4").tobytes()}
    (tmp_path / "w").write_bytes(zipped(b"}(" + score + weights + b"u.", **numbers))
    found = read_weights(tmp_path / "w")
    assert found.keys() == {"fc.bias"}
    np.testing.assert_array_equal(found["fc.bias"], [0, 1, 2, 3])


def test_integer_weights_are_refused():
    """The int8 values of a quantized network would be read as weights of up to 127."""
    with pytest.raises(state_dict.WeightMismatchError, match="the weight fc.bias has the type int8, as in a quantized"):
        state_dict._check_types({"fc.bias": np.zeros(3, np.int8)})
    state_dict._check_types({"a": np.zeros(1, np.float16), "b": np.zeros(1, jnp.bfloat16), "c": np.zeros(1)})


@pytest.mark.parametrize("kind", FILES)
def test_hostile_file_is_refused_quickly_in_one_line(tmp_path, kind):
    path = tmp_path / "w"
    path.write_bytes(FILES[kind])
    start = time.process_time()
    with pytest.raises(WeightFormatError) as error:
        read_weights(path)
    assert time.process_time() - start < 10  # of CPU; the quadratic ones took minutes
    message = str(error.value)
    assert message.startswith(f"{path}: ") and len(message) < 2000 and message.isprintable()


def test_number_of_pickle_opcodes_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(safe_unpickle, "MAX_OPCODES", 1000)
    (tmp_path / "w").write_bytes(zipped(b"N" * 2000 + b"."))
    with pytest.raises(WeightFormatError, match="more than 1000 parts"):
        read_weights(tmp_path / "w")


def test_total_size_of_tensors_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "_MAX_BYTES", 10)
    for content in (named(3, 5), safetensors({"a": tensor("F32", [4], 16)}, bytes(16))):
        (tmp_path / "w").write_bytes(content)
        with pytest.raises(WeightFormatError, match="its tensors are larger than"):
            read_weights(tmp_path / "w")


def test_shared_storage_is_read_once(tmp_path):
    (tmp_path / "w").write_bytes(named(1000, 8))
    found = read_weights(tmp_path / "w")
    assert len(found) == 1000 and all(np.shares_memory(found["0".ljust(8, "\x1b")], each) for each in found.values())


def test_pipes_folders_and_devices_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, reason in (
        (tmp_path / "pipe", "not a regular file"),
        (tmp_path, "a folder"),
        (Path("/dev/zero"), "not a regular"),
    ):
        with pytest.raises(WeightFormatError, match=reason):
            read_weights(path)


@pytest.mark.parametrize(
    "dtype, bits, value",
    [("F8_E4M3", 0x3C, 1.5), ("F8_E5M2", 0x3E, 1.5), ("F8_E8M0", 0x80, 2.0), ("F8_E4M3FNUZ", 0x44, 1.5),
     ("BF16", 0x3FC0, 1.5), ("F16", 0x3E00, 1.5), ("F64", 0x3FF8 << 48, 1.5), ("U16", 7, 7), ("BOOL", 1, True)],
)  # fmt: skip
def test_types_that_numpy_lacks_are_read(tmp_path, dtype, bits, value):
    """1.5 is 1.1 in binary; E8M0 is a power of two, of which 0x80 is the first."""
    size = {"F8": 1, "BO": 1, "F6": 8}.get(dtype[:2], 2)
    (tmp_path / "w").write_bytes(safetensors({"a": tensor(dtype, [1], size)}, bits.to_bytes(size, "little")))
    (found,) = read_weights(tmp_path / "w")["a"].astype(np.float64 if dtype != "BOOL" else bool)
    assert found == value


@pytest.mark.parametrize("text", ["5", "null", '"a"', "[1]", "{}", "[" * 10_000, "a, b", "[]"])
def test_invalid_classes_in_metadata_are_refused(tmp_path, text):
    (tmp_path / "w").write_bytes(safetensors({}, classes=text))
    assert read_metadata(tmp_path / "w") == {"classes": text}
    with pytest.raises(WeightFormatError, match="not a list of names") as error:
        weights._read_classes(tmp_path / "w")
    assert len(str(error.value)) < 500


def test_list_of_mismatched_weights_is_shortened(tmp_path):
    state = {f"\x1b{i}".ljust(5000, "x"): np.zeros(1) for i in range(3000)}
    with pytest.raises(state_dict.WeightMismatchError) as error:
        state_dict._check_names_and_shapes("resnet6", {"fc.weight": (1,)}, state)
    message = str(error.value)
    assert (
        "unexpected (3000)" in message
        and "and 2000 more" in message
        and message.isprintable()
        and len(message) < 200_000
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_infinite_and_nan_weights_are_refused(bad):
    with pytest.raises(state_dict.WeightMismatchError, match="the weight fc.bias contains infinite numbers or NaN"):
        state_dict._check_finite({"a": np.ones(2), "fc.bias": np.array([1.0, bad])})


@pytest.mark.parametrize("value", [np.zeros(()), np.zeros((3, 0)), np.zeros(2), np.zeros((1, 2, 3, 4, 5))])
@pytest.mark.parametrize(
    "architecture, name",
    [("resnet6", "conv1.weight"), ("vgg16", "pre_logits.fc1.weight"), ("unet", "outc.conv.weight"),
     ("resnet18_keras", "a/fc1/kernel:0"), ("resnet18_keras", "predictions/bias:0"), ("resnet18_keras", "/"),
     ("fc_densenet103_keras", "conv2d_" + "9" * 5000 + "/kernel")],
)  # fmt: skip
def test_a_weight_of_any_shape_is_translated_without_an_exception(architecture, name, value):
    others = {"x/predictions/kernel": value, "y/z": value, "pre_logits.fc1.weight": value}
    assert key_aliases.translate(architecture, {name: value} | others)


def keras_file(path: Path, change) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"l"]
        file.create_group("l").attrs["weight_names"] = [b"k"]
        file["l"].create_dataset("k", data=np.ones(3, np.float32))
        change(file)
    return path


def replace(name: str, *arguments, **settings):
    def change(file):
        del file[name]
        file.create_dataset(name, *arguments, **settings)

    return change


def use_filter(number: int):
    """Have the weights compressed by a filter of that number, which need not be there."""

    def change(file):
        del file["l/k"]
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk((3,))
        settings.set_filter(number, h5py.h5z.FLAG_OPTIONAL, ())
        h5py.h5d.create(file["l"].id, b"k", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((3,)), settings)

    return change


KERAS = {
    "no list": (lambda file: file.attrs.__setitem__("layer_names", 3), "layer_names is not a list of names"),
    "an empty attribute": (lambda file: file.attrs.__setitem__("layer_names", h5py.Empty("f")), "not a list of names"),
    "numbers": (lambda file: file.attrs.__setitem__("layer_names", [1, 2]), "not a list of names"),
    "a table": (lambda file: file.attrs.__setitem__("layer_names", [[b"a"], [b"b"]]), "not a list of names"),
    "another name": (lambda file: file.attrs.__setitem__("layer_names", [b"x\x1b"]), "which does not exist"),
    "a name without letters": (
        lambda file: file["l"].attrs.__setitem__("weight_names", [b"/k"]),
        "which does not exist",
    ),
    "a filter that is a library": (use_filter(32001), "unsupported compression"),
    "one name twice": (lambda file: file["l"].attrs.__setitem__("weight_names", [b"k", b"k"]), "l/k twice"),
    "a way through an array": (
        lambda file: file["l"].attrs.__setitem__("weight_names", [b"k/x"]),
        "'x', which does not exist",
    ),
    "a layer that is an array": (replace("l", data=np.ones(2)), "no group with weight_names"),
    "nothing but a fill value": (replace("l/k", (60_000, 60_000), "f4", chunks=(64, 64)), "far larger than the file"),
    "zeros, compressed": (replace("l/k", data=np.zeros((4200, 4200), "f4"), compression=1), "far larger than the file"),
    "texts": (replace("l/k", data=["a", "b"]), "not an array of numbers"),
    "records": (replace("l/k", data=np.zeros(2, [("a", "f4")])), "not an array of numbers"),
    "nothing": (replace("l/k", data=h5py.Empty("f4")), "not an array of numbers"),
    "a group": (
        lambda file: (file.__delitem__("l/k"), file["l"].create_group("k")),
        "is not stored in the file itself",
    ),
}


@pytest.mark.parametrize("kind", KERAS)
def test_hostile_keras_file_is_refused_in_one_line(tmp_path, kind):
    change, reason = KERAS[kind]
    path = keras_file(tmp_path / "w.h5", change)
    with pytest.raises(WeightFormatError, match=reason) as error:
        read_weights(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and len(message) < 500 and message.isprintable()


def test_supported_hdf5_filters_are_read(tmp_path):
    settings = {"chunks": (2,), "compression": "lzf", "shuffle": True, "fletcher32": True}
    path = keras_file(tmp_path / "w.h5", replace("l/k", data=np.arange(3, dtype=np.float32), **settings))
    np.testing.assert_array_equal(read_weights(path)["l/k"], [0, 1, 2])


def test_scalar_weight_is_read_as_an_array(tmp_path):
    path = keras_file(tmp_path / "w.h5", replace("l/k", data=np.float32(3)))
    found = read_weights(path)["l/k"]
    assert found.shape == () and found == 3 and found.dtype == np.float32


def test_crash_of_the_reading_process_is_one_sentence(tmp_path, monkeypatch):
    """The HDF5 library may crash on a damaged file while it blocks the interpreter."""
    path = keras_file(tmp_path / "w.h5", lambda file: None)
    np.testing.assert_array_equal(read_weights(path)["l/k"], [1, 1, 1])
    with BoundedProcess(["signal.raise_signal"], Bounds(5, 2**30)) as process:
        monkeypatch.setattr(keras_weights, "_process", lambda: process)
        monkeypatch.setattr(keras_weights, "_READER", "signal.raise_signal")
        monkeypatch.setattr(os, "fsencode", lambda path: 11)
        with pytest.raises(WeightFormatError, match=r"w\.h5: no weights can be read from it: it.* crashed \(SIGSEGV\)"):
            read_weights(path)
