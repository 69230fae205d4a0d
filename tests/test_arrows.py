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
    "cxrjax.runtime.malloc": set(),
    "cxrjax.ops.lung_masks": set(),
    "cxrjax.ops.augmentation": set(),
    "cxrjax.ops.contrast": set(),
    "cxrjax.runtime.sharding": set(),
    "cxrjax.metrics.saliency": set(),
    "cxrjax.figures": {"cxrjax.figures.*"},
    "cxrjax.figures.*": {"cxrjax.figures.*", "cxrjax.evaluation.tables", "cxrjax.runtime.atomic_files"},
    "cxrjax.inference.ood": {"cxrjax.inference.gaussian", "cxrjax.runtime.compilation_cache", "cxrjax.statistics.*"},
    "cxrjax.training.param_groups": set(),
    "cxrjax.runtime.multihost": set(),
    "cxrjax.cli.arguments": {"cxrjax.config_schema", "cxrjax.runtime", "cxrjax.runtime.cache", "cxrjax.runtime.text"},
    "cxrjax.config_schema": {"cxrjax.runtime.text"},
    "cxrjax.io": set(),
    "cxrjax.io.*": {"cxrjax.io.*", "cxrjax.runtime.*"},
    "cxrjax.io.lesions_csv": {"cxrjax.io.*"},
    "cxrjax.training.losses": {"cxrjax.ops.lung_masks"},
    "cxrjax.metrics.classification": {"cxrjax.statistics.*"},
    "cxrjax.data.batch": set(),
    "cxrjax.ops.lung_crop": set(),
    "cxrjax.metrics.group_tests": {"cxrjax.statistics.*"},
    "cxrjax.inference.gaussian": set(),
    "cxrjax.ops.morphometry": {"cxrjax.ops.lung_masks", "cxrjax.ops.patches"},
    "cxrjax.training.optimizers": set(),
    "cxrjax.runs.provenance": {"cxrjax.io.json_file", "cxrjax.runtime.atomic_files"},
    "cxrjax.ops.patches": set(),
    "cxrjax.inference": set(),
    "cxrjax.inference.output": {
        "cxrjax.inference.picture_names", "cxrjax.io.*", "cxrjax.runtime.ledger", "cxrjax.runtime.atomic_files",
    },
    "cxrjax.inference.picture_names": set(),
    "cxrjax.inference.resumable": {"cxrjax.io.predictions_csv", "cxrjax.runtime.atomic_files"},
    "cxrjax.io.predictions_csv": {"cxrjax.io.csv_text", "cxrjax.runtime.atomic_files"},
    "cxrjax.runtime": set(),
    "cxrjax.runtime.*": {"cxrjax.runtime.*", "cxrjax.runtime.atomic_files"},
    "cxrjax.runtime.compilation_cache": {"cxrjax", "cxrjax.runtime.cache", "cxrjax.runtime.atomic_files"},  # cxrjax for where its code lies
    "cxrjax.io.radiograph": {"cxrjax.io.*"},
    "cxrjax.ops.cam": {"cxrjax.ops.patches", "cxrjax.runtime.platform"},
    "cxrjax.data.sampler": set(),
    "cxrjax.training.schedules": set(),
    "cxrjax.training.model_selection": set(),
    "cxrjax.data.preprocessing": {"cxrjax.io.*", "cxrjax.io.radiograph"},
    "cxrjax.statistics": set(),
    "cxrjax.statistics.*": {"cxrjax.statistics.*"},
    "cxrjax.evaluation.tables": set(),
    "cxrjax.evaluation.saliency_verdict": {"cxrjax.statistics.*"},
    "cxrjax.ops.voting": set(),
    "cxrjax.runtime.atomic_files": {"cxrjax.runtime.multihost"},
}  # fmt: skip
NETWORKS: dict[str, set[str]] = {
    "cxrjax.models": {"cxrjax.models.*"},
    "cxrjax.models.*": {"cxrjax.models.*", "cxrjax.runtime.platform"},
    "cxrjax.pretrained": {"cxrjax.ops.lung_masks", "cxrjax.models.registry", "cxrjax.pretrained.*", "cxrjax.runtime.*"},
    "cxrjax.pretrained.*": {"cxrjax.pretrained.*", "cxrjax.runtime.*"},
    "cxrjax.inference.inputs": {*LEAVES, "cxrjax.models.registry"},
    "cxrjax.inference.dense": {*LEAVES, "cxrjax.models.registry", "cxrjax.inference.inputs"},
    "cxrjax.inference.pipeline": {
        *LEAVES,
        "cxrjax.inference.dense",
        "cxrjax.models.registry",
        "cxrjax.inference.inputs",
    },
    "cxrjax.inference.patch_parallel": {
        *LEAVES,
        "cxrjax.models.registry",
        "cxrjax.inference.pipeline",
        "cxrjax.inference.inputs",
    },
    "cxrjax.models.from_config": {*LEAVES, "cxrjax.models.registry", "cxrjax.inference.inputs"},
}
DOORS_TO_THE_DISK: dict[str, set[str]] = {
    "cxrjax.data.dataset": {*LEAVES},
    "cxrjax.runs.checkpoints": {"cxrjax.runtime.text"},
    "cxrjax.runs.label_counts": {"cxrjax.data.dataset", "cxrjax.io.json_file", "cxrjax.runtime.atomic_files"},
    "cxrjax.runs.run_dir": {
        "cxrjax.config_schema", "cxrjax.inference.ood", "cxrjax.io.json_file", "cxrjax.inference.gaussian", "cxrjax.models.from_config",
        "cxrjax.runs.checkpoints", "cxrjax.runtime.text", "cxrjax.runtime.atomic_files",
    },
    "cxrjax.runs.weights": {
        "cxrjax.ops.lung_masks", "cxrjax.pretrained.state_dict", "cxrjax.pretrained.*", "cxrjax.runs.checkpoints", "cxrjax.runs.run_dir",
        "cxrjax.runtime.*", "cxrjax.runtime.atomic_files",
    },
    "cxrjax.runs.history": {"cxrjax.io.json_file", "cxrjax.runtime.atomic_files"},
    "cxrjax.inference.ensemble": {*LEAVES, *NETWORKS, "cxrjax.runs.checkpoints", "cxrjax.runs.run_dir"},
}  # fmt: skip
SCORES: dict[str, set[str]] = {  # what rows tell, without a network
    "cxrjax.metrics.prediction_arrays": {"cxrjax.metrics.classification", "cxrjax.io.predictions_csv", "cxrjax.statistics.*"},
    "cxrjax.runs.calibration": {
        "cxrjax.metrics.prediction_arrays", "cxrjax.io.json_file", "cxrjax.runs.provenance", "cxrjax.io.predictions_csv", "cxrjax.statistics.*",
        "cxrjax.runtime.atomic_files",
    },
    "cxrjax.evaluation.plots": {"cxrjax.plotting", "cxrjax.metrics.prediction_arrays", "cxrjax.metrics.classification", "cxrjax.statistics.*", "cxrjax.evaluation.tables"},
    "cxrjax.evaluation.scoring": {
        "cxrjax.runs.calibration", "cxrjax.evaluation.plots", "cxrjax.metrics.prediction_arrays", "cxrjax.metrics.classification", "cxrjax.runs.provenance",
        "cxrjax.io.predictions_csv", "cxrjax.runs.run_dir", "cxrjax.statistics.*", "cxrjax.runs.label_counts", "cxrjax.runtime.atomic_files",
    },
    "cxrjax.evaluation.compare_runs": {
        "cxrjax.metrics.prediction_arrays", "cxrjax.metrics.classification", "cxrjax.io.predictions_csv", "cxrjax.statistics.*",
        "cxrjax.runtime.atomic_files",
    },
}  # fmt: skip
TASKS: dict[str, set[str]] = {
    "cxrjax.training.task": set(),
    "cxrjax.inference.lung_segmenter": {*LEAVES, *NETWORKS, "cxrjax.data.dataset"},
    "cxrjax.training.classification_data": {
        "cxrjax.data.batch",
        "cxrjax.data.dataset",
        "cxrjax.inference.lung_segmenter",
    },
    "cxrjax.tasks.*": {
        *LEAVES,
        *NETWORKS,
        "cxrjax.data.dataset",
        "cxrjax.training.task",
        "cxrjax.training.classification_data",
        "cxrjax.inference.lung_segmenter",
    },
    "cxrjax.data.loader": {"cxrjax.data.dataset", "cxrjax.runtime.sharding", "cxrjax.data.sampler"},
    "cxrjax.training.train_step": {*LEAVES, "cxrjax.models.registry", "cxrjax.data.loader", "cxrjax.training.task"},
}
BELOW = {*LEAVES, *NETWORKS, *DOORS_TO_THE_DISK, *TASKS, "cxrjax.runs.calibration"}
COMMANDS: dict[str, set[str]] = {
    "cxrjax.training.trainer": BELOW,
    "cxrjax.inference.predictor": BELOW | {"cxrjax.runtime.terminal"},  # what evaluate and predict share
    "cxrjax.evaluation.evaluate": BELOW | {"cxrjax.inference.predictor", "cxrjax.inference.fit_ood", "cxrjax.evaluation.scoring"},
    "cxrjax.evaluation.saliency": BELOW,
    "cxrjax.audit": {"cxrjax.audit.run"},
    "cxrjax.audit.perturbations": set(),
    "cxrjax.audit.metadata_baseline": {"cxrjax.io.*"},
    "cxrjax.audit.criteria": {"cxrjax.audit.metrics"},
    "cxrjax.audit.verdict": {"cxrjax.audit.criteria", "cxrjax.audit.metrics", "cxrjax.audit.formatting", "cxrjax.evaluation.tables"},
    "cxrjax.audit.formatting": {"cxrjax.audit.criteria"},
    "cxrjax.audit.*": BELOW | {"cxrjax.audit.*", "cxrjax.training.trainer", "cxrjax.evaluation.evaluate", "cxrjax.metrics.prediction_arrays"},
    "cxrjax.inference.predict": BELOW | {"cxrjax.inference.predictor"},
    "cxrjax.report": BELOW | {"cxrjax.inference.predictor", "cxrjax.report.*"},
    # cxrjax for its version
    "cxrjax.report.*": BELOW | {"cxrjax", "cxrjax.inference.predictor", "cxrjax.metrics.prediction_arrays", "cxrjax.report.*"},
    "cxrjax.export": BELOW | {"cxrjax.export.*"},
    # cxrjax for its version
    "cxrjax.export.*": BELOW | {"cxrjax", "cxrjax.export.*"},
    "cxrjax.inference.fit_ood": BELOW | {"cxrjax.inference.predictor"},
    "cxrjax.evaluation.morphometry": BELOW | {"cxrjax.inference.predictor"},
    "cxrjax.training.lr_finder": BELOW | {"cxrjax.training.trainer"},
    "cxrjax.evaluation.cross_validation": BELOW | {"cxrjax.training.trainer", "cxrjax.evaluation.evaluate"},
    "cxrjax.cli.commands": {
        "configs.audit", "cxrjax.audit", "cxrjax.evaluation.saliency", "cxrjax.evaluation.compare_runs", "cxrjax.evaluation.morphometry",
        "cxrjax.evaluation.cross_validation", "cxrjax.data.dataset", "cxrjax.evaluation.evaluate", "cxrjax.runs.weights", "cxrjax.export",
        "cxrjax.training.lr_finder", "cxrjax.inference.fit_ood", "cxrjax.io.files", "cxrjax.inference.predict", "cxrjax.io.predictions_csv",
        "cxrjax.report", "cxrjax.runs.run_dir", "cxrjax.runtime.terminal", "cxrjax.evaluation.scoring", "cxrjax.evaluation.tables", "cxrjax.training.trainer",
        "cxrjax.evaluation.saliency_verdict",
    },
    # data, radiograph, runs and train for the errors that it puts in words
    "cxrjax.main": {
        "cxrjax", "cxrjax.runtime.malloc", "cxrjax.cli.arguments", "cxrjax.cli.commands", "cxrjax.data.dataset", "cxrjax.runtime.sharding",
        "cxrjax.runtime.multihost", "cxrjax.io.limits", "cxrjax.runtime.compilation_cache", "cxrjax.io.radiograph", "cxrjax.runs.run_dir", "cxrjax.runtime",
        "cxrjax.runtime.*", "cxrjax.training.trainer",
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
    "data_prep.*": {"data_prep", "data_prep.*", "cxrjax.io.*", "cxrjax.io.radiograph"},
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
    "orbax": {"cxrjax.runs.checkpoints"},
    "absl": {"cxrjax.main"},
    "ml_collections.config_flags": {"cxrjax.main"},
    "tensorflow_datasets": {"cxrjax.data.dataset", "cxrjax.io.prepared", "data_prep.*"},
    "grain": {"cxrjax.data.dataset"},
    "matplotlib": {"cxrjax.figures.*"},
    "tensorboardX": {"cxrjax.training.trainer", "cxrjax.runs.history"},
    "apache_beam": {"data_prep.workers"},
    "h5py": {"cxrjax.io.keras_h5"},
    "huggingface_hub": {"cxrjax.pretrained.hub"},
    "jax.export": {"cxrjax.export.stablehlo", "cxrjax.runtime.compilation_cache"},
    "jax2onnx": {"cxrjax.export.onnx"},
    "onnxruntime": {"cxrjax.export.onnx"},
    "safetensors": {"cxrjax.pretrained.formats", "cxrjax.pretrained.safetensors_file", "cxrjax.runs.weights"},
    # It runs what a file names, which cxrjax.pretrained.safe_unpickle does not; workers read what their parent just wrote.
    "pickle": {"data_prep.workers"},
    "jinja2": {"cxrjax.report.render"},
    "markupsafe": {"cxrjax.report.render"},
    "kagglehub": {"data_prep.fetch.obtain"},
}

# A module -> what it may not import: the command line holds no array code, configs are settings, networks know no disk.
_DISK = {"os", "io", "pathlib", "shutil", "tempfile", "cv2", "pydicom"}
NEVER: dict[str, set[str]] = {
    **dict.fromkeys(("cxrjax.main", "cxrjax.cli.commands"), {"numpy", "jax.numpy", "jax.lax"}),
    "configs.*": {"numpy", "jax", *_DISK},
    **dict.fromkeys(
        (
            "cxrjax.ops.lung_masks",
            "cxrjax.ops.augmentation",
            "cxrjax.training.losses",
            "cxrjax.metrics.classification",
            "cxrjax.training.optimizers",
        ),
        _DISK,
    ),
    **dict.fromkeys(
        (
            "cxrjax.inference.dense",
            "cxrjax.metrics.saliency",
            "cxrjax.ops.patches",
            "cxrjax.ops.cam",
            "cxrjax.ops.voting",
            "cxrjax.models.registry*",
            "cxrjax.inference.pipeline",
        ),
        _DISK,
    ),
    **dict.fromkeys(("cxrjax.ops.contrast", "cxrjax.ops.lung_crop"), _DISK),
    **dict.fromkeys(
        (
            "cxrjax.ops.patches",
            "cxrjax.ops.cam",
            "cxrjax.ops.voting",
            "cxrjax.models.registry*",
            "cxrjax.inference.pipeline",
        ),
        _DISK,
    ),
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
        ("cxrjax.ops.voting", "from cxrjax import pipeline", "cxrjax.ops.voting imports cxrjax.inference.pipeline"),
        (
            "cxrjax.ops.voting",
            "from cxrjax.inference.pipeline import diagnose",
            "cxrjax.ops.voting imports cxrjax.inference.pipeline",
        ),
        (
            "cxrjax.ops.voting",
            "def vote():\n    import cxrjax.inference.pipeline",
            "cxrjax.ops.voting imports cxrjax.inference.pipeline",
        ),
        ("cxrjax.ops.voting", "from pathlib import Path", "cxrjax.ops.voting imports pathlib.Path"),
        (
            "cxrjax.inference.pipeline",
            "from cxrjax.models.layers.conv import Conv",
            "cxrjax.inference.pipeline imports cxrjax.models.layers.conv",
        ),
        (
            "cxrjax.training.trainer",
            "import orbax.checkpoint as ocp",
            "cxrjax.training.trainer imports orbax.checkpoint",
        ),
        ("cxrjax.main", "from jax import numpy as jnp", "cxrjax.main imports jax.numpy"),
        ("cxrjax.data.dataset", "import tensorflow as tf", "cxrjax.data.dataset imports tensorflow"),
        ("data_prep.phantom", "from cxrjax import patches", "data_prep.phantom imports cxrjax.ops.patches"),
        ("cxrjax.helpers", "", "cxrjax.helpers is not in ALLOWED: say where it stands"),
    ],
)
def test_a_planted_import_is_found(module: str, source: str, fault: str) -> None:
    stand_ins = dict.fromkeys(
        ("cxrjax.inference.pipeline", "cxrjax.ops.patches", "cxrjax.models.registry", "cxrjax.models.layers.conv"), ""
    )
    assert faults(stand_ins | {module: source}) == [fault]


def test_what_is_allowed_is_let_through() -> None:
    tree = {
        "cxrjax.models.registry": "from cxrjax.models.layers.conv import Conv",
        "cxrjax.models.layers.conv": "import jax.numpy as jnp",
        "cxrjax.inference.pipeline": "from cxrjax import models\nfrom cxrjax.models.registry import build",
        "cxrjax.runs.checkpoints": "import orbax.checkpoint as ocp",
        "data_prep.sources.jsrt": "import tensorflow_datasets as tfds\nfrom cxrjax.io.radiograph import read",
        "cxrjax.io.radiograph": "import cv2",
    }
    assert faults(tree) == []


def test_a_planted_circle_is_found() -> None:
    tree = {
        "cxrjax.inference.pipeline": "from cxrjax import networks",
        "cxrjax.models.from_config": "from cxrjax.inference.pipeline import diagnose",
    }
    with pytest.raises(CycleError):
        TopologicalSorter(known(tree)).prepare()


def test_a_relative_import_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2: write relative imports out"):
        list(imports("import jax\nfrom . import voting"))
