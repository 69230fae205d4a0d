"""Train, evaluate and apply the networks: the command line.

Train, from a config and anywhere a key of it is to differ:
  python -m cxrjax.main --config=configs/phantom_segment.py --workdir=RUN [--config.training.epochs=5]
Evaluate what was trained; a row a radiograph, scores and pictures go to RUN/evaluation/SPLIT:
  python -m cxrjax.main --workdir=RUN --mode=evaluate [--split=test] [--data=OTHER_DATA_SET]
Apply it to any radiographs; rows and pictures go to DIR:
  python -m cxrjax.main --workdir=RUN --mode=predict --input=FILE_OR_DIR --output=DIR [--refuse]
Fit anew what a classifier's run takes for out of place, which training does at its end:
  python -m cxrjax.main --workdir=RUN --mode=fit_gate
Measure hearts and lungs, and compare the classes; rows, tests and box plots go to RUN/morphology/SPLIT:
  python -m cxrjax.main --workdir=RUN --mode=morphology [--split=test] [--data=OTHER_DATA_SET]
Make a run of published weights (safetensors, PyTorch, Keras; nothing of a file is run), or publish a run's:
  python -m cxrjax.main --mode=import --input=FILE_OR_ADDRESS --config=configs/oh2020_segment.py --workdir=RUN
  python -m cxrjax.main --mode=export --workdir=RUN --output=FILE.safetensors
An address is hf:OWNER/NAME/PATH@REVISION, of the Hugging Face hub, or https://…#sha256=….

Look for a learning rate; the curve goes to RUN/rate_finder.png:
  python -m cxrjax.main --config=configs/phantom_segment.py --workdir=RUN --mode=find_rate
Train once for each fold of a data set prepared with --folds=K, and pool the scores:
  python -m cxrjax.main --config=configs/phantom_segment.py --workdir=RUN --mode=cross_validate

Exit status: 0 done; 1 not done, the reason in one line; 2 the command line is wrong; 3 done, but some files were
unreadable. For research, not for diagnosis.
"""

import os
import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

MODES = ("train", "evaluate", "predict", "fit_gate", "morphology", "find_rate", "cross_validate", "import", "export")
_NEEDS = {
    "train": ("config",),
    "evaluate": (),
    "predict": ("input", "output"),
    "fit_gate": (),
    "morphology": (),
    "find_rate": ("config",),
    "cross_validate": ("config",),
    "import": ("config", "input"),
    "export": ("output",),
}

_CONFIG = config_flags.DEFINE_config_file("config", None, "Settings of a training, as configs/phantom_segment.py.")
_WORKDIR = flags.DEFINE_string("workdir", None, "The run directory: written by train and import, read by the others.")
_MODE = flags.DEFINE_enum("mode", "train", MODES, "What to do.")
_SPLIT = flags.DEFINE_string(
    "split", "test", "evaluate, morphology: the part of the data to look at; train, val, test, fold0 …"
)
_DATA = flags.DEFINE_string("data", None, "evaluate, morphology: a prepared data set other than the one of training.")
_INPUT = flags.DEFINE_string("input", None, "predict: a radiograph, or a folder; import: weights.")
_OUTPUT = flags.DEFINE_string("output", None, "predict: the folder to write to; export: the file.")
_REFUSE = flags.DEFINE_bool("refuse", False, "predict: no finding for what is no upright frontal chest radiograph.")


def main(argv: list[str]) -> int:
    if len(argv) > 1:
        return _usage(f"what is {argv[1]!r}? options begin with --")
    for name in ("workdir", *_NEEDS[_MODE.value]):
        if not flags.FLAGS[name].value:
            return _usage(f"--mode={_MODE.value} needs --{name}")
    logging.set_verbosity(logging.ERROR)  # of the libraries; what concerns the user is printed
    return _explain(_run)


def _run() -> int:
    # Imported here, so that --help and a wrong command line answer at once.
    from cxrjax import (
        allocator,
        compare_classes,
        cross_validate,
        evaluate,
        exchange,
        find_rate,
        fit_gate,
        predict,
        runs,
        train,
    )

    allocator.keep_memory()
    workdir = Path(_WORKDIR.value)
    if _MODE.value == "train":
        best = train.train(_CONFIG.value, workdir)
        if _CONFIG.value.task == "classify" and _CONFIG.value.gate.quantile and not (workdir / runs.GATE).exists():
            fit_gate.fit_gate(workdir)
        scores = ", ".join(f"{name} {value:.4f}" for name, value in best.items() if "/" in name)
        print(f"trained: the best epoch was {best['epoch']} ({scores}); the run is in {workdir}")
    elif _MODE.value == "evaluate":
        print(evaluate.summarise(evaluate.evaluate(workdir, _SPLIT.value, _DATA.value)))
        print(f"rows, scores and pictures are in {workdir / 'evaluation' / _SPLIT.value}")
    elif _MODE.value == "fit_gate":
        fit_gate.fit_gate(workdir)
        print(f"fitted: the gate's thresholds and limits are in {workdir / 'gate.json'}")
    elif _MODE.value == "morphology":
        print(compare_classes.summarise(compare_classes.compare_classes(workdir, _SPLIT.value, _DATA.value)))
        print(f"rows, tests and box plots are in {workdir / 'morphology' / _SPLIT.value}")
    elif _MODE.value == "import":
        exchange.import_run(_CONFIG.value, _INPUT.value, workdir)
        print(f"imported: every weight of {_INPUT.value} has its place; the run is in {workdir}")
    elif _MODE.value == "export":
        exchange.export_run(workdir, Path(_OUTPUT.value))
        print(f"exported: the weights are in {_OUTPUT.value}, by PyTorch's names")
    elif _MODE.value == "find_rate":
        print(f"suggested: training.learning_rate={find_rate.find_rate(_CONFIG.value, workdir):.1e}")
    elif _MODE.value == "cross_validate":
        print(cross_validate.summarise(cross_validate.cross_validate(_CONFIG.value, workdir)))
        print(f"the scores are in {workdir / 'cross_validation.json'}")
    else:
        rows = predict.predict(workdir, Path(_INPUT.value), Path(_OUTPUT.value), _REFUSE.value)
        unreadable = [row for row in rows if row["status"] == "unreadable"]
        refused = sum(row["status"] == "refused" for row in rows)
        print(f"{len(rows) - len(unreadable) - refused} radiographs examined; rows and pictures are in {_OUTPUT.value}")
        if refused:
            print(f"{refused} refused, the reasons are in {_OUTPUT.value}/predictions.csv")
        for row in unreadable:
            print(f"unreadable: {row['path']}: {row['reason']}", file=sys.stderr)
        return 3 if unreadable else 0
    return 0


def _explain(run: object) -> int:
    """Run, and turn what a user can mend into one sentence."""
    from cxrjax import data, radiograph, runs, train

    try:
        return run()
    except (
        data.MissingData,
        radiograph.UnreadableRadiograph,
        runs.UnfitRun,
        train.Diverged,
        OSError,
        ValueError,
    ) as error:
        if os.environ.get("CXRJAX_TRACEBACK"):
            raise
        print(f"cxrjax: {error}", file=sys.stderr)
        return 1


def _usage(problem: str) -> int:
    print(f"cxrjax: {problem}; see python -m cxrjax.main --help", file=sys.stderr)
    return 2


def _parse(argv: list[str]) -> list[str]:
    """Parse the flags and load the config, a mistake in them being one sentence."""
    try:
        rest = app.parse_flags_with_usage(argv) if "--help" in argv else flags.FLAGS(argv)
        if _CONFIG.value is not None:
            _ = _CONFIG.value.task  # a config that could not be loaded says so only when it is used
        return rest
    except (flags.Error, LookupError, AttributeError, TypeError, ValueError, OSError, ImportError) as error:
        text = str(error).replace("\\n", "\n").replace("\\'", "'").strip("'\" \n")
        if "Did you mean" in text and "flag" not in text:  # ml_collections names the key and what may have been meant
            sys.exit(_usage(f"the config has no setting '{' '.join(text.split())}"))
        sys.exit(_usage(text.splitlines()[-1].strip()))


if __name__ == "__main__":
    app.run(main, flags_parser=_parse)
