"""Commands of the command line, one per mode: each runs its mode and prints the outcome."""

import sys
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cxrjax as cx
from cxrjax.cli import model_facts
from cxrjax.config import Config
from cxrjax.io import json_file
from cxrjax.runtime.errors import explain_missing_class, explain_missing_detector
from cxrjax.runtime.formatting import format_count
from cxrjax.runtime.terminal import print_line, print_lines

if TYPE_CHECKING:
    from cxrjax.io.files import SkippedFile

# Modules of a mode are imported in its function, so that --help and an invalid command line answer at once.

_MAX_LISTED = 20  # refused or skipped files that are named on the terminal
_SERVE_PORT = 8000
_SERVE_PACKAGES = ("starlette", "uvicorn")  # of cxrjax[serve]


class Request(NamedTuple):
    """Values of the flags, see the help of `cxrjax.main`; a flag that a mode does not take has its default."""

    workdir: Path
    config: Config | None = None
    split: str = "test"
    dataset: str | None = None
    baseline: str = ""
    lesion_csv: str | None = None
    input: str = ""
    output: str = ""
    calibrated: bool = False
    reject_ood: bool = False
    save: Sequence[str] = ("figure",)
    label: str | None = None
    value_range: Sequence[str] | None = None
    if_inverted: str = "refuse"
    deidentify: bool = False
    num_processes: int | None = None
    process_id: int | None = None
    model: str = ""
    host: str = "127.0.0.1"
    port: int | None = None  # None for the port of the mode
    aet: str = "CXRJAX"
    send_to: str = ""
    allow_aet: Sequence[str] = ()
    allow_address: Sequence[str] = ()

    def require_config(self) -> Config:
        """Return the config of a mode that requires --config."""
        assert self.config is not None
        return self.config


def parse_range(values: Sequence[str] | None) -> tuple[float, float] | None:
    """Return the two numbers of --value_range; None without it.

    Raises:
        ValueError: they are not two numbers, the lower one first.
    """
    if values is None:
        return None
    try:
        low, high = map(float, values)
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise ValueError(f"--value_range={','.join(values)} is not two numbers, the lower one first, such as 0,4095")
    return low, high


def _results_dirname(request: Request) -> str:
    """Return the name of the folder of the results on the split of a request."""
    from cxrjax.runs import dataset_record, run_dir

    if not request.dataset:
        return request.split
    config = run_dir.load_config(request.workdir)
    return dataset_record.results_dirname(request.workdir, config, request.split, request.dataset)


def train_network(request: Request) -> None:
    """Train, and fit the OOD detector of a classifier that has a segmenter."""
    from cxrjax.api import functions
    from cxrjax.training import trainer

    config = request.require_config()
    best = trainer.train(config, request.workdir)
    scores = ", ".join(f"{name} {value:.4f}" for name, value in best.items() if "/" in name)
    print_line(f"trained: the best epoch was {best['epoch']} ({scores})")
    functions.fit_ood_detector(config, request.workdir)
    print_line(f"the run is in {request.workdir}")


def evaluate_run(request: Request) -> None:
    """Evaluate on a split."""
    from cxrjax.evaluation import tables

    scores = cx.evaluate(request.workdir, request.split, data=request.dataset)
    if not scores:  # only the first process has scores
        return
    print_lines(tables.format_scores(scores))
    _print_undecided(request.workdir, scores["split"])
    _print_external(request.workdir, scores["split"])
    print_line(f"rows, metrics and figures are in {request.workdir / 'evaluation' / scores['split']}")


def rescore_run(request: Request) -> None:
    """Recompute the metrics of an evaluation from its rows."""
    from cxrjax.evaluation import external, scoring, tables

    name = _results_dirname(request)
    print_lines(tables.format_scores(scoring.score_run(request.workdir, name)))
    external.assess_run(request.workdir, name)
    _print_undecided(request.workdir, name)
    _print_external(request.workdir, name)
    print_line(f"metrics and figures are in {request.workdir / 'evaluation' / name}")


def _print_undecided(workdir: Path, name: str) -> None:
    """Print how many predictions of an evaluation are undecided, if there is a threshold."""
    from cxrjax.evaluation import decisions

    sentences = decisions.summarize_run(workdir, name)
    if sentences:
        print_line("")
        print_line(sentences)


def _print_external(workdir: Path, name: str) -> None:
    """Print the tables of an evaluation on another data set, and whether the audit's forecast came true."""
    from cxrjax.audit import forecast
    from cxrjax.evaluation import external, external_finding_tables, external_tables, external_verdict

    result = external.read(workdir, name)
    if result is None:
        return
    is_multi_label = external_verdict.is_multi_label(result)
    format_result = external_finding_tables.format_findings if is_multi_label else external_tables.format_external
    print_line("")
    print_lines(format_result(result))
    audited = forecast.read_audit(workdir, result)
    if audited is not None:
        print_line(forecast.check(audited, result).sentence)


def compare_runs(request: Request) -> None:
    """Compare two runs on the same radiographs."""
    from cxrjax.evaluation import compare_runs as compare
    from cxrjax.evaluation import tables
    from cxrjax.report import comparison

    name = _results_dirname(request)
    print_lines(tables.format_comparison(compare.compare_runs(request.workdir, Path(request.baseline), name)))
    if shortcuts := comparison.format_shortcuts(request.workdir, Path(request.baseline), name):
        print_line("")
        print_lines(shortcuts)
    print_line(f"the comparison is in {compare.comparison_path(request.workdir, Path(request.baseline), name)}")
    print_line(f"the page is {comparison.write(request.workdir, Path(request.baseline), name)}")


def audit_run(request: Request) -> None:
    """Audit a classifier for shortcuts."""
    from cxrjax import audit
    from cxrjax.audit import config as probe_config
    from cxrjax.config import freeze

    config = request.config or freeze(probe_config.get_config())
    print_lines(audit.summarize(audit.audit(request.workdir, request.split, config)))
    print_line(f"rows, numbers and the figure are in {request.workdir / 'audit' / request.split}")


def evaluate_saliency(request: Request) -> None:
    """Evaluate the saliency maps of a run."""
    from cxrjax.evaluation import saliency, saliency_verdict

    table = Path(request.lesion_csv) if request.lesion_csv else None
    print_lines(
        saliency_verdict.format_table(
            saliency.evaluate_saliency(request.workdir, request.split, request.dataset, table)
        )
    )
    print_line(f"rows, figures and curves are in {request.workdir / 'saliency' / _results_dirname(request)}")


def measure_morphometry(request: Request) -> None:
    """Measure hearts and lungs, and compare the classes."""
    from cxrjax.evaluation import morphometry

    print_lines(
        morphometry.format_comparison(morphometry.compare_morphometry(request.workdir, request.split, request.dataset))
    )
    print_line(f"rows, tests and box plots are in {request.workdir / 'morphometry' / _results_dirname(request)}")


def fit_ood_detector(request: Request) -> None:
    """Refit the out-of-distribution detector of a run."""
    from cxrjax.inference import fit_ood

    fit_ood.fit_ood_detector(request.workdir)
    print_line(f"fitted: the detector's thresholds and limits are in {request.workdir / 'ood_detector.json'}")


def write_report(request: Request) -> None:
    """Write the report of a run."""
    from cxrjax import report

    print_line(f"the report is {report.write(request.workdir, request.split, request.dataset)}")


def check_own_dataset(request: Request) -> None:
    """Raise a ValueError if the data set of a run is read and is not where it was in training.

    Raises:
        DamagedFileError: the config of the run is damaged.
    """
    if request.dataset:
        return
    settings = json_file.read(request.workdir / "config.json", "use another run").get("data")
    directory = settings.get("dir") if isinstance(settings, dict) else None
    if isinstance(directory, str) and directory and not Path(directory).exists():
        raise ValueError(
            f"{directory}: the data set of {request.workdir} is not here; if it has moved, give --dataset=DIR, or, "
            "which an audit needs, repeat the command of the training with --config.data.dir=DIR"
        )


def check_serve_packages(request: Request) -> None:
    """Raise a ValueError if a package that --mode=serve needs is not installed."""
    require_packages("--mode=serve", _SERVE_PACKAGES, "serve")


def require_packages(flag: str, names: Sequence[str], extra: str) -> None:
    """Raise a ValueError if a package that a flag needs is not installed."""
    if missing := [name for name in names if find_spec(name) is None]:
        raise ValueError(f"{flag} needs {' and '.join(missing)}: pip install 'cxrjax[{extra}]'")


def check_prediction(request: Request) -> None:
    """Raise a ValueError if a prediction cannot be made or written, as far as that is known without loading a model.

    Raises:
        DamagedFileError: the config of the run is damaged.
    """
    _check_output_folder(request)
    if "dicom" in request.save:
        require_packages("--save=dicom", ("highdicom",), "dicom")
    if request.label is None and not request.reject_ood:
        return
    facts = model_facts.read(request.workdir, request.model)
    if facts is None:
        return
    run = request.model or request.workdir
    if request.label is not None and request.label not in facts.classes:
        raise ValueError(explain_missing_class(run, request.label, facts.classes))
    if request.reject_ood and not facts.has_ood_detector:
        raise ValueError(explain_missing_detector(run))


def _check_output_folder(request: Request) -> None:
    """Raise a ValueError if --output cannot hold a prediction, as far as that is known without a search."""
    from cxrjax.cli import output_folder
    from cxrjax.io.files import Listing

    source = Path(request.input)
    output = Path(request.output)
    output_folder.refuse_overlap(source, output, Listing([], [], [source]))
    output_folder.OutputFolder(output, ())


def predict_radiographs(request: Request) -> int:
    """Predict a radiograph or a folder, by a run or a model of the package."""
    from cxrjax.cli import predict_files
    from cxrjax.io import predictions_csv

    source = Path(request.input)
    output = Path(request.output)
    num_processes = request.num_processes or 1
    process_id = request.process_id or 0
    rows, skipped_files = predict_files.predict(
        request.workdir,
        source,
        output,
        calibrated=request.calibrated,
        reject_ood=request.reject_ood,
        process_id=process_id,
        num_processes=num_processes,
        save=request.save,
        saliency_label=request.label,
        value_range=parse_range(request.value_range),
        if_inverted=request.if_inverted,
        deidentify=request.deidentify,
    )
    counts = Counter(row["status"] for row in rows)
    processed = len(rows) - counts[predictions_csv.UNREADABLE] - counts[predictions_csv.REFUSED]
    print_line(f"{format_count(processed, 'radiograph')} processed; rows and files are in {output}")
    if num_processes > 1:
        print_line(f"predictions.csv is written when all {num_processes} processes are done")
    refused = [row for row in rows if row["status"] == predictions_csv.REFUSED]
    for row in refused[:_MAX_LISTED]:
        print_line(f"{row['status']}: {row['path']}: {row['reason']}", sys.stderr)
    if refused:
        print_line(f"{len(refused)} refused, the reasons are in {output / 'predictions.csv'}")
    undecided = sum(row.get("decision") == predictions_csv.UNDECIDED for row in rows)
    if undecided:
        print_line(
            f"{format_count(undecided, 'prediction')} undecided: by the validation split, fewer than 9 in 10 of such a "
            "confidence are expected to be correct"
        )
    for notice in sorted({row.get("notice") or "" for row in rows} - {""}):
        print_line(notice)
    failed = [row for row in rows if row["status"] in (predictions_csv.UNREADABLE, predictions_csv.FAILED)]
    for row in failed:
        print_line(f"{row['status']}: {row['path']}: {row['reason']}", sys.stderr)
    if process_id == 0:
        _list_skipped_files(skipped_files, source, output)
    return 3 if failed or any(file.is_unopened for file in skipped_files) else 0


def serve_model(request: Request) -> None:
    """Serve a model as a web page and REST interface, until a signal ends the process."""
    from cxrjax.serve import server

    model = cx.load(request.workdir, calibrated=request.calibrated)
    port = _SERVE_PORT if request.port is None else request.port
    server.serve(model, request.model or str(request.workdir.resolve()), request.host, port)


def _list_skipped_files(skipped_files: "Sequence[SkippedFile]", source: Path, output: Path) -> None:
    from cxrjax.io import files

    visible = [file for file in skipped_files if file.reason != files.HIDDEN]
    for file in visible[:_MAX_LISTED]:
        print_line(f"skipped: {file.path.relative_to(source)}: {file.reason}", sys.stderr)
    num_hidden = len(skipped_files) - len(visible)
    unlisted = [format_count(len(visible) - _MAX_LISTED, "file")] if len(visible) > _MAX_LISTED else []
    if num_hidden:
        unlisted.append(format_count(num_hidden, "hidden name"))
    if unlisted:
        print_line(f"also skipped: {' and '.join(unlisted)}", sys.stderr)
    if skipped_files:
        print_line(f"all skipped files are listed in {output / 'skipped_files.csv'}", sys.stderr)


def find_learning_rate(request: Request) -> None:
    """Search for a learning rate."""
    from cxrjax.training import lr_finder

    learning_rate = lr_finder.find_learning_rate(request.require_config(), request.workdir)
    print_line(f"suggested: training.learning_rate={learning_rate:.1e}")


def cross_validate_network(request: Request) -> None:
    """Train once for each fold, and pool the scores."""
    from cxrjax.evaluation import cross_validation

    print_lines(
        cross_validation.format_scores(cross_validation.cross_validate(request.require_config(), request.workdir))
    )
    print_line(f"the scores are in {request.workdir / 'cross_validation.json'}")


def import_weights(request: Request) -> None:
    """Import published weights into a new run, or unpack a trained model as one."""
    from cxrjax.runs import bundled_models, model_file, weights

    if request.config is None:
        model_file.unpack(bundled_models.find_file(request.input), request.workdir)
        print_line(f"imported: the run of {request.input} is in {request.workdir}")
        return
    weights.import_weights(request.config, request.input, request.workdir)
    print_line(f"imported: every weight of {request.input} was assigned; the run is in {request.workdir}")


def retrain_last_layer(request: Request) -> None:
    """Train the last layer of a finished run again, on equally weighted sources and classes."""
    from cxrjax.training.remedies import last_layer

    counts = last_layer.retrain_last_layer(request.workdir, Path(request.output))
    groups = ", ".join(f"{count} of {group}" for group, count in counts.items())
    print_line(f"trained again: the last layer, by {groups}; the run is in {request.output}")


def export_weights(request: Request) -> None:
    """Export the network of a run for other programs."""
    from cxrjax.runs import weights

    target = Path(request.output)
    if target.suffix == ".safetensors":
        weights.export_weights(request.workdir, target)
        print_line(f"exported: the weights are in {target}, with PyTorch's names")
    else:
        files = cx.export_run(request.workdir, target)
        print_line(f"exported: {', '.join(files)} are in {target}, each read back and equal to the run")
        if not any(name.endswith(".onnx") for name in files):
            print_line("no ONNX was written, since its packages are missing: pip install 'cxrjax[onnx]'")
