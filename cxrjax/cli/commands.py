"""Carry out the modes of the command line, and print their outcomes."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cxrjax.runtime.terminal import say, show

if TYPE_CHECKING:
    from cxrjax.io.files import PassedOver

# What a mode needs is imported in its function, so that --help and a wrong command line answer at once.

_LISTED = 20  # files of a folder that are passed over and named on the terminal


class Request(NamedTuple):
    """The flags that modes read; see the help of `cxrjax.main`. A flag that a mode does not take has its default."""

    workdir: Path
    config: Any = None  # ConfigDict
    split: str = "test"
    data: str | None = None
    other: str | None = None
    lesions: str | None = None
    input: str | None = None
    output: str | None = None
    calibrated: bool = False
    refuse: bool = False
    processes: int | None = None
    process: int | None = None


def _name_results(request: Request) -> str:
    """Return what the results on the split of a request are kept under."""
    from cxrjax.data import dataset
    from cxrjax.runs import run_dir

    if not request.data:
        return request.split
    return dataset.results_dirname(run_dir.load_config(request.workdir), request.split, request.data)


def train_network(request: Request) -> None:
    """Train, and fit the gate of a classifier that has a segmenter."""
    from cxrjax import api
    from cxrjax.training import trainer

    config = request.config
    best = trainer.train(config, request.workdir)
    scores = ", ".join(f"{name} {value:.4f}" for name, value in best.items() if "/" in name)
    say(f"trained: the best epoch was {best['epoch']} ({scores}); the run is in {request.workdir}")
    api.fit_ood_detector(config, request.workdir)


def evaluate_run(request: Request) -> None:
    """Evaluate on a split."""
    from cxrjax.evaluation import evaluate, tables

    scores = evaluate.evaluate_run(request.workdir, request.split, request.data)
    if not scores:  # the first process has them
        return
    show(tables.format_scores(scores))
    say(f"rows, scores and pictures are in {request.workdir / 'evaluation' / scores['split']}")


def score_run(request: Request) -> None:
    """Score the rows of an evaluation again."""
    from cxrjax.evaluation import scoring, tables

    name = _name_results(request)
    show(tables.format_scores(scoring.score_run(request.workdir, name)))
    say(f"scores and figures are in {request.workdir / 'evaluation' / name}")


def compare_runs(request: Request) -> None:
    """Compare two runs on the same radiographs."""
    from cxrjax.evaluation import compare_runs as compare
    from cxrjax.evaluation import tables

    name = _name_results(request)
    show(tables.format_comparison(compare.compare_runs(request.workdir, Path(request.other), name)))
    say(f"the comparison is in {compare.comparison_path(request.workdir, Path(request.other), name)}")


def audit_run(request: Request) -> None:
    """Audit a classifier for shortcuts."""
    from cxrjax import audit
    from cxrjax.audit import config as probe_config

    config = request.config or probe_config.get_config()
    show(audit.summarize(audit.audit(request.workdir, request.split, config)))
    say(f"rows, numbers and the figure are in {request.workdir / 'audit' / request.split}")


def check_maps_of_run(request: Request) -> None:
    """Check the saliency maps of a run."""
    from cxrjax.evaluation import saliency, saliency_verdict

    table = Path(request.lesions) if request.lesions else None
    show(saliency_verdict.format_table(saliency.evaluate_saliency(request.workdir, request.split, request.data, table)))
    say(f"rows, figures and curves are in {request.workdir / 'maps' / _name_results(request)}")


def measure_morphology(request: Request) -> None:
    """Measure hearts and lungs, and compare the classes."""
    from cxrjax.evaluation import morphometry

    show(morphometry.format_comparison(morphometry.compare_morphometry(request.workdir, request.split, request.data)))
    say(f"rows, tests and box plots are in {request.workdir / 'morphology' / _name_results(request)}")


def fit_gate_of_run(request: Request) -> None:
    """Fit the gate of a run again."""
    from cxrjax.inference import fit_ood

    fit_ood.fit_ood_detector(request.workdir)
    say(f"fitted: the gate's thresholds and limits are in {request.workdir / 'gate.json'}")


def write_report(request: Request) -> None:
    """Write the report of a run."""
    from cxrjax import report

    say(f"the report is {report.write(request.workdir, request.split, request.data)}")


def predict_radiographs(request: Request) -> int:
    """Examine a radiograph or a folder, and return the exit status."""
    from cxrjax.inference import predict_files
    from cxrjax.io import predictions_csv

    source = Path(request.input)
    output = Path(request.output)
    processes = request.processes or 1
    process = request.process or 0
    rows, passed_over = predict_files.run(
        request.workdir, source, output, request.calibrated, request.refuse, process=process, processes=processes
    )
    counts = Counter(row["status"] for row in rows)
    examined = len(rows) - counts[predictions_csv.UNREADABLE] - counts[predictions_csv.REFUSED]
    say(f"{_count(examined, 'radiograph')} examined; rows and pictures are in {output}")
    if processes > 1:
        say(f"predictions.csv is there once all {processes} processes are done")
    if counts[predictions_csv.REFUSED]:
        say(f"{counts[predictions_csv.REFUSED]} refused, the reasons are in {output / 'predictions.csv'}")
    undecided = sum(row.get("decision") == predictions_csv.UNDECIDED for row in rows)
    if undecided:
        say(
            f"{undecided} of them undecided: the confidence is lower than that from which on, by the validation split, "
            "9 in 10 findings can be expected to be right"
        )
    failed = [row for row in rows if row["status"] in (predictions_csv.UNREADABLE, predictions_csv.FAILED)]
    for row in failed:
        say(f"{row['status']}: {row['path']}: {row['reason']}", sys.stderr)
    if process == 0:
        _list_passed_over(passed_over, source, output)
    return 3 if failed or any(each.unknown for each in passed_over) else 0


def _list_passed_over(passed_over: "Sequence[PassedOver]", source: Path, output: Path) -> None:
    from cxrjax.io import files

    visible = [each for each in passed_over if each.reason != files.HIDDEN]
    for each in visible[:_LISTED]:
        say(f"passed over: {each.path.relative_to(source)}: {each.reason}", sys.stderr)
    more = [_count(len(visible) - _LISTED, "file")] if len(visible) > _LISTED else []
    more += [_count(len(passed_over) - len(visible), "hidden name")] if len(passed_over) > len(visible) else []
    if more:
        say(f"passed over, too: {' and '.join(more)}", sys.stderr)
    if passed_over:
        say(f"all that was passed over is in {output / 'passed_over.csv'}", sys.stderr)


def _count(number: int, noun: str) -> str:
    """Return a number with its noun: "1 radiograph", "2 radiographs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def find_learning_rate(request: Request) -> None:
    """Look for a learning rate."""
    from cxrjax.training import lr_finder

    say(f"suggested: training.learning_rate={lr_finder.find_learning_rate(request.config, request.workdir):.1e}")


def cross_validate_network(request: Request) -> None:
    """Train once for each fold, and pool the scores."""
    from cxrjax.evaluation import cross_validation

    show(cross_validation.format_scores(cross_validation.cross_validate(request.config, request.workdir)))
    say(f"the scores are in {request.workdir / 'cross_validation.json'}")


def import_weights(request: Request) -> None:
    """Make a run of published weights."""
    from cxrjax.runs import weights

    weights.import_weights(request.config, request.input, request.workdir)
    say(f"imported: every weight of {request.input} has its place; the run is in {request.workdir}")


def export_weights(request: Request) -> None:
    """Write the network of a run for other programs."""
    from cxrjax import export
    from cxrjax.runs import weights

    target = Path(request.output)
    if target.suffix == ".safetensors":
        weights.export_weights(request.workdir, target)
        say(f"exported: the weights are in {target}, by PyTorch's names")
    else:
        files = export.export_model(request.workdir, target)
        say(f"exported: {', '.join(files)} are in {target}, each read back and equal to the run")
        if not any(name.endswith(".onnx") for name in files):
            say("no ONNX was written, for want of its packages: pip install 'cxrjax[onnx]'")
