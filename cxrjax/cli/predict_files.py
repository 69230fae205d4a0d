"""Prediction of files: one row and one figure per radiograph, as in an evaluation but without the true labels."""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

import cxrjax as cx
from cxrjax.cli import output_folder, prediction_journal
from cxrjax.cli.prediction_journal import PredictionJournal
from cxrjax.io import files, predictions_csv
from cxrjax.runs import run_dir

CHUNK_SIZE = 64  # radiographs whose rows are written at once


class Result(NamedTuple):
    """The rows of a prediction, one per file of this process, and the files of the input without a row."""

    rows: list[dict[str, Any]]
    skipped_files: list[files.SkippedFile]


def predict(
    workdir: Path,
    source: Path,
    output: Path,
    calibrated: bool = False,
    reject_ood: bool = False,
    process_id: int = 0,
    num_processes: int = 1,
) -> Result:
    """Predict a radiograph, or all radiographs of a folder; a file that fails gets a row with the reason.

    An image that the run's OOD detector finds unlike the training radiographs is flagged, or refused; an image with a
    single gray level inside its blank border is always refused.

    Writes OUTPUT/PATH.figure.png for every radiograph that was read and not refused (the column `figure` has the name,
    which has a number if a file of the user has that name), and at the end OUTPUT/predictions.csv and, with the files
    that are not radiographs, OUTPUT/skipped_files.csv. Until then the rows are in OUTPUT/predictions.partial, from
    which the same call resumes. Of several processes, at once or one after the other, each predicts every
    `num_processes`-th file, without communication; the last one to finish writes the tables.

    OUTPUT/predictions_files.json records the written files. No other file in OUTPUT is replaced or removed.

    Args:
        workdir: the run directory.
        source: a file or a folder.
        output: a folder, created if it is missing; it must not be, lie in or contain the input folder.
        calibrated: see `cxrjax.load`; the columns expected_entropy and mutual_information stay as they are.
        reject_ood: whether an image that the OOD detector flags gets a reason instead of a prediction.
        process_id: index of this process, from 0.
        num_processes: number of processes that share the files.

    Raises:
        RunError: the run cannot be loaded (see `cxrjax.load`), or has no OOD detector to reject images by.
        ValueError: a file of the user has the name of a table, the output overlaps the input, or it has an unfinished
            prediction with other settings.
        ImageReadError: `source` does not exist, or has no file that might be a radiograph.
    """
    listing = files.list_files(source)
    output_folder.refuse_overlap(source, output, listing)
    listing = output_folder.skip_own_figures(listing)
    if not listing.radiographs:
        raise cx.ImageReadError(source, "no radiograph in this folder, only figures of predictions")
    root = source if source.is_dir() else source.parent
    paths = {str(file.relative_to(root)): file for file in listing.radiographs}
    own = list(paths)[process_id::num_processes]
    if not own:
        return Result([], listing.skipped_files)
    written = output_folder.OutputFolder(output, list(paths))
    prediction_journal.check(output / output_folder.PARTIAL)
    model = cx.load(workdir, calibrated=calibrated)
    if reject_ood and not model.has_ood_detector:
        raise run_dir.RunError(f"{workdir}: has no OOD detector for --reject_ood; --mode=fit_ood fits one")
    output.mkdir(parents=True, exist_ok=True)
    config = hashlib.sha256(model.config.to_json().encode()).hexdigest()
    settings = {
        "run": str(workdir.resolve()),
        "config": config,
        "step": model.step,
        "has_ood_detector": model.has_ood_detector,
    }
    settings |= {"min_confidence": model.min_confidence and str(model.min_confidence)}
    settings |= {"input": str(source.resolve()), "calibrated": calibrated, "reject_ood": reject_ood}
    columns = predictions_csv.file_columns(model.classes, model.has_ood_detector)
    journal = PredictionJournal(output / output_folder.PARTIAL, columns, settings)
    rows = journal.read()
    remaining = {path: paths[path] for path in own if path not in rows}
    batch_size = min(model.config.evaluation.batch_size, len(paths))
    _predict_portions(_FilePredictor(model, batch_size, written, reject_ood), remaining, journal, rows)
    _finish(journal, written, columns, list(paths), root, listing.skipped_files)
    return Result([rows[path] for path in own], listing.skipped_files)


def _predict_portions(
    predictor: "_FilePredictor", remaining: dict[str, Path], journal: PredictionJournal, rows: dict[str, dict[str, Any]]
) -> None:
    """Predict files, add their rows by path, and write them per portion, also if the portion is interrupted."""
    portions = [list(remaining)[first : first + CHUNK_SIZE] for first in range(0, len(remaining), CHUNK_SIZE)]
    for portion in tqdm(portions, desc="predicting", unit="portion", delay=2, disable=len(portions) == 1):
        portion_rows = []
        try:
            for row in predictor.predict({path: remaining[path] for path in portion}):
                portion_rows.append(row)
                rows[row["path"]] = row
        finally:
            journal.write(portion_rows)


def _finish(
    journal: PredictionJournal,
    written: output_folder.OutputFolder,
    columns: Sequence[str],
    paths: Sequence[str],
    root: Path,
    skipped_files: Sequence[files.SkippedFile],
) -> None:
    """Write the tables if every path has a row; another process may write them at the same time."""
    try:
        rows = journal.read()
        if not rows.keys() >= set(paths):
            return
        ordered = [rows[path] for path in paths]
        written.write_table(output_folder.TABLE, lambda path: predictions_csv.write(path, ordered, columns))
        written.write_skipped_files(root, skipped_files)
        written.save_record()
    except FileNotFoundError:  # another process, which also found all rows, has removed the folder
        return
    journal.remove()


class _FilePredictor:
    """A model that is applied to files."""

    def __init__(self, model: cx.Model, batch_size: int, written: output_folder.OutputFolder, reject_ood: bool):
        self._model = model
        self._batch_size = batch_size
        self._written = written
        self._reject_ood = reject_ood

    def predict(self, portion: dict[str, Path]) -> Iterator[dict[str, Any]]:
        """Yield the rows of a portion of files, by path: the readable files in order, then the unreadable ones."""
        readable: deque[tuple[str, str]] = deque()  # paths and views of radiographs without a prediction yet
        unreadable: dict[str, str] = {}  # reasons by path

        def read_each() -> Iterator[cx.Radiograph]:
            for path, file in portion.items():
                try:
                    opened = cx.read_radiograph(file)
                except Exception as error:
                    unreadable[path] = _explain(error)
                else:
                    readable.append((path, opened.view))
                    yield opened

        for prediction in self._model.predict_iter(read_each(), batch_size=self._batch_size, errors="return"):
            path, view = readable.popleft()
            yield self._complete({"path": path, "view": view}, prediction)
        for path, reason in unreadable.items():
            yield self._without_figure({"path": path, "status": predictions_csv.UNREADABLE, "reason": reason})

    def _complete(self, row: dict[str, Any], prediction: cx.Prediction | Exception) -> dict[str, Any]:
        """Add the result for a radiograph, and the name of its figure, to its row."""
        if isinstance(prediction, cx.ImageRefusedError):
            return self._without_figure(row | {"status": predictions_csv.REFUSED, "reason": prediction.reason})
        if isinstance(prediction, Exception):
            return self._without_figure(row | {"status": predictions_csv.UNREADABLE, "reason": _explain(prediction)})
        if self._reject_ood and prediction.is_ood:
            reason = prediction.ood_reason
            return self._without_figure(
                row | {"status": predictions_csv.REFUSED, "reason": reason, "ood_reason": reason}
            )
        return prediction.to_row() | row | self._draw(row["path"], prediction)

    def _without_figure(self, row: dict[str, Any]) -> dict[str, Any]:
        """Remove the figure of a former prediction of the file, and return the row."""
        self._written.remove_figure(row["path"])
        return row

    def _draw(self, path: str, prediction: cx.Prediction) -> dict[str, str]:
        """Draw a prediction: {"figure": its name}; or the status and the reason why that failed."""
        try:
            return {"figure": self._written.draw(path, prediction.plot)}
        except Exception as error:
            if isinstance(error, OSError) and output_folder.concerns_all(error):
                raise
            return {"status": predictions_csv.FAILED, "reason": f"its figure cannot be drawn: {_explain(error)}"}


def _explain(error: Exception) -> str:
    """Return a reason that quotes nothing from the file, as the message of an error might."""
    if isinstance(error, cx.ImageReadError):
        return error.reason
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"an unexpected error ({type(error).__name__})"
