"""A whole pickled network gives its parameters and buffers; its classes are never imported, nor anything called."""

import io
import os
import struct
import sys
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from cxrjax.pretrained import formats, torch_pth
from cxrjax.pretrained.formats import WeightFormatError, read_label_names, read_weights
from tests.helpers.torch_files import Call, Saver


@pytest.fixture
def saver(monkeypatch):
    return Saver(monkeypatch)


def network(saver: Saver) -> object:
    """A network of three levels: a layer that occurs twice, an empty buffer, and attributes that are no weights."""
    layer = saver.module(
        "Layer",
        _parameters=OrderedDict(weight=saver.parameter(np.arange(6, dtype=np.float32).reshape(2, 3)), bias=None),
        _buffers={"running_mean": saver.tensor(np.ones(2, np.float32)), "mask": None},
        _non_persistent_buffers_set={"mask"},
        forward_hook=saver.module("Hook"),
    )
    block = saver.module("Block", _modules=OrderedDict([("0", layer), ("relu", saver.module("Relu")), ("1", layer)]))
    return saver.module(
        _modules={"features": block, "unused": None},
        _buffers={"op_threshs": saver.tensor(np.float32([0.25, np.nan]))},
        targets=["Effusion", ""],
        best=saver.tensor(np.float32([9])),
    )


def save(tmp_path, saver: Saver, content: object, form: str) -> str:
    path = tmp_path / "network.pt"
    path.write_bytes(getattr(saver, form)(content))
    del sys.modules["networks"]  # from here on its classes do not exist
    return str(path)


@pytest.mark.parametrize("form", ["save", "save_older"])
@pytest.mark.parametrize("wrap", [lambda whole: whole, lambda whole: {"epoch": 3, "model": whole}])
def test_the_weights_have_the_names_of_the_state_dict(tmp_path, saver, form, wrap):
    path = save(tmp_path, saver, wrap(network(saver)), form)
    weights = read_weights(path)
    assert list(weights) == [
        "op_threshs",
        "features.0.weight",
        "features.0.running_mean",
        "features.1.weight",
        "features.1.running_mean",
    ]
    np.testing.assert_array_equal(weights["features.1.weight"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(weights["op_threshs"], np.float32([0.25, np.nan]))
    assert "networks" not in sys.modules


@pytest.mark.parametrize("form", ["save", "save_older"])
def test_label_names_are_read_from_an_attribute_of_the_network(tmp_path, saver, form):
    assert read_label_names(save(tmp_path, saver, network(saver), form)) == ["Effusion", ""]


def test_only_a_pickled_network_has_label_names(tmp_path, saver):
    path = tmp_path / "w.pth"
    path.write_bytes(saver.save({"targets": ["a"], "w": saver.tensor(np.ones(1, np.float32))}))
    assert read_label_names(path) == []
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(WeightFormatError, match="cut short or damaged"):
        read_label_names(path)


class Trap:
    """Does something at every hook that an unpickler may call."""

    def __new__(cls, marker: str = ""):
        if marker:
            os.mkdir(marker)
        return object.__new__(cls)

    def __setstate__(self, state: dict) -> None:
        os.mkdir(state["marker"])


def unicode(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def write_pickle(tmp_path, pickled: bytes) -> str:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + pickled)
    (tmp_path / "hostile.pt").write_bytes(stream.getvalue())
    return str(tmp_path / "hostile.pt")


TRAP = b"ctests.pretrained.test_whole_networks\nTrap\n"
EMPTY = b"cnetworks\nNetwork\n)\x81"  # an object without a state
TWO = b"(" + unicode("a") + b"h\x01" + unicode("b") + b"h\x01u"  # the memo's object twice, under two names
HOSTILE = {
    "a constructor": (TRAP + b"(" + unicode("MARKER") + b"t\x81.", "class tests.*Trap, which has no weights"),
    "a state": (TRAP + b")\x81}" + unicode("marker") + unicode("MARKER") + b"sb.", "Trap, which has no weights"),
    "a function as a class": (b"cos\nmkdir\n(" + unicode("MARKER") + b"t\x81.", "class os.mkdir, which has no"),
    "a call in a state": (
        EMPTY + b"}" + unicode("x") + b"cos\nmkdir\n(" + unicode("MARKER") + b"tRsb.",
        "refers to os.mkdir, which is not a tensor",
    ),
    "a call of an object": (EMPTY + b"(" + unicode("MARKER") + b"tR.", "calls something that is not a function"),
    "an object of an object": (EMPTY + b")\x81.", "opcode NEWOBJ makes an object of something that is not a class"),
    "an object as a key": (b"}" + EMPTY + b"Ns.", "sets an item of something that is not a dict of names"),
    "an object of the extension registry": (b"\x82\x01)\x81.", "opcode EXT1"),
    "a call with keywords": (b"cos\nmkdir\n)}\x92.", "opcode NEWOBJ_EX"),
    "a name alone": (b"cos\nmkdir\n.", "refers to os.mkdir, which is not a tensor"),
    "a network inside itself": (
        EMPTY + b"q\x00}" + unicode("_modules") + b"}" + unicode("a") + b"h\x00ssb.",
        "50 inside one another",
    ),
    "two networks inside each, forty deep": (
        EMPTY + b"q\x01" + (EMPTY + b"}" + unicode("_modules") + b"}" + TWO + b"sbq\x01") * 40 + b".",
        "more than 100000 modules",
    ),
    "one dict of modules in each of many": (
        b"}(" + b"".join(unicode(str(i)) + b"N" for i in range(3000)) + b"uq\x00"
        + EMPTY + b"}" + unicode("_modules") + b"}("
        + b"".join(unicode(str(i)) + EMPTY + b"}" + unicode("_buffers") + b"h\x00sb" for i in range(1000)) + b"usb.",
        "more than 100000 modules",
    ),
    "a long name": (
        EMPTY + b"}" + unicode("_modules") + b"}" + unicode("n" * 10**6) + EMPTY + b"ssb.",
        "a name that is not a text of up to 1000",
    ),
    "modules inside one another, without an end": (EMPTY * 20_000 + b".", "has no weights"),
    "states inside one another": (
        (EMPTY + b"}" + unicode("_modules") + b"}" + unicode("a")) * 5_000 + b"N" + b"ssb" * 5_000 + b".",
        "50 inside one another",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_network_is_refused_in_one_line_without_running(tmp_path, kind):
    pickled, reason = HOSTILE[kind]
    marker = tmp_path / "ran"
    named = pickled.replace(unicode("MARKER"), unicode(str(marker)))
    path = write_pickle(tmp_path, named)
    with pytest.raises(WeightFormatError, match=reason) as error:
        read_weights(path)
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 1000
    assert not marker.exists()


@pytest.mark.parametrize("form", ["save", "save_older"])
def test_a_call_hidden_among_the_attributes_of_a_network_is_refused(tmp_path, saver, form):
    marker = tmp_path / "ran"
    whole = network(saver)
    whole.loss = Call(os.mkdir, (str(marker),))
    path = save(tmp_path, saver, whole, form)
    for read in (read_weights, read_label_names):
        with pytest.raises(WeightFormatError, match=r"refers to \w+\.mkdir, which is not a tensor"):
            read(path)
    assert not marker.exists()


def test_label_names_are_read_without_the_tensors(tmp_path, saver, monkeypatch):
    path = save(tmp_path, saver, network(saver), "save")
    monkeypatch.setattr(torch_pth, "_to_arrays", lambda state, *_args, **_more: {"kept": len(state)})
    assert read_label_names(path) == ["Effusion", ""]
    assert formats.read_metadata(path) == {}
