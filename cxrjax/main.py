"""Train, evaluate, audit and apply the networks: the command line.

Train with a recipe of this package, or a config file, and change any setting of it. A config file is Python code that
is executed: only use your own or one that you have read. A list may be written with commas,
--config.classifier.classes=normal,covid19:
  python -m cxrjax.main --config=phantom:segment --workdir=RUN [--config.training.epochs=5]
Evaluate what was trained; a row a radiograph, scores and pictures go to RUN/evaluation/SPLIT, and wherever results on
another data set are kept, NAME-SPLIT stands for SPLIT:
  python -m cxrjax.main --workdir=RUN --mode=evaluate [--split=test] [--data=OTHER_DATA_SET]
The scores, tables and figures again, from the rows alone; and two runs compared on the same radiographs:
  python -m cxrjax.main --workdir=RUN --mode=score [--split=test] [--data=OTHER_DATA_SET]
  python -m cxrjax.main --workdir=RUN --mode=compare --other=OTHER_RUN [--split=test] [--data=OTHER_DATA_SET]
Ask how much of a classifier's score a shortcut reaches; verdict, figure and rows go to RUN/audit/SPLIT:
  python -m cxrjax.main --workdir=RUN --mode=audit [--split=test] [--config=audit]
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
  python -m cxrjax.main --mode=import --input=FILE_OR_ADDRESS --config=oh2020:segment --workdir=RUN
  python -m cxrjax.main --mode=export --workdir=RUN --output=FILE.safetensors
Or for programs that know nothing of this one: all it does with a radiograph as StableHLO, its networks as ONNX (with
cxrjax[onnx]), and settings.json, which says how to feed them, into a folder:
  python -m cxrjax.main --mode=export --workdir=RUN --output=DIR
An address is hf:OWNER/NAME/PATH@REVISION, of the Hugging Face hub, or https://…#sha256=….

Look for a learning rate; the curve goes to RUN/rate_finder.png:
  python -m cxrjax.main --config=phantom:segment --workdir=RUN --mode=find_rate
Train once for each fold of a data set prepared with --folds=K, and pool the scores:
  python -m cxrjax.main --config=phantom:segment --workdir=RUN --mode=cross_validate

Train or evaluate on the devices of several processes, all with the same command and one run directory that all see;
the first, which is 0, is reached at HOST:PORT. --distributed alone leaves it to JAX to find its cluster:
  python -m cxrjax.main … --coordinator=HOST:PORT --processes=N --process=I
  python -m cxrjax.main … --distributed

Compiled programs are kept in ~/.cache/cxrjax for the next start; elsewhere with --cache=DIR, nowhere with --cache=

Exit status: 0 done; 1 not done, the reason in one line; 2 the command line is wrong; 3 done, but some files were
unreadable, or could not be drawn; 130, 143 or 129 ended by SIGINT, SIGTERM or SIGHUP. For research, not for diagnosis.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from absl import app, flags, logging
from ml_collections import config_flags

import cxrjax
from cxrjax.cli import arguments, commands
from cxrjax.runtime import cache, signals, terminal
from cxrjax.runtime.terminal import say, warn


class Mode(NamedTuple):
    """Something to do with a run."""

    do: Callable[[commands.Request], int | None]  # returns the exit status, None for 0
    needs: tuple[str, ...] = ()  # flags, beside --workdir
    takes: tuple[str, ...] = ()  # flags that may be left out; no others mean anything to it
    examines: bool = False  # whether it trains nothing and examines many radiographs
    stopped: str = "what is written is whole, and the same command begins again"  # after SIGINT or SIGTERM


_GOES_ON = "the same command goes on from there"
_TOGETHER = ("coordinator", "distributed", "processes", "process")
MODES = {
    "train": Mode(commands.train_network, ("config",), _TOGETHER, stopped=_GOES_ON),
    "evaluate": Mode(commands.evaluate_run, (), ("split", "data", *_TOGETHER), examines=True),
    "score": Mode(commands.score_run, (), ("split", "data")),
    "compare": Mode(commands.compare_runs, ("other",), ("split", "data")),
    "audit": Mode(commands.audit_run, (), ("split", "config"), stopped=_GOES_ON),
    "check_maps": Mode(commands.check_maps_of_run, (), ("split", "data", "lesions"), examines=True),
    "morphology": Mode(commands.measure_morphology, (), ("split", "data")),
    "fit_gate": Mode(commands.fit_gate_of_run, examines=True),
    "report": Mode(commands.write_report, (), ("split", "data")),
    "predict": Mode(
        commands.predict_radiographs,
        ("input", "output"),
        ("calibrated", "refuse", "processes", "process"),
        True,
        _GOES_ON,
    ),
    "find_rate": Mode(commands.find_learning_rate, ("config",)),
    "cross_validate": Mode(commands.cross_validate_network, ("config",), stopped=_GOES_ON),
    "import": Mode(commands.import_weights, ("config", "input")),
    "export": Mode(commands.export_weights, ("output",)),
}

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Settings of a training: RECIPE:VARIANT, such as phantom:segment, or FILE.py[:ARGUMENT]."
)
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
        data=_DATA.value or "",
    )
    if missing:
        warn(missing)
        return 1
    logging.set_verbosity(logging.ERROR)  # of the libraries; what concerns the user is printed
    return _explain(mode)


def _read_request() -> commands.Request:
    values = {name: flags.FLAGS[name].value for name in commands.Request._fields}
    return commands.Request(**values | {"workdir": Path(_WORKDIR.value)})


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
    if not _SPLIT.value or "/" in _SPLIT.value or _SPLIT.value.startswith("."):
        return f"--split={_SPLIT.value} is no name of a split, as train, val, test and fold0 are"
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

    from cxrjax.data import dataset
    from cxrjax.io import radiograph
    from cxrjax.runs import run_dir
    from cxrjax.runtime import malloc, multihost, sharding
    from cxrjax.training import trainer

    malloc.tune_malloc()
    if mode.examines:
        sharding.use_one_device_per_core()
    _keep_programs()
    try:
        if _COORDINATOR.value or _DISTRIBUTED.value:
            multihost.initialize(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)
        return mode.do(_read_request()) or 0
    except (
        dataset.DatasetError,
        radiograph.UnreadableRadiograph,
        run_dir.RunError,
        trainer.DivergedError,
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
    from cxrjax.runtime import compilation_cache

    folder = compilation_cache.cache_dir(_CACHE.value)
    try:
        compilation_cache.enable_compilation_cache(folder)
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
    words = argv
    try:
        argv = arguments.normalize(argv)
    except ValueError as error:
        sys.exit(_usage(str(error)))
    try:
        rest = app.parse_flags_with_usage(argv) if "--help" in argv else flags.FLAGS(argv)
        if _CONFIG.value is not None:
            _ = _CONFIG.value.task  # a config that could not be loaded says so only when it is used
            arguments.as_settings(_CONFIG.value)
        return rest
    except Exception as error:  # a config is code, which may raise anything
        text = str(error).replace("\\n", "\n").replace("\\'", "'").strip()
        if text[:1] in ("'", '"') and text[-1:] == text[:1]:  # the repr that a KeyError is printed as
            text = text[1:-1]
        if "Did you mean" in text and "flag" not in text:  # ml_collections names the key and what may have been meant
            sys.exit(_usage(f"the config has no setting {' '.join(text.split())}"))
        if not isinstance(error, flags.Error):
            sys.exit(_usage(arguments.explain_config_error(words, error)))
        sys.exit(_usage(arguments.explain_flag_error(text.splitlines()[-1].strip())))


def _say_what_next() -> str:
    """Return what the same command does after a signal has ended this one."""
    return MODES[_MODE.value].stopped if flags.FLAGS.is_parsed() else "nothing was done"


if __name__ == "__main__":
    terminal.guard_streams()
    with signals.handled(_say_what_next):
        app.run(main, flags_parser=_parse)
