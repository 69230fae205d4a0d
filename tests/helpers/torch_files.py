"""Files of `torch.save`, written without PyTorch."""

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np

LEGACY_HEAD = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})
KIND = {"float32": "Float", "float64": "Double", "float16": "Half", "int64": "Long", "uint8": "Byte", "bool": "Bool"}


class Saver:
    """Writes the files of `torch.save` with stand-ins for PyTorch's names; checked against files of PyTorch 2.13."""

    def __init__(self, monkeypatch):
        self._patch = monkeypatch
        torch, self.utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
        monkeypatch.setitem(sys.modules, "torch", torch)
        monkeypatch.setitem(sys.modules, "torch._utils", self.utils)
        for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
            function = types.FunctionType((lambda *_: None).__code__, {}, name)
            function.__module__, function.__qualname__ = "torch._utils", name
            setattr(self.utils, name, function)
        self.types = {}
        for kind in (*KIND.values(), "BFloat16"):
            name = f"{kind}Storage"
            self.types[kind] = type(name, (), {"__module__": "torch"})
            setattr(torch, name, self.types[kind])
        self.storages: dict[str, np.ndarray] = {}

    def storage(self, numbers: np.ndarray, kind: str | None = None) -> "Storage":
        key = str(len(self.storages))
        self.storages[key] = numbers
        return Storage(("storage", self.types[kind or KIND[str(numbers.dtype)]], key, "cuda:0", len(numbers)))

    def tensor(self, array: np.ndarray) -> "Call":
        array = np.asarray(array)
        strides = tuple(stride // array.itemsize for stride in array.strides)
        return self.view(self.storage(array.ravel()), 0, array.shape, strides)

    def view(self, storage: "Storage", offset: int, shape: tuple, strides: tuple) -> "Call":
        return Call(self.utils._rebuild_tensor_v2, (storage, offset, shape, strides, False, OrderedDict()))

    def module(self, name: str = "Network", **attributes: object) -> object:
        """A network whose class, networks.NAME, is known to Python only while the test runs."""
        if "networks" not in sys.modules:
            self._patch.setitem(sys.modules, "networks", types.ModuleType("networks"))
        networks = sys.modules["networks"]
        if not hasattr(networks, name):
            setattr(networks, name, type(name, (), {"__module__": "networks", "__qualname__": name}))
        module = getattr(networks, name)()
        empty = {"training": False, "_parameters": OrderedDict(), "_buffers": OrderedDict(), "_modules": OrderedDict()}
        vars(module).update(empty | attributes)
        return module

    def parameter(self, array: np.ndarray) -> "Call":
        return Call(self.utils._rebuild_parameter, (self.tensor(array), True, OrderedDict()))

    def dump(self, content: object, older: bool = False, protocol: int = 2) -> bytes:
        stream = io.BytesIO()
        # In the older format, a reference to a storage ends with the view of a base storage, here None.

        classes = []

        class Pickler(pickle.Pickler):
            def persistent_id(self, value: object) -> tuple | None:
                if isinstance(value, Storage):
                    return (*value.reference, *([None] * older))
                is_class = isinstance(value, type) and value.__module__ == "networks"
                if (
                    older and is_class and value not in classes
                ):  # at its first occurrence, a class is written with its code
                    classes.append(value)
                    return ("module", value, "networks.py", "class Network: …")
                return None

        Pickler(stream, protocol).dump(content)
        return stream.getvalue()

    def save(self, content: object, order: bytes = b"little", protocol: int = 2) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("archive/data.pkl", self.dump(content, protocol=protocol))
            archive.writestr("archive/byteorder", order)
            for key, numbers in self.storages.items():
                archive.writestr(f"archive/data/{key}", numbers.tobytes())
        return stream.getvalue()

    def save_older(self, content: object) -> bytes:
        parts = [pickle.dumps(part, 2) for part in LEGACY_HEAD]
        parts += [self.dump(content, older=True), pickle.dumps(list(self.storages), 2)]
        return b"".join(parts + [struct.pack("<q", len(n)) + n.tobytes() for n in self.storages.values()])


class Storage:
    def __init__(self, reference: tuple):
        self.reference = reference


class Call:
    """An object that is pickled as a function call, like a tensor."""

    def __init__(self, function: object, arguments: tuple):
        self.__reduce__ = None
        self._call = (function, arguments)

    def __reduce_ex__(self, protocol: int):
        return self._call
