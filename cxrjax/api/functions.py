"""Functions of the public namespace that set up what they need: `load`, `read_radiograph`, `train` and others."""

import contextlib
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxrjax.io import files, radiograph
from cxrjax.io.types import Radiograph
from cxrjax.runtime import cache, terminal

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from cxrjax.config import Config
    from cxrjax.inference.model import Model

PathLike = str | os.PathLike[str]

# JAX and the networks are imported in the functions that need them: reading a file needs neither.


def load(run: PathLike, *, ensemble_size: int | None = None, calibrated: bool = False) -> "Model":
    """Load a trained run for predictions.

    Sets up the process as `--mode=predict` does: compiled programs are cached on disk (`enable_compilation_cache`),
    files are read in a separate process, a compilation of more than 5 s is announced on standard error, and each core
    of a CPU becomes a JAX device if JAX has not been used before (`JAX_NUM_CPU_DEVICES=1` prevents that).

    Args:
        run: the run directory that training, or an import of published weights, wrote; the name of a model that comes
            with the package (`cxrjax.models.list("trained")`); a file that `Model.save` wrote; or the address of one,
            "hf:OWNER/NAME/PATH.safetensors". A name has priority over a path: "./lungs" is a folder.
        ensemble_size: how many of the last snapshots of a training by cyclic learning rates vote together; 1 for the
            best network alone, None for the number in the run's config. With another number than that, there is no OOD
            detector and no threshold of the confidence, which were fitted to the networks of the config.
        calibrated: return probabilities at the temperature that was fitted to the validation split. Votes, labels and
            entropies stay as they are.

    Returns:
        The model.

    Raises:
        RunError: there is no run in the directory, it has no trained network yet, no temperature, or too few snapshots.
        WeightFormatError: a file cannot be read or downloaded, or is not that of a model.

    Examples:
        >>> import cxrjax as cx
        >>> model = cx.load("runs/findings")
        >>> model.predict("patient.png").label in model.classes
        True
    """
    cache.redirect_library_caches()
    terminal.silence_xla()

    from cxrjax.inference.loaded_run import load_run
    from cxrjax.inference.model import Model
    from cxrjax.io import reader
    from cxrjax.runs import bundled_models
    from cxrjax.runtime import compile_notice, sharding

    compile_notice.enable()
    with contextlib.suppress(RuntimeError):  # the devices are in use, and stay as they are
        sharding.use_one_device_per_core()
    enable_compilation_cache()
    reader.shared().start()  # it is ready when the networks are
    workdir = bundled_models.find_run(run)
    return Model(workdir, load_run(workdir, calibrated=calibrated, ensemble_size=ensemble_size))


def read_radiograph(path: PathLike) -> Radiograph:
    """Read a radiograph at its native depth: PNG, JPEG, TIFF, WebP, BMP, DICOM, NumPy .npy or JSRT .IMG.

    Args:
        path: the file. Its format is determined from its content; only JSRT .IMG is recognized by its name.

    Returns:
        The radiograph, with pixels uint8 or uint16 [H, W].

    Raises:
        ImageReadError: the file is missing, is not an image, is damaged, or exceeds the limits of size, time and
            memory (environment variable `CXRJAX_LIMITS`); `cxrjax.ImageReadError`.

    Examples:
        >>> import cxrjax as cx
        >>> radiograph = cx.read_radiograph("patient.png")
        >>> radiograph.format, radiograph.pixels.ndim, radiograph.inverted
        ('png', 2, False)
    """
    files.check_regular(Path(path))
    return radiograph.read(Path(path))


def find_radiographs(folder: PathLike) -> list[Path]:
    """List the files of a folder and its subfolders that may be radiographs.

    These are files with the suffix of an image, or with the magic number of DICOM. Hidden files are skipped.

    Args:
        folder: the folder.

    Returns:
        Paths, sorted.

    Raises:
        ImageReadError: the folder is missing, or has no such file; `cxrjax.ImageReadError`.

    Examples:
        >>> import cxrjax as cx
        >>> [path.name for path in cx.find_radiographs("radiographs")]
        ['a.png', 'b.png']
    """
    return files.list_files(Path(folder)).radiographs


def enable_compilation_cache(folder: PathLike | None = None) -> Path | None:
    """Cache compiled programs on disk, so that the next start does not compile them again.

    `load` calls it. A cache that is in use already stays, unless a folder is named; so does a cache that was disabled.

    Args:
        folder: created if it is missing, with access for this user alone, since its programs are executed; "" for no
            cache; None for `JAX_COMPILATION_CACHE_DIR` ("" for none), else `~/.cache/cxrjax`, as the command line
            too.

    Returns:
        The folder; None if programs are not cached. A warning says why if the folder cannot be used.

    Examples:
        >>> import cxrjax as cx
        >>> folder = cx.enable_compilation_cache()
        >>> cx.enable_compilation_cache() == folder
        True
    """
    import jax

    from cxrjax.runtime import compilation_cache

    if folder is None and compilation_cache.is_set_up():
        current = jax.config.values["jax_compilation_cache_dir"]
        return Path(current) if current else None
    name = compilation_cache.cache_dir(None if folder is None else os.fspath(folder))
    if not name:
        compilation_cache.enable_compilation_cache("")  # stays disabled when a model is loaded
        return None
    try:
        compilation_cache.enable_compilation_cache(name)
    except OSError as error:
        warnings.warn(f"{name}: compiled programs cannot be cached here ({error.strerror})", stacklevel=2)
        return None
    return Path(name)


def train(config: "ConfigDict | Config", run: PathLike) -> dict[str, Any]:
    """Train the network of a config, or resume a stopped training; for a classifier, fit its OOD detector.

    Args:
        config: settings, as `cxrjax.config.recipes.load` returns those of a recipe; `cxrjax/config/__init__.py` has the
            unit and source of each.
        run: the run directory, created if it is missing.

    Returns:
        The record of the best epoch, as in RUN/metrics.jsonl.

    Raises:
        RunError: the directory holds a run with other settings.
        DatasetError: there is no prepared data set where `config.data.dir` says.

    Examples:
        >>> import cxrjax as cx
        >>> config = cx.recipes.load("phantom:segment")
        >>> config.data.dir = "data/phantom"
        >>> best = cx.train(config, "runs/lungs")  # doctest: +SKIP
    """
    from cxrjax.config import freeze
    from cxrjax.training import trainer

    config = freeze(config)
    best = trainer.train(config, Path(run))
    fit_ood_detector(config, Path(run))
    return best


def fit_ood_detector(config: "Config", run: Path) -> None:
    """Fit the OOD detector of a trained classifier that has a segmenter, if it has none of this network.

    A line on standard error says that it is fitted, which takes minutes, or why it cannot be.
    """
    from cxrjax.inference import fit_ood, ood_store
    from cxrjax.runs import run_dir
    from cxrjax.runtime import terminal

    has_detector = config.task == "classify" and config.segmenter.workdir and config.ood.keep_quantile
    if has_detector and not ood_store.is_fitted_to(run, run_dir.load_step(run, config)):
        terminal.print_line("fitting the out-of-distribution detector", sys.stderr)
        try:
            fit_ood.fit_ood_detector(run)
        except run_dir.RunError as error:
            terminal.warn(f"the run has no OOD detector: {error}")


def evaluate(run: "Model | PathLike", split: str = "test", *, data: PathLike | None = None) -> dict[str, Any]:
    """Evaluate a run on a split: write rows, scores and figures to RUN/evaluation, and return the scores.

    Args:
        run: a run directory, or a loaded model.
        split: "train", "val", "test", or another that the data set has.
        data: another prepared data set than that of training.

    Returns:
        The content of metrics.json: each score with its 95% interval by patient, and the number of radiographs.

    Raises:
        RunError: the run has no trained network yet.
        DatasetError: there is no such data set or split.

    Examples:
        >>> import cxrjax as cx
        >>> scores = cx.evaluate("runs/findings", "test")
        >>> sorted(scores["all"]["macro"]["f1"])
        ['interval', 'n', 'value']
    """
    from cxrjax.evaluation import evaluate as evaluation

    return evaluation.evaluate_run(_folder_of(run), split, None if data is None else os.fspath(data))


def audit_run(run: "Model | PathLike", split: str = "test") -> dict[str, Any]:
    """Audit the classifier of a run for shortcuts: how much of its score can be reached without any sign of disease?

    Small networks are trained on the source, the border, the background and others; it takes minutes. Rows, numbers
    and a figure are written to RUN/audit/SPLIT.

    Args:
        run: a run directory, or a loaded model.
        split: "test", or another split that the network was not trained on.

    Returns:
        The content of audit.json, whose "verdict" has the conclusion in words as "paragraph".

    Raises:
        RunError: the run has no trained classifier, or was trained on the split.
        DatasetError: there is no such data set or split.

    Examples:
        >>> import cxrjax as cx
        >>> audit = cx.audit_run("runs/findings")  # doctest: +SKIP
    """
    from cxrjax import audit
    from cxrjax.audit import config as probe_config
    from cxrjax.config import freeze

    return audit.audit(_folder_of(run), split, freeze(probe_config.get_config()))


def export_run(run: "Model | PathLike", folder: PathLike) -> list[str]:
    """Export the networks of a run for other programs: StableHLO, ONNX and a description of both.

    Args:
        run: a run directory, or a loaded model.
        folder: the folder to write, absent or empty.

    Returns:
        The names of the files in it. ONNX needs the packages of `cxrjax[onnx]`.

    Raises:
        RunError: the run has no trained network yet.
        ExportMismatchError: the outputs of a file, read back, differ from those of the run.
        OSError: the folder is not empty, or cannot be written.

    Examples:
        >>> import cxrjax as cx
        >>> files = cx.export_run("runs/findings", "exported")  # doctest: +SKIP
    """
    from cxrjax import export

    return export.export_model(_folder_of(run), Path(folder))


def _folder_of(run: "Model | PathLike") -> Path:
    return Path(run if isinstance(run, str | os.PathLike) else run.run)
