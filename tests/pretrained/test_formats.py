"""Files of weights are read exactly, and files that would run code are refused."""

import builtins
import io
import os
import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.numpy

from cxrjax.pretrained import formats, torch_pth
from cxrjax.pretrained.formats import WeightFormatError, read_metadata, read_weights
from tests.helpers.torch_files import KIND, Call, Saver


@pytest.fixture
def saver(monkeypatch):
    return Saver(monkeypatch)


def write(tmp_path: Path, content: bytes, name: str = "weights.pth") -> Path:
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


@pytest.mark.parametrize("form", ["save", "save_older"])
def test_tensors_of_every_type_are_read(tmp_path, saver, form):
    arrays = {k: (10 * draw(3, 4)).astype(k) for k in KIND} | {"scalar": np.int64(7), "empty": np.zeros((0, 3), "f4")}
    state = OrderedDict((name, saver.tensor(array)) for name, array in arrays.items())
    found = read_weights(write(tmp_path, getattr(saver, form)(state)))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == np.asarray(array).dtype
        np.testing.assert_array_equal(found[name], array)


def test_bfloat16_is_the_upper_half_of_a_float32(tmp_path, saver):
    values = np.array([1.0, -2.5, 0.15625], np.float32)  # exact in bfloat16
    halves = (values.view(np.uint32) >> 16).astype(np.uint16)
    state = {"w": saver.view(saver.storage(halves, "BFloat16"), 0, (3,), (1,))}
    np.testing.assert_array_equal(read_weights(write(tmp_path, saver.save(state)))["w"].astype(np.float32), values)


@pytest.mark.parametrize("form", ["save", "save_older"])
def test_tensors_that_share_a_storage_are_read(tmp_path, saver, form):
    storage = saver.storage(np.arange(24, dtype=np.float32))
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    state = {
        "whole": saver.view(storage, 0, (4, 6), (6, 1)),
        "turned": saver.view(storage, 0, (6, 4), (1, 6)),
        "part": saver.view(storage, 8, (2, 3), (6, 1)),
        "last": saver.view(storage, 23, (), ()),
    }
    found = read_weights(write(tmp_path, getattr(saver, form)(state)))
    for name, array in {"whole": base, "turned": base.T, "part": base[1:3, 2:5], "last": base[3, 5]}.items():
        np.testing.assert_array_equal(found[name], array)
    assert np.shares_memory(found["turned"], found["part"])


def test_big_endian_file_is_read(tmp_path, saver):
    values = np.array([1.0, 2.0], np.float32)
    state = {"w": saver.view(saver.storage(values.astype(">f4"), "Float"), 0, (2,), (1,))}
    np.testing.assert_array_equal(read_weights(write(tmp_path, saver.save(state, b"big")))["w"], values)


@pytest.mark.parametrize("form", ["save", "save_older"])
@pytest.mark.parametrize("key", torch_pth.STATE_KEYS)
def test_only_weights_of_a_checkpoint_are_read(tmp_path, saver, form, key):
    """As Oh et al. save it, with optimizer moments, the epoch and scores as NumPy scalars beside the weights."""
    weight, moment = draw(2, 3), draw(5)
    saved = saver.tensor(moment)
    content = {
        "optimizer_state_dict": {"state": {0: {"step": 3, "exp_avg": saved}}, "param_groups": [{"lr": 1e-4}]},
        "epoch": np.int64(3), "loss": np.float64(0.25), "history": np.arange(3.0), "best": None, "done": True,
        key: OrderedDict(w=Call(saver.utils._rebuild_parameter, (saver.tensor(weight), True, OrderedDict()))),
    }  # fmt: skip
    found = read_weights(write(tmp_path, getattr(saver, form)(content)))
    assert list(found) == ["w"]
    np.testing.assert_array_equal(found["w"], weight)


def test_common_prefixes_of_names_are_stripped(tmp_path, saver):
    names = ["module.model.fc.weight", "module.model.fc.bias"]
    found = read_weights(write(tmp_path, saver.save({name: saver.tensor(draw(2)) for name in names})))
    assert list(found) == ["fc.weight", "fc.bias"]
    assert list(formats.strip_prefixes({"module.a": 1, "b": 2})) == [
        "module.a",
        "b",
    ]  # not a prefix of all names: part of the name


def test_newer_pickle_protocols_are_read(tmp_path, saver):
    content = saver.save({"w": saver.tensor(draw(2))}, protocol=5)
    np.testing.assert_array_equal(read_weights(write(tmp_path, content))["w"], draw(2))


HOSTILE = {
    "a command": lambda saver, marker: Call(os.system, (f"touch {marker}",)),
    "code": lambda saver, marker: Call(builtins.exec, (f"import os; os.mkdir({str(marker)!r})",)),
    "a call inside a call": lambda saver, marker: Call(
        saver.utils._rebuild_tensor_v2, (Call(os.mkdir, (str(marker),)), 0, (), (), False, OrderedDict())
    ),
}


@pytest.mark.parametrize("form", ["save", "save_older"])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_pickle_is_refused_without_running(tmp_path, saver, form, protocol, kind):
    marker = tmp_path / "ran"
    content = {"w": saver.tensor(draw(2)), "x": HOSTILE[kind](saver, marker)}
    if form == "save":
        path = write(tmp_path, saver.save(content, protocol=protocol))
    else:
        path = write(tmp_path, saver.save_older(content))
    named = r"(posix|nt|builtins|__builtin__)\.(system|exec|mkdir)"
    with pytest.raises(WeightFormatError, match=rf"weights\.pth.*refers to {named}, which is not a tensor") as error:
        read_weights(path)
    assert len(str(error.value).splitlines()) == 1
    assert not marker.exists()


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_pickles_run_in_pythons_unpickler(tmp_path, saver, kind):
    """Python's own unpickler runs them; otherwise, the test above would prove nothing."""
    marker = tmp_path / "ran"
    pickle.loads(pickle.dumps(HOSTILE[kind](saver, marker), 2))
    assert marker.exists()


@pytest.mark.parametrize(
    "function, arguments",
    [
        ("_rebuild_tensor_v2", ()),
        ("_rebuild_tensor_v2", ("no storage", 0, (1,), (1,))),
        ("_rebuild_tensor_v2", (None, "0", (1,), (1,))),
        ("_rebuild_parameter", ({},)),
        ("OrderedDict", ([["a"]],)),
        ("FloatStorage", (3,)),
    ],
)
def test_allowed_function_with_invalid_arguments_is_refused(tmp_path, saver, function, arguments):
    names = vars(saver.utils) | {"OrderedDict": OrderedDict, "FloatStorage": saver.types["Float"]}
    path = write(tmp_path, saver.save({"w": Call(names[function], arguments)}))
    with pytest.raises(WeightFormatError, match=f"{function} with arguments that do not fit"):
        read_weights(path)


@pytest.mark.parametrize(
    "raw, reason",
    [
        (
            b"ccollections\nOrderedDict.__init__.__globals__\n.",
            "refers to collections.OrderedDict.__init__.__globals__",
        ),
        (b"cos\nsystem\n.", "refers to os.system"),
        (b"(ios\nsystem\n.", "opcode INST"),
        (b"ccollections\nOrderedDict\n)\x81.", "opcode NEWOBJ"),
        (b"\x82\x01.", "opcode EXT1"),
        (b"}}}s.", "sets an item of something that is not a dict"),
        (b"ccollections\nOrderedDict\nX\x01\x00\x00\x00aR.", "calls something that is not a function"),
        (b"0.", "opcode POP"),
        (b"h\x05.", "malformed"),
        (b"]", "."),
        (b"X\xff\xff\xff\x7fabc", "."),  # a string said to be of two gigabytes
    ],
)
def test_malformed_pickle_is_refused(tmp_path, raw, reason):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + raw)
    with pytest.raises(WeightFormatError, match=reason):
        read_weights(write(tmp_path, stream.getvalue()))


@pytest.mark.parametrize(
    "shape, strides, offset", [((7,), (1,), 0), ((2, 3), (4, 1), 0), ((1,), (1,), 6), ((2**20, 2**20), (0, 0), 0)]
)
def test_a_tensor_beyond_its_storage_is_refused(tmp_path, saver, shape, strides, offset):
    state = {"w": saver.view(saver.storage(np.zeros(6, np.float32)), offset, shape, strides)}
    with pytest.raises(WeightFormatError, match="its tensor w reaches beyond its numbers"):
        read_weights(write(tmp_path, saver.save(state)))


def test_storage_declared_larger_than_its_data_is_refused(tmp_path, saver):
    storage = saver.storage(np.zeros(6, np.float32))
    storage.reference = (*storage.reference[:4], 2**40)
    state = {"w": saver.view(storage, 0, (2**40,), (1,))}
    with pytest.raises(WeightFormatError, match="its tensor w is declared to be larger"):
        read_weights(write(tmp_path, saver.save(state)))


def test_compressed_pickle_is_refused(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10**6)
    with pytest.raises(WeightFormatError, match="its parts are compressed"):
        read_weights(write(tmp_path, stream.getvalue()))


def test_an_encrypted_file_is_refused(tmp_path, saver):
    content = bytearray(saver.save({"w": saver.tensor(draw(4))}))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # of every part, and of its place in the index
        for found in re.finditer(re.escape(signature), content):
            content[found.start() + flags] |= 1
    with pytest.raises(WeightFormatError, match="its parts are encrypted"):
        read_weights(write(tmp_path, bytes(content)))


@pytest.mark.parametrize("form", ["save", "save_older"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(tmp_path, saver, form, share):
    content = getattr(saver, form)({"w": saver.tensor(draw(40)), "v": saver.tensor(draw(40))})
    with pytest.raises(WeightFormatError, match="no weights can be read from it") as error:
        read_weights(write(tmp_path, content[: int(share * len(content))]))
    assert len(str(error.value).splitlines()) == 1


def test_safetensors_are_read_with_metadata(tmp_path):
    state = {"module.a": draw(2, 3), "module.b": np.arange(3)}
    path = write(tmp_path, safetensors.numpy.save(state, {"architecture": "resnet6"}), "weights.bin")
    found = read_weights(path)
    assert set(found) == {"a", "b"} and read_metadata(path) == {"architecture": "resnet6"}
    np.testing.assert_array_equal(found["a"], state["module.a"])
    with pytest.raises(WeightFormatError, match="weights.bin: no weights can be read"):
        read_weights(write(tmp_path, path.read_bytes()[:-4], "weights.bin"))


@pytest.mark.parametrize("length", [0x80, 0x50])  # the header's length begins as a pickle does, and as an archive
def test_safetensors_are_not_mistaken_for_a_pickle(tmp_path, length):
    content = safetensors.numpy.save({"a": draw(2)}, {"note": ""})
    header = int.from_bytes(content[:8], "little")
    padded = content[8 : 8 + header].rstrip().ljust(0x100 + length)
    path = write(tmp_path, struct.pack("<Q", len(padded)) + padded + content[8 + header :])
    assert path.read_bytes()[0] == length
    np.testing.assert_array_equal(read_weights(path)["a"], draw(2))


def save_keras(path: Path, layers: dict[str, dict[str, np.ndarray]], inside: str = "/") -> None:
    """Write a file as Keras 2 does: names in order as attributes, each weight at LAYER/LAYER/WEIGHT:0."""
    with h5py.File(path, "w") as file:
        group = file.require_group(inside)
        group.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, weights in layers.items():
            part = group.create_group(layer)
            part.attrs["weight_names"] = [f"{layer}/{name}:0".encode() for name in weights]
            for name, value in weights.items():
                part.create_dataset(f"{layer}/{name}:0", data=value)


@pytest.mark.parametrize("inside", ["/", "model_weights"])
def test_keras_weights_are_in_the_order_of_layers(tmp_path, inside):
    layers = {"conv2d_9": {"kernel": draw(3, 3, 1, 2), "bias": draw(2)}, "dropout": {}, "conv2d_10": {"bias": draw(4)}}
    save_keras(tmp_path / "w.h5", layers, inside)
    found = read_weights(tmp_path / "w.h5")
    assert list(found) == ["conv2d_9/kernel", "conv2d_9/bias", "conv2d_10/bias"]
    np.testing.assert_array_equal(found["conv2d_9/kernel"], layers["conv2d_9"]["kernel"])


def test_a_keras_file_that_points_to_another_file_is_refused(tmp_path):
    save_keras(tmp_path / "secret.h5", {"a": {"kernel": draw(2)}})
    save_keras(tmp_path / "w.h5", {"a": {"kernel": draw(2)}})
    with h5py.File(tmp_path / "w.h5", "a") as file:
        del file["a/a/kernel:0"]
        file["a/a/kernel:0"] = h5py.ExternalLink("secret.h5", "a/a/kernel:0")
    with pytest.raises(WeightFormatError, match="w.h5.*is not stored in the file itself"):
        read_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "a") as file:
        del file["a/a/kernel:0"]
        file["a/a"].create_dataset("kernel:0", (2,), "f4", external=[(str(tmp_path / "secret.h5"), 0, 8)])
    with pytest.raises(WeightFormatError, match="w.h5.*is not stored in the file itself"):
        read_weights(tmp_path / "w.h5")


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "not a file of safetensors, PyTorch or Keras"),
        (b"hello, this is a text of some length", "not a file of safetensors, PyTorch or Keras"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        (b"\x89HDF\r\n\x1a\n cut", "no weights|unable|truncated|signature"),
        (pickle.dumps({"a": 1}), "not one of PyTorch"),
        (None, "no such file"),
    ],
)
def test_file_of_unknown_format_is_refused_by_name(tmp_path, content, reason):
    path = tmp_path / "weights" if content is None else write(tmp_path, content, "weights")
    with pytest.raises(WeightFormatError, match=reason) as error:
        read_weights(path)
    assert str(error.value).startswith(f"{path}: ") and len(str(error.value).splitlines()) == 1
