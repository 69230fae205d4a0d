"""Command line: train, evaluate, audit and apply the networks.

Train with a recipe of this package or a config file; any setting can be overridden, and a list may be written with
commas, --config.classifier.classes=normal,covid19. A config file is Python code that is executed: only use one that you
trust.
  python -m cxrjax.main --config=phantom:segment --workdir=RUN [--config.training.epochs=5]
Evaluate a run. Writes one row per radiograph, metrics and figures to RUN/evaluation/SPLIT; in all modes, results on
another data set (--dataset) go to a folder NAME-SPLIT instead of SPLIT; a classifier is scored there in each
collection, beside its own split:
  python -m cxrjax.main --workdir=RUN --mode=evaluate [--split=test] [--dataset=OTHER_DATA_SET]
Recompute metrics, tables and figures from the saved rows, or compare a run with a baseline run on the same radiographs,
as a table and as a page in RUN/report:
  python -m cxrjax.main --workdir=RUN --mode=rescore [--split=test] [--dataset=OTHER_DATA_SET]
  python -m cxrjax.main --workdir=RUN --mode=compare_runs --baseline=OTHER_RUN [--split=test]
      [--dataset=OTHER_DATA_SET]
Audit a classifier for shortcuts: how much of its score they explain. Writes verdict, figure and rows to
RUN/audit/SPLIT:
  python -m cxrjax.main --workdir=RUN --mode=audit [--split=test] [--config=audit]
Evaluate the saliency maps. Writes rows, metrics with intervals, curves and a verdict to RUN/saliency/SPLIT:
  python -m cxrjax.main --workdir=RUN --mode=evaluate_saliency [--split=test] [--dataset=OTHER_DATA_SET]
      [--lesion_csv=TABLE.csv]
Write a report from these results: a web page, a model card and a checklist, in RUN/report:
  python -m cxrjax.main --workdir=RUN --mode=report [--split=test] [--dataset=OTHER_DATA_SET]
Measure hearts and lungs, and compare the classes. Writes rows, tests and box plots to RUN/morphometry/SPLIT:
  python -m cxrjax.main --workdir=RUN --mode=morphometry [--split=test] [--dataset=OTHER_DATA_SET]
Refit the out-of-distribution detector of a classifier (done automatically after training):
  python -m cxrjax.main --workdir=RUN --mode=fit_ood
Apply a run to radiographs. Writes rows and figures to DIR, which must not overlap the input and in which no other files
are replaced or removed; --calibrated applies the run's calibration temperature to the probabilities. --save writes
other files, at the radiograph's own size: the label map (0 background, 1 heart, 2 left lung, 3 right lung), the
saliency map (16-bit PNG and float32 .npy) and an overlay; and JSON and embeddings; and, of a DICOM file, results as
DICOM objects of its study (requires cxrjax[dicom]). --label names the class of the map.
A radiograph that looks inverted (bright lungs) is refused, with --if_inverted=invert inverted, with =ignore predicted:
  python -m cxrjax.main --workdir=RUN --mode=predict --input=FILE_OR_DIR --output=DIR [--calibrated] [--reject_ood]
      [--save=figure,mask,map,overlay,json,embedding,dicom [--deidentify]] [--label=CLASS] [--if_inverted=refuse]
  python -m cxrjax.main --model=MODEL --mode=predict --input=FILE_OR_DIR --output=DIR
MODEL is the name of a model that comes with the package ("lungs"), a file that Model.save of the Python API wrote, or
its address. Import without --config makes a run of it, which the other modes read.
Prediction resumes after an interruption. To split a folder over independent jobs, such as a job array, start N jobs
with --num_processes=N and --process_id=I, I from 0; the last to finish writes predictions.csv:
  python -m cxrjax.main --workdir=RUN --mode=predict --input=DIR --output=DIR --num_processes=N --process_id=I
Serve a model as a web page and a REST interface on this machine (requires cxrjax[serve]); --host and --port name
another address. Files stay in memory, and their names in the browser:
  python -m cxrjax.main --model=MODEL --mode=serve [--port=8000] [--calibrated]
Receive radiographs from a PACS by DICOM, and send the results back (requires cxrjax[dicom], see docs/dicom.md):
  python -m cxrjax.main --model=MODEL --mode=receive --output=DIR [--aet=CXRJAX] [--port=11112]
      [--send_to=AET@HOST:PORT] [--allow_aet=AET,…] [--host=ADDRESS --allow_address=ADDRESS,…]
Import published weights into a run (safetensors, PyTorch, Keras; no code in a file is executed), or export a run's:
  python -m cxrjax.main --mode=import --input=FILE_OR_ADDRESS --config=oh2020:segment --workdir=RUN
  python -m cxrjax.main --mode=import --input=MODEL --workdir=RUN
  python -m cxrjax.main --mode=export --workdir=RUN --output=FILE.safetensors
Export a run for other programs, to a folder: the whole prediction as StableHLO, the networks as ONNX (requires
cxrjax[onnx]), and manifest.json, which describes their inputs, outputs and thresholds:
  python -m cxrjax.main --mode=export --workdir=RUN --output=DIR
An address is hf:OWNER/NAME/PATH@REVISION, on the Hugging Face hub, or https://…#sha256=….

Train the last layer of a finished classifier again, on equally weighted sources and classes of its validation split:
  python -m cxrjax.main --workdir=RUN --mode=retrain_last_layer --output=NEW_RUN
Search for a learning rate. Writes the curve to RUN/lr_finder.png:
  python -m cxrjax.main --config=phantom:segment --workdir=RUN --mode=lr_find
Train once for each fold of a data set prepared with --folds=K, and pool the scores:
  python -m cxrjax.main --config=phantom:segment --workdir=RUN --mode=cross_validate

Train or evaluate on the devices of several processes. All run the same command with a shared run directory; process 0
listens at HOST:PORT. With --distributed alone, JAX detects the cluster:
  python -m cxrjax.main … --coordinator_address=HOST:PORT --num_processes=N --process_id=I
  python -m cxrjax.main … --distributed

Compiled programs are cached in ~/.cache/cxrjax; --compilation_cache_dir=DIR names another folder,
--compilation_cache_dir= disables the cache.

Exit status: 0 done; 1 failed, with the reason in one line; 2 invalid command line; 3 done, but some files were
unreadable or could not be drawn; 130, 143 or 129 ended by SIGINT, SIGTERM or SIGHUP. For research, not for diagnosis.
"""

import os
import sys
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

import cxrjax
from cxrjax.cli import arguments, commands, receive
from cxrjax.cli.modes import MODES, Mode
from cxrjax.config import Config, InvalidSettingError, freeze
from cxrjax.io import saved_files
from cxrjax.runtime import cache, former_names, signals, terminal
from cxrjax.runtime.errors import CxrjaxError
from cxrjax.runtime.terminal import print_line, warn

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config of a training: RECIPE:VARIANT, such as phantom:segment, or FILE.py[:ARGUMENT]."
)
_WORKDIR = flags.DEFINE_string("workdir", "", "Run directory; train and import write it, the other modes read it.")
_MODEL = flags.DEFINE_string(
    "model", "", "predict, serve, receive, export: name, file or address of a model, in place of --workdir."
)
_CACHE_DIR = flags.DEFINE_string(
    "compilation_cache_dir", None, "Folder of the cache of compiled programs; empty disables it. [~/.cache/cxrjax]"
)
_MODE = flags.DEFINE_enum("mode", "train", list(MODES), "The mode, see above.")
_SPLIT = flags.DEFINE_string("split", "test", "The split to evaluate: train, val, test, fold0 …")
_DATASET = flags.DEFINE_string("dataset", None, "Prepared data set to evaluate on, if it is not the one of training.")
_BASELINE = flags.DEFINE_string("baseline", "", "compare_runs: the run directory to compare with.")
_CALIBRATED = flags.DEFINE_bool(
    "calibrated", False, "predict, serve, receive: scale probabilities by the run's temperature."
)
_REJECT_OOD = flags.DEFINE_bool(
    "reject_ood",
    False,
    "predict, receive: make no prediction for images that are not upright frontal chest radiographs.",
)
_SAVE = flags.DEFINE_list(
    "save",
    ["figure"],
    f"predict: files to write per radiograph, any of {','.join(saved_files.KINDS)} with commas; empty for none.",
)
_DEIDENTIFY = flags.DEFINE_bool(
    "deidentify", False, "predict: leave the attributes of patient and study out of DICOM files, and replace UIDs."
)
_LABEL = flags.DEFINE_string("label", None, "predict: the class that saliency maps show, if not the predicted one.")
_VALUE_RANGE = flags.DEFINE_list(
    "value_range", None, "predict: LOW,HIGH, the values of .npy files, if they are not uint8, uint16 or floats in 0..1."
)
_IF_INVERTED = flags.DEFINE_enum(
    "if_inverted",
    "refuse",
    ["refuse", "invert", "ignore"],
    "predict, receive: what to do with radiographs whose gray levels look inverted.",
)
_LIMITS = flags.DEFINE_string(
    "limits",
    "",
    "Limits of input files, such as max_pixels=2e8,max_seconds=120; also max_bytes and max_memory, both in bytes.",
)
_LESION_CSV = flags.DEFINE_string(
    "lesion_csv",
    None,
    "evaluate_saliency: CSV of known lesions with columns path, mask or path, row, column, height, width.",
)
_INPUT = flags.DEFINE_string("input", "", "predict: a radiograph, or a folder; import: weights or a model.")
_OUTPUT = flags.DEFINE_string(
    "output", "", "predict: output folder; receive: folder of the queue; export: a file, or folder."
)
_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "serve, receive: address to listen on; the default is this machine alone."
)
_PORT = flags.DEFINE_integer(
    "port", None, "serve, receive: port to listen on, 0 for a free one. [serve: 8000, receive: 11112]", 0, 65535
)
_AET = flags.DEFINE_string("aet", "CXRJAX", "receive: AE title of the receiver.")
_SEND_TO = flags.DEFINE_string("send_to", "", "receive: AET@HOST:PORT that results go to; without it, they stay.")
_ALLOW_AET = flags.DEFINE_list("allow_aet", [], "receive: AE titles that may send. [that of --send_to]")
_ALLOW_ADDRESS = flags.DEFINE_list("allow_address", [], "receive: addresses and networks that may send. [127.0.0.1]")
_COORDINATOR_ADDRESS = flags.DEFINE_string("coordinator_address", None, "train, evaluate: HOST:PORT of process 0.")
_DISTRIBUTED = flags.DEFINE_bool("distributed", False, "train, evaluate: join the cluster that JAX detects.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Number of processes that share the work.", lower_bound=1)
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Index of this process, from 0.", lower_bound=0)


def main(argv: list[str]) -> int:
    if len(argv) > 1:
        return _usage(arguments.explain_stray_word(argv[1], tuple(MODES)))
    mode = MODES[_MODE.value]
    for name in (*([] if _MODEL.value else ["workdir"]), *mode.required):
        if not flags.FLAGS[name].value:
            alternative = " or --model" if name == "workdir" and "model" in mode.optional else ""
            return _usage(f"--mode={_MODE.value} needs --{name}{alternative}")
    for name in sorted({flag for other in MODES.values() for flag in other.required + other.optional}):
        if flags.FLAGS[name].present and name not in mode.required + mode.optional:
            return _usage(f"--mode={_MODE.value} takes no --{name}")
    problem = _find_conflict() or _set_limits()
    if problem:
        return _usage(problem)
    try:
        config = None if _CONFIG.value is None else freeze(_CONFIG.value)
    except InvalidSettingError as error:
        return _usage(str(error))
    missing = arguments.find_missing(
        needs_run=not mode.writes_run,
        workdirs=[path for path in (_WORKDIR.value, _BASELINE.value) if path],
        inputs=[path for path in ("" if _is_model_import(config) else _INPUT.value, _LESION_CSV.value) if path],
        settings={} if config is None else config.to_dict(),
        trains="config" in mode.required,
        data=_DATASET.value or "",
        models=[name for name in (_MODEL.value, _INPUT.value if _is_model_import(config) else "") if name],
    )
    if missing:
        warn(missing)
        return 1
    logging.set_verbosity(logging.ERROR)  # of the libraries; messages for the user are printed
    request = _read_request(config)
    try:
        if mode.check:
            mode.check(request)
    except (ValueError, OSError) as error:
        warn(_describe(error))
        return 1
    return _run(mode, request)


def _is_model_import(config: Config | None) -> bool:
    """Return whether the mode unpacks a model; with a config, it imports the weights of one network."""
    return _MODE.value == "import" and config is None


def _read_request(config: Config | None) -> commands.Request:
    values: dict[str, Any] = {name: flags.FLAGS[name].value for name in commands.Request._fields}
    return commands.Request(**values | {"workdir": Path(_WORKDIR.value), "config": config})


def _find_conflict() -> str | None:
    """Return a sentence on flags that are invalid or contradict each other; None if there are none."""
    if _MODEL.value and _WORKDIR.value:
        return "--model and --workdir both name a run; give one of them"
    count = _NUM_PROCESSES.value
    index = _PROCESS_ID.value
    if (count is None) != (index is None):
        return "--num_processes and --process_id must be given together"
    if count is not None and index is not None and index >= count:
        return f"--process_id={index} is not between 0 and {count - 1}"
    if _MODE.value != "predict" and (_COORDINATOR_ADDRESS.value is None) != (_NUM_PROCESSES.value is None):
        return "--coordinator_address, --num_processes and --process_id must be given together"
    if _DISTRIBUTED.value and _COORDINATOR_ADDRESS.value:
        return "--distributed detects the coordinator; give either --distributed or --coordinator_address"
    if not _SPLIT.value or "/" in _SPLIT.value or _SPLIT.value.startswith("."):
        return f"--split={_SPLIT.value} is not the name of a split, such as train, val, test or fold0"
    try:
        saved_files.list_files(_SAVE.value)
        commands.parse_range(_VALUE_RANGE.value)
        if _MODE.value == "receive":
            receive.check_flags(_read_request(None))
    except ValueError as error:
        return str(error)
    if _DEIDENTIFY.value and "dicom" not in _SAVE.value:
        return "--deidentify is about DICOM files; add --save=dicom"
    target = Path(_OUTPUT.value)
    if _MODE.value == "export" and target.suffix not in ("", ".safetensors") and not _OUTPUT.value.endswith("/"):
        return f"--mode=export writes a .safetensors file or a folder; {target} is neither; a folder may end in /"
    return None


def _set_limits() -> str | None:
    """Set the limits of input files; return a sentence if they are invalid, None otherwise."""
    from cxrjax.io import limits

    try:
        limits.use(_LIMITS.value)
        limits.current()  # checks the environment variable
    except ValueError as error:
        return str(error)
    return None


def _run(mode: Mode, request: commands.Request) -> int:
    """Run a mode; report errors that a user can fix in one sentence."""
    cache.redirect_library_caches()
    terminal.silence_xla()

    from flax.errors import FlaxError

    from cxrjax.runtime import compile_notice, malloc, multihost, sharding

    malloc.tune_malloc()
    compile_notice.enable()
    if mode.is_inference:
        sharding.use_one_device_per_core()
    _enable_cache()
    try:
        if _MODEL.value:
            from cxrjax.runs import bundled_models

            request = request._replace(workdir=bundled_models.find_run(_MODEL.value))
        if _COORDINATOR_ADDRESS.value or _DISTRIBUTED.value:
            multihost.initialize(_COORDINATOR_ADDRESS.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
        return mode.command(request) or 0
    except (
        CxrjaxError,
        FlaxError,  # a checkpoint of a network other than the config's
        MemoryError,
        OSError,
        ValueError,
    ) as error:
        if os.environ.get("CXRJAX_TRACEBACK"):
            raise
        warn(_describe(error, request.workdir if _MODEL.value else None))
        return 1


def _describe(error: Exception, unpacked: Path | None = None) -> str:
    """Return an error as one sentence, in which the run directory that --model was unpacked to is called --model."""
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror.lower()}"
    text = str(error)
    if type(error).__module__.startswith("flax."):  # Flax's have several lines
        text = " ".join(text.split())
    return text.replace(str(unpacked), _MODEL.value) if unpacked else text


def _enable_cache() -> None:
    from cxrjax.runtime import compilation_cache

    folder = compilation_cache.cache_dir(_CACHE_DIR.value)
    try:
        compilation_cache.enable_compilation_cache(folder)
    except OSError as error:
        warn(
            f"{folder}: compiled programs cannot be cached here ({error.strerror}), so the next start compiles them "
            "again; --compilation_cache_dir=DIR names another folder"
        )


def _usage(problem: str) -> int:
    programs = {"cxrjax": "cxrjax", "__main__.py": "python -m cxrjax"}
    program = programs.get(Path(sys.argv[0]).name, "python -m cxrjax.main")
    warn(f"{problem}; see {program} --help")
    return 2


def _parse(argv: list[str]) -> list[str]:
    """Parse the flags and load the config; exit with one sentence if either is invalid."""
    if "--version" in argv[1:]:
        print_line(f"cxrjax {cxrjax.__version__}")
        sys.exit(0)
    words = argv
    former = former_names.explain_former_flag(argv)
    if former:
        sys.exit(_usage(former))
    try:
        argv = arguments.normalize(argv)
    except ValueError as error:
        sys.exit(_usage(str(error)))
    try:
        rest = app.parse_flags_with_usage(argv) if "--help" in argv else flags.FLAGS(argv)
        if _CONFIG.value is not None:
            _ = _CONFIG.value.task  # a config that could not be loaded raises on first use
            _CONFIG.value.to_json()  # so does a value that JSON cannot represent
        return rest
    except Exception as error:  # a config is code, which may raise anything
        text = str(error).replace("\\n", "\n").replace("\\'", "'").strip()
        if text[:1] in ("'", '"') and text[-1:] == text[:1]:  # a KeyError is printed as a repr
            text = text[1:-1]
        if "Did you mean" in text and "flag" not in text:  # ml_collections names the key and a similar one
            sys.exit(_usage(f"the config has no setting {' '.join(text.split())}"))
        if not isinstance(error, flags.Error):
            sys.exit(_usage(arguments.explain_config_error(words, error)))
        sys.exit(_usage(arguments.explain_flag_error(text.splitlines()[-1].strip())))


def _explain_next_run() -> str:
    """Return a phrase on what the same command does after a signal has ended this one."""
    return MODES[_MODE.value].after_signal if flags.FLAGS.is_parsed() else "nothing was done"


def run(argv: list[str] | None = None) -> None:
    """Run a command line, and exit with its status.

    Args:
        argv: name of the program and its arguments; None for those of the process.

    Raises:
        SystemExit: always.
    """
    terminal.guard_streams()
    with signals.handled(_explain_next_run):
        app.run(main, argv=argv, flags_parser=_parse)


if __name__ == "__main__":
    run()
