"""Train, evaluate, audit and apply the networks: the command line.

Train, from a config and anywhere a key of it is to differ (a config is a Python file and is run: only use your own or
one that you have read; a list may be written with commas, --config.classifier.classes=normal,covid19):
  python -m cxrjax.main --config=configs/phantom_segment.py --workdir=RUN [--config.training.epochs=5]
Evaluate what was trained; a row a radiograph, scores and pictures go to RUN/evaluation/SPLIT, and wherever results on
another data set are kept, NAME-SPLIT stands for SPLIT:
  python -m cxrjax.main --workdir=RUN --mode=evaluate [--split=test] [--data=OTHER_DATA_SET]
The scores, tables and figures again, from the rows alone; and two runs compared on the same radiographs:
  python -m cxrjax.main --workdir=RUN --mode=score [--split=test] [--data=OTHER_DATA_SET]
  python -m cxrjax.main --workdir=RUN --mode=compare --other=OTHER_RUN [--split=test] [--data=OTHER_DATA_SET]
Ask how much of a classifier's score a shortcut reaches; verdict, figure and rows go to RUN/audit/SPLIT:
  python -m cxrjax.main --workdir=RUN --mode=audit [--split=test] [--config=configs/audit.py]
Check its maps; rows, figures with intervals, curves and a verdict go to RUN/maps/SPLIT:
  python -m cxrjax.main --workdir=RUN --mode=check_maps [--split=test] [--data=OTHER_DATA_SET] [--lesions=TABLE.csv]
Make of all that a page for people, a model card and a checklist, in RUN/report:
  python -m cxrjax.main --workdir=RUN --mode=report [--split=test] [--data=OTHER_DATA_SET]
Measure hearts and lungs, and compare the classes; rows, tests and box plots go to RUN/morphology/SPLIT:
  python -m cxrjax.main --workdir=RUN --mode=morphology [--split=test] [--data=OTHER_DATA_SET]
Fit anew what a classifier's run takes for out of place, which training does at its end:
  python -m cxrjax.main --workdir=RUN --mode=fit_gate
Apply it to any radiographs; rows and pictures go to DIR, where nothing else is replaced or removed, and which may not
overlap the input; probabilities with --calibrated at the run's temperature:
  python -m cxrjax.main --workdir=RUN --mode=predict --input=FILE_OR_DIR --output=DIR [--calibrated] [--refuse]
A large folder, killed and given again, goes on; shared between processes that need not know of one another, as those
of a job array, each is given the same and its number I from 0; the last to be done writes the table:
  python -m cxrjax.main --workdir=RUN --mode=predict --input=DIR --output=DIR --processes=N --process=I
Make a run of published weights (safetensors, PyTorch, Keras; nothing of a file is run), or publish a run's:
  python -m cxrjax.main --mode=import --input=FILE_OR_ADDRESS --config=configs/oh2020_segment.py --workdir=RUN
  python -m cxrjax.main --mode=export --workdir=RUN --output=FILE.safetensors
Or for programs that know nothing of this one: all it does with a radiograph as StableHLO, its networks as ONNX (with
cxrjax[onnx]), and settings.json, which says how to feed them, into a folder:
  python -m cxrjax.main --mode=export --workdir=RUN --output=DIR
An address is hf:OWNER/NAME/PATH@REVISION, of the Hugging Face hub, or https://…#sha256=….

Look for a learning rate; the curve goes to RUN/rate_finder.png:
  python -m cxrjax.main --config=configs/phantom_segment.py --workdir=RUN --mode=find_rate
Train once for each fold of a data set prepared with --folds=K, and pool the scores:
  python -m cxrjax.main --config=configs/phantom_segment.py --workdir=RUN --mode=cross_validate

Train or evaluate on the devices of several processes, all with the same command and one run directory that all see;
the first, which is 0, is reached at HOST:PORT. --distributed alone leaves it to JAX to find its cluster:
  python -m cxrjax.main … --coordinator=HOST:PORT --processes=N --process=I
  python -m cxrjax.main … --distributed

Compiled programs are kept in ~/.cache/cxrjax for the next start; elsewhere with --cache=DIR, nowhere with --cache=

Exit status: 0 done; 1 not done, the reason in one line; 2 the command line is wrong; 3 done, but some files were
unreadable, or could not be drawn; 130 or 143 ended by SIGINT or SIGTERM. For research, not for diagnosis.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from absl import app, flags, logging
from ml_collections import config_flags

import cxrjax
from cxrjax import arguments
from cxrjax.runtime import cache, signals, terminal
from cxrjax.runtime.terminal import say, show, warn

if TYPE_CHECKING:
    from cxrjax.io.files import PassedOver

# What a mode needs is imported in its function, so that --help and a wrong command line answer at once.


def _name_results(workdir: Path) -> str:
    """What the results on the split that was asked for are kept under."""
    from cxrjax import data, runs

    return data.name_results(runs.load_config(workdir), _SPLIT.value, _DATA.value) if _DATA.value else _SPLIT.value


def _train(workdir: Path) -> None:
    from cxrjax import fit_gate, runs, train

    config = _CONFIG.value
    best = train.train(config, workdir)
    scores = ", ".join(f"{name} {value:.4f}" for name, value in best.items() if "/" in name)
    say(f"trained: the best epoch was {best['epoch']} ({scores}); the run is in {workdir}")
    wanted = config.task == "classify" and config.segmenter.workdir and config.gate.quantile
    if wanted and not runs.has_gate_of(workdir, runs.load_step(workdir, config)):
        try:
            fit_gate.fit_gate(workdir)
        except runs.UnfitRun as error:
            warn(f"the run has no gate: {error}")


def _evaluate(workdir: Path) -> None:
    from cxrjax import evaluate, tables

    scores = evaluate.evaluate(workdir, _SPLIT.value, _DATA.value)
    if not scores:  # the first process has them
        return
    show(tables.summarise(scores))
    say(f"rows, scores and pictures are in {workdir / 'evaluation' / scores['split']}")


def _score(workdir: Path) -> None:
    from cxrjax import score, tables

    name = _name_results(workdir)
    show(tables.summarise(score.score(workdir, name)))
    say(f"scores and figures are in {workdir / 'evaluation' / name}")


def _compare(workdir: Path) -> None:
    from cxrjax import compare, tables

    name = _name_results(workdir)
    show(tables.compare(compare.compare(workdir, Path(_OTHER.value), name)))
    say(f"the comparison is in {compare.locate(workdir, Path(_OTHER.value), name)}")


def _audit(workdir: Path) -> None:
    from configs import audit as small
    from cxrjax import audit

    show(audit.summarise(audit.audit(workdir, _SPLIT.value, _CONFIG.value or small.get_config())))
    say(f"rows, numbers and the figure are in {workdir / 'audit' / _SPLIT.value}")


def _check_maps(workdir: Path) -> None:
    from cxrjax import check_maps, trust

    table = Path(_LESIONS.value) if _LESIONS.value else None
    show(trust.summarise(check_maps.check_maps(workdir, _SPLIT.value, _DATA.value, table)))
    say(f"rows, figures and curves are in {workdir / 'maps' / _name_results(workdir)}")


def _morphology(workdir: Path) -> None:
    from cxrjax import compare_classes

    show(compare_classes.summarise(compare_classes.compare_classes(workdir, _SPLIT.value, _DATA.value)))
    say(f"rows, tests and box plots are in {workdir / 'morphology' / _name_results(workdir)}")


def _fit_gate(workdir: Path) -> None:
    from cxrjax import fit_gate

    fit_gate.fit_gate(workdir)
    say(f"fitted: the gate's thresholds and limits are in {workdir / 'gate.json'}")


def _report(workdir: Path) -> None:
    from cxrjax import report

    say(f"the report is {report.write(workdir, _SPLIT.value, _DATA.value)}")


def _predict(workdir: Path) -> int:
    from cxrjax import predict, predictions

    source, output, processes = Path(_INPUT.value), Path(_OUTPUT.value), _PROCESSES.value or 1
    process = _PROCESS.value or 0
    rows, passed_over = predict.run(
        workdir, source, output, _CALIBRATED.value, _REFUSE.value, process=process, processes=processes
    )
    counts = Counter(row["status"] for row in rows)
    examined = len(rows) - counts[predictions.UNREADABLE] - counts[predictions.REFUSED]
    say(f"{_count(examined, 'radiograph')} examined; rows and pictures are in {output}")
    if processes > 1:
        say(f"predictions.csv is there once all {processes} processes are done")
    if counts[predictions.REFUSED]:
        say(f"{counts[predictions.REFUSED]} refused, the reasons are in {output / 'predictions.csv'}")
    undecided = sum(row.get("decision") == predictions.UNDECIDED for row in rows)
    if undecided:
        say(
            f"{undecided} of them undecided: the confidence is lower than that from which on 9 in 10 findings were "
            "right on the validation split"
        )
    failed = [row for row in rows if row["status"] in (predictions.UNREADABLE, predictions.FAILED)]
    for row in failed:
        say(f"{row['status']}: {row['path']}: {row['reason']}", sys.stderr)
    if process == 0:
        _list_passed_over(passed_over, source, output)
    return 3 if failed or any(each.unknown for each in passed_over) else 0


_LISTED = 20  # files of a folder that are passed over and named on the terminal


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


def _find_rate(workdir: Path) -> None:
    from cxrjax import find_rate

    say(f"suggested: training.learning_rate={find_rate.find_rate(_CONFIG.value, workdir):.1e}")


def _cross_validate(workdir: Path) -> None:
    from cxrjax import cross_validate

    show(cross_validate.summarise(cross_validate.cross_validate(_CONFIG.value, workdir)))
    say(f"the scores are in {workdir / 'cross_validation.json'}")


def _import(workdir: Path) -> None:
    from cxrjax import exchange

    exchange.import_run(_CONFIG.value, _INPUT.value, workdir)
    say(f"imported: every weight of {_INPUT.value} has its place; the run is in {workdir}")


def _export(workdir: Path) -> None:
    from cxrjax import exchange, export

    target = Path(_OUTPUT.value)
    if target.suffix == ".safetensors":
        exchange.export_run(workdir, target)
        say(f"exported: the weights are in {target}, by PyTorch's names")
    else:
        files = export.export_run(workdir, target)
        say(f"exported: {', '.join(files)} are in {target}, each read back and equal to the run")
        if not any(name.endswith(".onnx") for name in files):
            say("no ONNX was written, for want of its packages: pip install 'cxrjax[onnx]'")


class Mode(NamedTuple):
    """Something to do with a run."""

    do: Callable[[Path], int | None]  # of the run directory; its exit status, None for 0
    needs: tuple[str, ...] = ()  # flags, beside --workdir
    takes: tuple[str, ...] = ()  # flags that may be left out; no others mean anything to it
    examines: bool = False  # whether it trains nothing and examines many radiographs
    stopped: str = "what is written is whole, and the same command begins again"  # after SIGINT or SIGTERM


_GOES_ON = "the same command goes on from there"
_TOGETHER = ("coordinator", "distributed", "processes", "process")
MODES = {
    "train": Mode(_train, ("config",), _TOGETHER, stopped=_GOES_ON),
    "evaluate": Mode(_evaluate, (), ("split", "data", *_TOGETHER), examines=True),
    "score": Mode(_score, (), ("split", "data")),
    "compare": Mode(_compare, ("other",), ("split", "data")),
    "audit": Mode(_audit, (), ("split", "config"), stopped=_GOES_ON),
    "check_maps": Mode(_check_maps, (), ("split", "data", "lesions"), examines=True),
    "morphology": Mode(_morphology, (), ("split", "data")),
    "fit_gate": Mode(_fit_gate, examines=True),
    "report": Mode(_report, (), ("split", "data")),
    "predict": Mode(_predict, ("input", "output"), ("calibrated", "refuse", "processes", "process"), True, _GOES_ON),
    "find_rate": Mode(_find_rate, ("config",)),
    "cross_validate": Mode(_cross_validate, ("config",), stopped=_GOES_ON),
    "import": Mode(_import, ("config", "input")),
    "export": Mode(_export, ("output",)),
}

_CONFIG = config_flags.DEFINE_config_file("config", None, "Settings of a training, as configs/phantom_segment.py.")
_WORKDIR = flags.DEFINE_string("workdir", None, "The run directory: written by train and import, read by the others.")
_CACHE = flags.DEFINE_string(
    "cache", None, "Where compiled programs are kept for the next start; empty: nowhere. [~/.cache/cxrjax]"
)
_MODE = flags.DEFINE_enum("mode", "train", list(MODES), "What to do.")
_SPLIT = flags.DEFINE_string("split", "test", "The part of the data to look at: train, val, test, fold0 …")
_DATA = flags.DEFINE_string("data", None, "A prepared data set to look at, where it is not that of training.")
_OTHER = flags.DEFINE_string("other", None, "compare: the run directory to compare with.")
_CALIBRATED = flags.DEFINE_bool("calibrated", False, "predict: give probabilities at the run's temperature.")
_REFUSE = flags.DEFINE_bool("refuse", False, "predict: no finding for what is no upright frontal chest radiograph.")
_LIMITS = flags.DEFINE_string(
    "limits",
    "",
    "Of a file that is read, as max_pixels=2e8,max_seconds=120; also max_bytes and max_memory, both in bytes.",
)
_LESIONS = flags.DEFINE_string(
    "lesions", None, "check_maps: a CSV file of known lesions: path, mask or path, row, column, height, width."
)
_INPUT = flags.DEFINE_string("input", None, "predict: a radiograph, or a folder; import: weights.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "predict: the folder to write to; export: a file of .safetensors, or a folder."
)
_COORDINATOR = flags.DEFINE_string("coordinator", None, "train, evaluate: HOST:PORT of the first of several processes.")
_DISTRIBUTED = flags.DEFINE_bool("distributed", False, "train, evaluate: as one of the processes of a cluster.")
_PROCESSES = flags.DEFINE_integer("processes", None, "How many processes share the work.", lower_bound=1)
_PROCESS = flags.DEFINE_integer("process", None, "Which of them this is, from 0.", lower_bound=0)


def main(argv: list[str]) -> int:
    if len(argv) > 1:
        return _usage(arguments.name_command(argv[1], tuple(MODES)))
    mode = MODES[_MODE.value]
    for name in ("workdir", *mode.needs):
        if not flags.FLAGS[name].value:
            return _usage(f"--mode={_MODE.value} needs --{name}")
    for name in sorted({flag for each in MODES.values() for flag in each.needs + each.takes}):
        if flags.FLAGS[name].present and name not in mode.needs + mode.takes:
            return _usage(f"--mode={_MODE.value} takes no --{name}")
    settings = arguments.as_settings(_CONFIG.value)
    problem = _misplaced() or _set_limits() or (arguments.find_problem(settings) if settings else "")
    if problem:
        return _usage(problem)
    missing = arguments.find_missing(
        needs_run="config" not in mode.needs,
        workdirs=[_WORKDIR.value, *([_OTHER.value] if _OTHER.value else [])],
        inputs=[path for path in (_INPUT.value, _LESIONS.value) if path],
        settings=settings,
        trains="config" in mode.needs and "input" not in mode.needs,
    )
    if missing:
        warn(missing)
        return 1
    logging.set_verbosity(logging.ERROR)  # of the libraries; what concerns the user is printed
    return _explain(mode)


def _misplaced() -> str | None:
    """Return what is wrong with the flags taken together."""
    several = (_PROCESSES.value, _PROCESS.value)
    if several != (None, None) and None in several:
        return "--processes and --process need each other"
    if _PROCESS.value is not None and _PROCESS.value >= _PROCESSES.value:
        return f"--process={_PROCESS.value} is none of 0 to {_PROCESSES.value - 1}"
    if _MODE.value != "predict" and (_COORDINATOR.value is None) != (_PROCESSES.value is None):
        return "--coordinator needs --processes and --process, and they need it"
    if _DISTRIBUTED.value and _COORDINATOR.value:
        return "--distributed finds what --coordinator names; give one of them"
    target = Path(_OUTPUT.value or "")
    if _MODE.value == "export" and target.suffix not in ("", ".safetensors") and not _OUTPUT.value.endswith("/"):
        return f"--mode=export writes a file of .safetensors or a folder; {target} is neither; a folder may end in /"
    return None


def _set_limits() -> str | None:
    """Set the limits of files, and return what is wrong with them."""
    from cxrjax.io import limits

    try:
        limits.use(_LIMITS.value)
        limits.current()  # also what the environment says
    except ValueError as error:
        return str(error)
    return None


def _explain(mode: Mode) -> int:
    """Run, and turn what a user can mend into one sentence."""
    cache.provide_for_libraries()

    from flax.errors import FlaxError

    from cxrjax import allocator, data, devices, hosts, radiograph, runs, train

    allocator.keep_memory()
    if mode.examines:
        devices.use_cores()
    _keep_programs()
    try:
        if _COORDINATOR.value or _DISTRIBUTED.value:
            hosts.join(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)
        return mode.do(Path(_WORKDIR.value)) or 0
    except (
        data.MissingData,
        radiograph.UnreadableRadiograph,
        runs.UnfitRun,
        train.Diverged,
        FlaxError,  # a checkpoint of another network than the config has
        MemoryError,
        OSError,
        ValueError,
    ) as error:
        if os.environ.get("CXRJAX_TRACEBACK"):
            raise
        warn(_describe(error))
        return 1


def _describe(error: Exception) -> str:
    """Return an error as one sentence."""
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror.lower()}"
    text = str(error)
    return " ".join(text.split()) if type(error).__module__.startswith("flax.") else text  # Flax writes paragraphs


def _keep_programs() -> None:
    from cxrjax import programs

    folder = programs.name_folder(_CACHE.value)
    try:
        programs.keep(folder)
    except OSError as error:
        warn(
            f"{folder}: compiled programs cannot be kept here ({error.strerror}), so the next start compiles them "
            "again; --cache=DIR names another folder"
        )


def _usage(problem: str) -> int:
    warn(f"{problem}; see python -m cxrjax.main --help")
    return 2


def _parse(argv: list[str]) -> list[str]:
    """Parse the flags and load the config, a mistake in them being one sentence."""
    if "--version" in argv[1:]:
        say(f"cxrjax {cxrjax.__version__}")
        sys.exit(0)
    argv = arguments.normalise(argv)
    try:
        rest = app.parse_flags_with_usage(argv) if "--help" in argv else flags.FLAGS(argv)
        if _CONFIG.value is not None:
            _ = _CONFIG.value.task  # a config that could not be loaded says so only when it is used
            arguments.as_settings(_CONFIG.value)
        return rest
    except Exception as error:  # a config is code, which may raise anything
        text = str(error).replace("\\n", "\n").replace("\\'", "'").strip("'\" \n")
        if "Did you mean" in text and "flag" not in text:  # ml_collections names the key and what may have been meant
            sys.exit(_usage(f"the config has no setting '{' '.join(text.split())}"))
        if not isinstance(error, flags.Error):
            sys.exit(_usage(arguments.explain_config_error(argv, error)))
        sys.exit(_usage(text.splitlines()[-1].strip()))


def _say_what_next() -> str:
    """Return what the same command does after a signal has ended this one."""
    return MODES[_MODE.value].stopped if flags.FLAGS.is_parsed() else "nothing was done"


if __name__ == "__main__":
    terminal.guard_streams()
    with signals.handled(_say_what_next):
        app.run(main, flags_parser=_parse)
