"""Prediction of files: a row, a figure and other files per radiograph, as in an evaluation without the true labels."""

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cxrjax as cx
from cxrjax.cli import output_folder, prediction_journal
from cxrjax.cli.prediction_journal import PredictionJournal
from cxrjax.dicom.errors import DicomResultError
from cxrjax.inference import prediction_files
from cxrjax.io import files, predictions_csv, saved_files
from cxrjax.runs import run_dir
from cxrjax.runtime import user_secret
from cxrjax.runtime.errors import explain_missing_detector

CHUNK_SIZE = 64  # radiographs whose rows are written at once
_NUM_WRITERS = 2  # threads that draw, encode and write
_MAX_PENDING = 8  # predictions that wait for them, which bounds the memory


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
    save: Sequence[str] = ("figure",),
    saliency_label: str | None = None,
    value_range: tuple[float, float] | None = None,
    if_inverted: str = "refuse",
    deidentify: bool = False,
) -> Result:
    """Predict a radiograph, or all radiographs of a folder; a file that fails gets a row with the reason.

    An image that the run's OOD detector finds unlike the training radiographs is flagged, or refused; an image whose
    gray levels look inverted is refused by default, and one with a single gray level inside its blank border always.

    Writes the files that `save` names, as OUTPUT/PATH.figure.png, for every radiograph that was read and not refused
    (columns such as `figure` have their names, which have a number if a file of the user has that name), and at the end
    OUTPUT/predictions.csv and, with the files that are not radiographs, OUTPUT/skipped_files.csv. Until then the rows
    are in OUTPUT/predictions.partial, from which the same call resumes. Of several processes, at once or one after the
    other, each predicts every `num_processes`-th file, without communication; the last one to finish writes the tables.

    OUTPUT/predictions_files.json records the written files. No other file in OUTPUT is replaced or removed.

    Args:
        workdir: the run directory.
        source: a file or a folder.
        output: a folder, created if it is missing; it must not be, lie in or contain the input folder.
        calibrated: see `cxrjax.load`; the columns expected_entropy and mutual_information stay as they are.
        reject_ood: whether an image that the OOD detector flags gets a reason instead of a prediction.
        process_id: index of this process, from 0.
        num_processes: number of processes that share the files.
        save: kinds of files to write per radiograph, see `cxrjax.Prediction.save`; files of other kinds that an earlier
            prediction wrote stay.
        saliency_label: the class that saliency maps show; None for the predicted one.
        value_range: least and greatest value of .npy files; see `cxrjax.io.radiograph.read`.
        if_inverted: what to do with an image whose gray levels look inverted; see `cxrjax.Model.predict`.
        deidentify: whether DICOM files leave out the attributes of patient and study; see `cxrjax.Prediction.to_dicom`.

    Raises:
        RunError: the run cannot be loaded (see `cxrjax.load`), or has no OOD detector to reject images by.
        ValueError: a file of the user has the name of a table, the output overlaps the input, or it has an unfinished
            prediction with other settings; or there is no such kind of file or class.
        ImageReadError: `source` does not exist, or has no file that might be a radiograph.
        SecretError: the user's secret, which `deidentify` needs, can be neither read nor created.
    """
    saved = saved_files.list_files(save)
    listing = files.list_files(source)
    output_folder.refuse_overlap(source, output, listing)
    listing = output_folder.skip_own_files(listing)
    if not listing.radiographs:
        raise cx.ImageReadError(source, "no radiograph in this folder, only files of predictions")
    root = source if source.is_dir() else source.parent
    paths = {str(file.relative_to(root)): file for file in listing.radiographs}
    own = list(paths)[process_id::num_processes]
    if not own:
        return Result([], listing.skipped_files)
    written = output_folder.OutputFolder(output, list(paths))
    prediction_journal.check(output / output_folder.PARTIAL)
    model = cx.load(workdir, calibrated=calibrated)
    if reject_ood and not model.has_ood_detector:
        raise run_dir.RunError(explain_missing_detector(workdir))
    if saliency_label is not None or "embedding" in save:
        model = model.with_outputs(saliency_label=saliency_label, patch_embeddings="embedding" in save)
    if deidentify:
        user_secret.read_secret()  # before the first radiograph, if it cannot be read
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
    settings |= {"save": saved, "saliency_label": saliency_label, "value_range": value_range and list(value_range)}
    settings |= {"if_inverted": if_inverted} | ({"deidentify": True} if deidentify else {})
    has_segmenter = model.spec.segmenter is not None
    columns = predictions_csv.file_columns(
        model.classes,
        model.has_ood_detector,
        has_segmenter=has_segmenter,
        saved=saved,
        has_notice=bool(model.notice),
        is_multi_label=model.config.classifier.targets == "multi",
    )
    journal = PredictionJournal(output / output_folder.PARTIAL, columns, settings)
    rows = journal.read()
    remaining = {path: paths[path] for path in own if path not in rows}
    batch_size = min(model.config.evaluation.batch_size, len(paths))
    predictor = _FilePredictor(
        model,
        batch_size=batch_size,
        written=written,
        saved=saved,
        reject_ood=reject_ood,
        value_range=value_range,
        if_inverted=if_inverted,
        deidentify=deidentify,
    )
    _predict_remaining(predictor, remaining, journal, rows)
    _finish(journal, written, columns, list(paths), root, listing.skipped_files)
    return Result([rows[path] for path in own], listing.skipped_files)


def _predict_remaining(
    predictor: "_FilePredictor", remaining: dict[str, Path], journal: PredictionJournal, rows: dict[str, dict[str, Any]]
) -> None:
    """Predict files, add their rows by path, and write them in portions, the last one also if this is interrupted."""
    portion: list[dict[str, Any]] = []

    def add(row: dict[str, Any]) -> None:
        rows[row["path"]] = row
        portion.append(row)
        if len(portion) >= CHUNK_SIZE:
            journal.write(portion)
            portion.clear()

    try:
        predictor.predict(remaining, add)
    finally:
        journal.write(portion)


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
    """A model that is applied to files, whose predictions threads write."""

    def __init__(
        self,
        model: cx.Model,
        *,
        batch_size: int,
        written: output_folder.OutputFolder,
        saved: Sequence[str],
        reject_ood: bool,
        value_range: tuple[float, float] | None,
        if_inverted: str,
        deidentify: bool,
    ):
        self._model = model
        self._batch_size = batch_size
        self._written = written
        self._saved = saved
        self._reject_ood = reject_ood
        self._value_range = value_range
        self._if_inverted = if_inverted
        self._deidentify = deidentify

    def predict(self, remaining: dict[str, Path], add: Callable[[dict[str, Any]], None]) -> None:
        """Predict files by path, and call `add` with the row of each, in order, once its files are written."""
        pending: deque[Future[dict[str, Any]]] = deque()
        predictions = self._model.predict_iter(
            list(remaining.values()),
            value_range=self._value_range,
            if_inverted=self._if_inverted,
            batch_size=self._batch_size,
            errors="return",
        )
        with ThreadPoolExecutor(_NUM_WRITERS) as writers:
            try:
                for (path, source), prediction in zip(remaining.items(), predictions, strict=True):
                    pending.append(writers.submit(self._complete, path, source, prediction))
                    while pending[0].done() or len(pending) > _MAX_PENDING:
                        add(pending.popleft().result())
                        if not pending:
                            break
                while pending:
                    add(pending.popleft().result())
            finally:  # the files of these are written too
                for future in pending:
                    if future.exception() is None:
                        add(future.result())

    def _complete(self, path: str, source: Path, prediction: cx.Prediction | Exception) -> dict[str, Any]:
        """Write the files of a prediction, and return its row with their names; or the row with the reason."""
        if isinstance(prediction, cx.ImageRefusedError):
            row = {"view": prediction.view, "status": predictions_csv.REFUSED, "reason": prediction.reason}
            return self._without_files({"path": path} | row)
        if isinstance(prediction, Exception):
            row = {"status": predictions_csv.UNREADABLE, "reason": _explain(prediction)}
            return self._without_files({"path": path} | row)
        if self._reject_ood and prediction.is_ood:
            reason = prediction.ood_reason
            row = {"view": prediction.view, "status": predictions_csv.REFUSED, "reason": reason, "ood_reason": reason}
            return self._without_files({"path": path} | row)
        prediction = replace(prediction, path=path)
        return prediction.to_row() | self._save(prediction, source)

    def _without_files(self, row: dict[str, Any]) -> dict[str, Any]:
        """Remove the files of a former prediction of the radiograph, and return the row."""
        self._written.remove(row["path"], saved_files.SUFFIXES.values())
        return row

    def _save(self, prediction: cx.Prediction, source: Path) -> dict[str, str]:
        """Write the files of a prediction: their names by column; or the status and the reason why that failed."""
        names: dict[str, str] = {}
        encoder = prediction_files.FileEncoder(prediction, source, deidentify=self._deidentify)
        for file in self._saved:
            suffix = saved_files.SUFFIXES[file]
            try:
                content = encoder.encode(file)
                if content is None:
                    self._written.remove(prediction.path, [suffix])
                else:
                    names[file] = self._written.write(prediction.path, suffix, content)
            except Exception as error:
                if isinstance(error, OSError) and output_folder.concerns_all(error):
                    raise
                reason = f"its {file} file cannot be made: {_explain(error)}"
                return names | {"status": predictions_csv.FAILED, "reason": reason}
        return names


def _explain(error: Exception) -> str:
    """Return a reason that quotes nothing from the file, as the message of an error might."""
    if isinstance(error, cx.ImageReadError | DicomResultError):
        return error.reason
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"an unexpected error ({type(error).__name__})"
