"""The arrows of the design, read from the imports: who may know whom, and who alone may know which package."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cxrjax", "data_prep", "configs")

# A module -> the modules of ours that it may import. `x` is that module alone (a package's door), `x.*` its inside.
LEAVES: dict[str, set[str]] = {
    "cxrjax.allocator": set(),
    "cxrjax.anatomy": set(),
    "cxrjax.augment": set(),
    "cxrjax.contrast": set(),
    "cxrjax.devices": set(),
    "cxrjax.faithfulness": set(),
    "cxrjax.figures": {"cxrjax.figures.*"},
    "cxrjax.figures.*": {"cxrjax.figures.*", "cxrjax.tables", "cxrjax.whole"},
    "cxrjax.gate": {"cxrjax.mahalanobis", "cxrjax.programs", "cxrjax.statistics.*"},
    "cxrjax.groups": set(),
    "cxrjax.hosts": set(),
    "cxrjax.arguments": {"cxrjax.config_schema", "cxrjax.runtime", "cxrjax.runtime.cache", "cxrjax.runtime.text"},
    "cxrjax.config_schema": {"cxrjax.runtime.text"},
    "cxrjax.io": set(),
    "cxrjax.io.*": {"cxrjax.io.*", "cxrjax.runtime.*"},
    "cxrjax.lesions": {"cxrjax.io.*"},
    "cxrjax.losses": {"cxrjax.anatomy"},
    "cxrjax.metrics": {"cxrjax.statistics.*"},
    "cxrjax.cohort": set(),
    "cxrjax.lung_crop": set(),
    "cxrjax.differences": {"cxrjax.statistics.*"},
    "cxrjax.mahalanobis": set(),
    "cxrjax.morphology": {"cxrjax.anatomy", "cxrjax.patches"},
    "cxrjax.optimisers": set(),
    "cxrjax.origin": {"cxrjax.io.json_file", "cxrjax.whole"},
    "cxrjax.patches": set(),
    "cxrjax.inference": set(),
    "cxrjax.inference.output": {
        "cxrjax.inference.picture_names", "cxrjax.io.*", "cxrjax.runtime.ledger", "cxrjax.whole",
    },
    "cxrjax.inference.picture_names": set(),
    "cxrjax.parts": {"cxrjax.predictions", "cxrjax.whole"},
    "cxrjax.predictions": {"cxrjax.io.csv_text", "cxrjax.whole"},
    "cxrjax.runtime": set(),
    "cxrjax.runtime.*": {"cxrjax.runtime.*", "cxrjax.whole"},
    "cxrjax.programs": {"cxrjax", "cxrjax.runtime.cache", "cxrjax.whole"},  # cxrjax for where its code lies
    "cxrjax.radiograph": {"cxrjax.io.*"},
    "cxrjax.saliency": {"cxrjax.patches", "cxrjax.runtime.platform"},
    "cxrjax.sampling": set(),
    "cxrjax.schedules": set(),
    "cxrjax.selection": set(),
    "cxrjax.standardise": {"cxrjax.io.*", "cxrjax.radiograph"},
    "cxrjax.statistics": set(),
    "cxrjax.statistics.*": {"cxrjax.statistics.*"},
    "cxrjax.tables": set(),
    "cxrjax.trust": {"cxrjax.statistics.*"},
    "cxrjax.voting": set(),
    "cxrjax.whole": {"cxrjax.hosts"},
}  # fmt: skip
NETWORKS: dict[str, set[str]] = {
    "cxrjax.models": {"cxrjax.models.*"},
    "cxrjax.models.*": {"cxrjax.models.*", "cxrjax.runtime.platform"},
    "cxrjax.pretrained": {"cxrjax.anatomy", "cxrjax.models", "cxrjax.pretrained.*", "cxrjax.runtime.*"},
    "cxrjax.pretrained.*": {"cxrjax.pretrained.*", "cxrjax.runtime.*"},
    "cxrjax.views": {*LEAVES, "cxrjax.models"},
    "cxrjax.dense": {*LEAVES, "cxrjax.models", "cxrjax.views"},
    "cxrjax.pipeline": {*LEAVES, "cxrjax.dense", "cxrjax.models", "cxrjax.views"},
    "cxrjax.shared_patches": {*LEAVES, "cxrjax.models", "cxrjax.pipeline", "cxrjax.views"},
    "cxrjax.networks": {*LEAVES, "cxrjax.models", "cxrjax.views"},
}
DOORS_TO_THE_DISK: dict[str, set[str]] = {
    "cxrjax.data": {*LEAVES},
    "cxrjax.checkpoints": {"cxrjax.runtime.text"},
    "cxrjax.training_labels": {"cxrjax.data", "cxrjax.io.json_file", "cxrjax.whole"},
    "cxrjax.runs": {
        "cxrjax.config_schema", "cxrjax.gate", "cxrjax.io.json_file", "cxrjax.mahalanobis", "cxrjax.networks",
        "cxrjax.checkpoints", "cxrjax.runtime.text", "cxrjax.whole",
    },
    "cxrjax.exchange": {
        "cxrjax.anatomy", "cxrjax.pretrained", "cxrjax.pretrained.*", "cxrjax.checkpoints", "cxrjax.runs",
        "cxrjax.runtime.*", "cxrjax.whole",
    },
    "cxrjax.history": {"cxrjax.io.json_file", "cxrjax.whole"},
    "cxrjax.ensemble": {*LEAVES, *NETWORKS, "cxrjax.checkpoints", "cxrjax.runs"},
}  # fmt: skip
SCORES: dict[str, set[str]] = {  # what rows tell, without a network
    "cxrjax.findings": {"cxrjax.metrics", "cxrjax.predictions", "cxrjax.statistics.*"},
    "cxrjax.calibration": {
        "cxrjax.findings", "cxrjax.io.json_file", "cxrjax.origin", "cxrjax.predictions", "cxrjax.statistics.*",
        "cxrjax.whole",
    },
    "cxrjax.charts": {"cxrjax.figures", "cxrjax.findings", "cxrjax.metrics", "cxrjax.statistics.*", "cxrjax.tables"},
    "cxrjax.score": {
        "cxrjax.calibration", "cxrjax.charts", "cxrjax.findings", "cxrjax.metrics", "cxrjax.origin",
        "cxrjax.predictions", "cxrjax.runs", "cxrjax.statistics.*", "cxrjax.training_labels", "cxrjax.whole",
    },
    "cxrjax.compare": {
        "cxrjax.findings", "cxrjax.metrics", "cxrjax.predictions", "cxrjax.statistics.*",
        "cxrjax.whole",
    },
}  # fmt: skip
TASKS: dict[str, set[str]] = {
    "cxrjax.tasks": set(),
    "cxrjax.tasks.finding_lungs": {*LEAVES, *NETWORKS, "cxrjax.data"},
    "cxrjax.tasks.examples": {"cxrjax.cohort", "cxrjax.data", "cxrjax.tasks.finding_lungs"},
    "cxrjax.tasks.*": {
        *LEAVES,
        *NETWORKS,
        "cxrjax.data",
        "cxrjax.tasks",
        "cxrjax.tasks.examples",
        "cxrjax.tasks.finding_lungs",
    },
    "cxrjax.supply": {"cxrjax.data", "cxrjax.devices", "cxrjax.sampling"},
    "cxrjax.steps": {*LEAVES, "cxrjax.models", "cxrjax.supply", "cxrjax.tasks"},
}
BELOW = {*LEAVES, *NETWORKS, *DOORS_TO_THE_DISK, *TASKS, "cxrjax.calibration"}
COMMANDS: dict[str, set[str]] = {
    "cxrjax.train": BELOW,
    "cxrjax.examine": BELOW | {"cxrjax.runtime.terminal"},  # what evaluate and predict share
    "cxrjax.evaluate": BELOW | {"cxrjax.examine", "cxrjax.fit_gate", "cxrjax.score"},
    "cxrjax.check_maps": BELOW,
    "cxrjax.audit": {"cxrjax.audit.run"},
    "cxrjax.audit.pictures": set(),
    "cxrjax.audit.tabular": {"cxrjax.io.*"},
    "cxrjax.audit.rules": {"cxrjax.audit.scores"},
    "cxrjax.audit.verdict": {"cxrjax.audit.rules", "cxrjax.audit.scores", "cxrjax.audit.words", "cxrjax.tables"},
    "cxrjax.audit.words": {"cxrjax.audit.rules"},
    "cxrjax.audit.*": BELOW | {"cxrjax.audit.*", "cxrjax.train", "cxrjax.evaluate", "cxrjax.findings"},
    "cxrjax.predict": BELOW | {"cxrjax.examine"},
    "cxrjax.report": BELOW | {"cxrjax.examine", "cxrjax.report.*"},
    # cxrjax for its version
    "cxrjax.report.*": BELOW | {"cxrjax", "cxrjax.examine", "cxrjax.findings", "cxrjax.report.*"},
    "cxrjax.export": BELOW | {"cxrjax.export.*"},
    # cxrjax for its version
    "cxrjax.export.*": BELOW | {"cxrjax", "cxrjax.export.*"},
    "cxrjax.fit_gate": BELOW | {"cxrjax.examine"},
    "cxrjax.compare_classes": BELOW | {"cxrjax.examine"},
    "cxrjax.find_rate": BELOW | {"cxrjax.train"},
    "cxrjax.cross_validate": BELOW | {"cxrjax.train", "cxrjax.evaluate"},
    "cxrjax.commands": {
        "configs.audit", "cxrjax.audit", "cxrjax.check_maps", "cxrjax.compare", "cxrjax.compare_classes",
        "cxrjax.cross_validate", "cxrjax.data", "cxrjax.evaluate", "cxrjax.exchange", "cxrjax.export",
        "cxrjax.find_rate", "cxrjax.fit_gate", "cxrjax.io.files", "cxrjax.predict", "cxrjax.predictions",
        "cxrjax.report", "cxrjax.runs", "cxrjax.runtime.terminal", "cxrjax.score", "cxrjax.tables", "cxrjax.train",
        "cxrjax.trust",
    },
    # data, radiograph, runs and train for the errors that it puts in words
    "cxrjax.main": {
        "cxrjax", "cxrjax.allocator", "cxrjax.arguments", "cxrjax.commands", "cxrjax.data", "cxrjax.devices",
        "cxrjax.hosts", "cxrjax.io.limits", "cxrjax.programs", "cxrjax.radiograph", "cxrjax.runs", "cxrjax.runtime",
        "cxrjax.runtime.*", "cxrjax.train",
    },
}  # fmt: skip
ALLOWED: dict[str, set[str]] = {
    "cxrjax": set(),
    **LEAVES,
    **NETWORKS,
    **DOORS_TO_THE_DISK,
    **SCORES,
    **TASKS,
    **COMMANDS,
    "data_prep": {"data_prep.*"},
    "data_prep.*": {"data_prep", "data_prep.*", "cxrjax.io.*", "cxrjax.radiograph"},
    "data_prep.__main__": {"data_prep.*", "cxrjax.io.*", "cxrjax.runtime.signals"},
    "data_prep.text": {"data_prep.*", "cxrjax.runtime.terminal"},
    "data_prep.workers": {"data_prep.*", "cxrjax.runtime.signals"},
    "configs": set(),
    "configs.*": {"configs.*"},
}

# A package, or a part of one -> the modules that may import it; every other module may not.
ONLY: dict[str, set[str]] = {
    "tensorflow": set(),
    "torch": set(),
    "orbax": {"cxrjax.checkpoints"},
    "absl": {"cxrjax.main"},
    "ml_collections.config_flags": {"cxrjax.main"},
    "tensorflow_datasets": {"cxrjax.data", "cxrjax.io.prepared", "data_prep.*"},
    "grain": {"cxrjax.data"},
    "matplotlib": {"cxrjax.figures.*"},
    "tensorboardX": {"cxrjax.train", "cxrjax.history"},
    "apache_beam": {"data_prep.workers"},
    "h5py": {"cxrjax.io.keras_h5"},
    "huggingface_hub": {"cxrjax.pretrained.hub"},
    "jax.export": {"cxrjax.export.stablehlo", "cxrjax.programs"},
    "jax2onnx": {"cxrjax.export.onnx"},
    "onnxruntime": {"cxrjax.export.onnx"},
    "safetensors": {"cxrjax.pretrained.files", "cxrjax.pretrained.safetensors_file", "cxrjax.exchange"},
    # It runs what a file names, which cxrjax.pretrained.unpickle does not; workers read what their parent just wrote.
    "pickle": {"data_prep.workers"},
    "jinja2": {"cxrjax.report.render"},
    "markupsafe": {"cxrjax.report.render"},
    "kagglehub": {"data_prep.fetch.obtain"},
}

# A module -> what it may not import: the command line holds no array code, configs are settings, networks know no disk.
_DISK = {"os", "io", "pathlib", "shutil", "tempfile", "cv2", "pydicom"}
NEVER: dict[str, set[str]] = {
    **dict.fromkeys(("cxrjax.main", "cxrjax.commands"), {"numpy", "jax.numpy", "jax.lax"}),
    "configs.*": {"numpy", "jax", *_DISK},
    **dict.fromkeys(
        ("cxrjax.anatomy", "cxrjax.augment", "cxrjax.losses", "cxrjax.metrics", "cxrjax.optimisers"), _DISK
    ),
    **dict.fromkeys(
        (
            "cxrjax.dense",
            "cxrjax.faithfulness",
            "cxrjax.patches",
            "cxrjax.saliency",
            "cxrjax.voting",
            "cxrjax.models*",
            "cxrjax.pipeline",
        ),
        _DISK,
    ),
    **dict.fromkeys(("cxrjax.contrast", "cxrjax.lung_crop"), _DISK),
    **dict.fromkeys(("cxrjax.patches", "cxrjax.saliency", "cxrjax.voting", "cxrjax.models*", "cxrjax.pipeline"), _DISK),
}


def read_tree(root: Path) -> dict[str, str]:
    """Module name -> source, of every package."""
    paths = [path for package in PACKAGES for path in (root / package).rglob("*.py")]
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path.read_text()
        for path in paths
    }


def imports(source: str) -> Iterator[str]:
    """Dotted name of all that a source imports, at its top or inside a function: `from a import b` is `a.b`.

    Raises:
        ValueError: an import is relative; ours are written out, so that a reader can search for them.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"line {node.lineno}: write relative imports out")
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def known(tree: dict[str, str]) -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports: the longest name that is a module, what follows is inside it."""
    graph = {}
    for module, source in tree.items():
        names = [name.split(".") for name in imports(source)]
        prefixes = [[".".join(name[:n]) for n in range(len(name), 0, -1)] for name in names if name[0] in PACKAGES]
        graph[module] = {next(p for p in prefix if p in tree or "." not in p) for prefix in prefixes}
    return graph


def matches(name: str, patterns: set[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def row(module: str) -> str | None:
    """The row of `ALLOWED` that governs a module: its own, else that of the package it is inside."""
    return module if module in ALLOWED else next((key for key in ALLOWED if fnmatchcase(module, key)), None)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def faults(tree: dict[str, str]) -> list[str]:
    """A sentence for every import that is against the tables, and for every module they do not place."""
    found = []
    for module, targets in sorted(known(tree).items()):
        if row(module) is None:
            found.append(f"{module} is not in ALLOWED: say where it stands")
            continue
        found += [f"{module} imports {t}" for t in sorted(targets) if not matches(t, ALLOWED[row(module)])]
        for name in sorted(set(imports(tree[module]))):
            owners = [ONLY[package] for package in ONLY if within(name, package)]
            barred = [banned for key in NEVER if fnmatchcase(module, key) for banned in NEVER[key]]
            if any(not matches(module, allowed) for allowed in owners) or any(within(name, b) for b in barred):
                found.append(f"{module} imports {name}")
    return found


@pytest.fixture(scope="module")
def tree() -> dict[str, str]:
    return read_tree(ROOT)


def test_arrows_point_one_way(tree: dict[str, str]) -> None:
    found = faults(tree)
    assert not found, "\n".join(found)


def test_no_module_imports_itself_by_a_detour(tree: dict[str, str]) -> None:
    TopologicalSorter(known(tree)).prepare()


def test_every_row_places_a_module(tree: dict[str, str]) -> None:
    assert set(ALLOWED) - {row(module) for module in tree} == set()


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("cxrjax.voting", "from cxrjax import pipeline", "cxrjax.voting imports cxrjax.pipeline"),
        ("cxrjax.voting", "from cxrjax.pipeline import diagnose", "cxrjax.voting imports cxrjax.pipeline"),
        ("cxrjax.voting", "def vote():\n    import cxrjax.pipeline", "cxrjax.voting imports cxrjax.pipeline"),
        ("cxrjax.voting", "from pathlib import Path", "cxrjax.voting imports pathlib.Path"),
        ("cxrjax.pipeline", "from cxrjax.models.conv import Conv", "cxrjax.pipeline imports cxrjax.models.conv"),
        ("cxrjax.train", "import orbax.checkpoint as ocp", "cxrjax.train imports orbax.checkpoint"),
        ("cxrjax.main", "from jax import numpy as jnp", "cxrjax.main imports jax.numpy"),
        ("cxrjax.data", "import tensorflow as tf", "cxrjax.data imports tensorflow"),
        ("data_prep.phantom", "from cxrjax import patches", "data_prep.phantom imports cxrjax.patches"),
        ("cxrjax.helpers", "", "cxrjax.helpers is not in ALLOWED: say where it stands"),
    ],
)
def test_a_planted_import_is_found(module: str, source: str, fault: str) -> None:
    stand_ins = dict.fromkeys(("cxrjax.pipeline", "cxrjax.patches", "cxrjax.models", "cxrjax.models.conv"), "")
    assert faults(stand_ins | {module: source}) == [fault]


def test_what_is_allowed_is_let_through() -> None:
    tree = {
        "cxrjax.models": "from cxrjax.models.conv import Conv",
        "cxrjax.models.conv": "import jax.numpy as jnp",
        "cxrjax.pipeline": "from cxrjax import models\nfrom cxrjax.models import build",
        "cxrjax.checkpoints": "import orbax.checkpoint as ocp",
        "data_prep.sources.jsrt": "import tensorflow_datasets as tfds\nfrom cxrjax.radiograph import read",
        "cxrjax.radiograph": "import cv2",
    }
    assert faults(tree) == []


def test_a_planted_circle_is_found() -> None:
    tree = {"cxrjax.pipeline": "from cxrjax import networks", "cxrjax.networks": "from cxrjax.pipeline import diagnose"}
    with pytest.raises(CycleError):
        TopologicalSorter(known(tree)).prepare()


def test_a_relative_import_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2: write relative imports out"):
        list(imports("import jax\nfrom . import voting"))
