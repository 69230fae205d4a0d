"""Inputs that once broke a reader: each is read, or refused by the reader's own error."""

import shutil
from pathlib import Path

import pytest

from cxrjax.pretrained import keras_weights
from cxrjax.runtime.bounded import Bounds
from tests.fuzz.seeds import NAMES, write
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
INPUTS = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.fixture(autouse=True, scope="module")
def quick_bounds():
    """Limit Keras files to two seconds, since one of them never ends."""
    keras_weights._process.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras_weights, "BOUNDS", Bounds(max_seconds=2, max_memory=keras_weights.BOUNDS.max_memory))
        yield
    keras_weights._process.cache_clear()


def _replay(name: str, path: Path, folder: Path) -> Exception | None:
    """Read a copy of the file; return the documented error it was refused with, if any."""
    target = TARGETS[name]
    copy = folder / f"input{path.suffix if path.suffix in target.suffixes else target.suffixes[0]}"
    shutil.copy(path, copy)
    try:
        target.read(copy)
    except target.errors as error:
        return error
    return None


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_corpus_input_is_read_or_refused_in_one_sentence(path, tmp_path):
    error = _replay(path.parent.name, path, tmp_path)
    if error is not None:
        text = str(error)
        assert len(text) < 600 and text.isprintable()


@pytest.mark.parametrize("name", NAMES)
def test_every_seed_is_read(name, tmp_path):
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    write(name, seeds)
    for seed in sorted(seeds.iterdir()):
        assert _replay(name, seed, tmp_path) is None, seed.name
