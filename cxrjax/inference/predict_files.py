"""Predictions for files: one row and one figure per radiograph, as in an evaluation but without the truth."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from cxrjax import plotting
from cxrjax.data import preprocessing
from cxrjax.data.batch import CHUNK_SIZE
from cxrjax.inference import output as outputs
from cxrjax.inference import resumable
from cxrjax.inference.predictor import Predictor, describe
from cxrjax.inference.resumable import PredictionJournal
from cxrjax.io import files, predictions_csv, radiograph, reader
from cxrjax.runs import run_dir
from cxrjax.runtime import terminal


class Result(NamedTuple):
    """The rows of a prediction, one per file of this process, and the files of the input that have none."""

    rows: list[dict[str, Any]]
    skipped_files: list[files.SkippedFile]


def predict(
    workdir: Path,
    source: Path,
    output: Path,
    calibrated: bool = False,
    refuse: bool = False,
    process: int = 0,
    processes: int = 1,
) -> Result:
    """Predict a radiograph, or all in a folder; a file that fails gets a row with the reason, and stops no other.

    An image that the run's OOD detector finds unlike the training radiographs is flagged, or refused; an image with a
    single gray level inside its blank border is always refused.

    Writes OUTPUT/PATH.figure.png for every radiograph that was read and not refused (the column `picture` has the name,
    which differs where two would be equal or a file is in the way), and at the end OUTPUT/predictions.csv, and with the
    files that are not radiographs, OUTPUT/passed_over.csv. Until then the rows are in OUTPUT/predictions.partial, from
    which the same call resumes. Of several processes, at once or one after the other, each takes every `processes`-th
    file, without communication; the last one to finish writes the tables.

    OUTPUT/predictions_files.json records what was written. Nothing else in OUTPUT is ever replaced or removed.

    Args:
        workdir: the run directory.
        source: a file or a folder.
        output: a folder, created if it is missing; it may neither be, nor lie in, nor contain the input folder.
        calibrated: see `predictor.Predictor`; the columns expected_entropy and mutual_information stay as they are.
        refuse: whether an image that the OOD detector flags gets a reason instead of a prediction.
        process: index of this process, from 0.
        processes: number of processes that share the files.

    Raises:
        RunError: the run cannot be loaded (see `predictor.Predictor`), or has no OOD detector to refuse by.
        ValueError: a file is in the way, the output overlaps the input, or another prediction is under way in it.
        ImageReadError: `source` is not there, or holds no file that might be a radiograph.
    """
    listing = files.list_files(source)
    outputs.refuse_overlap(source, output, listing)
    listing = outputs.leave_out_pictures(listing)
    if not listing.radiographs:
        raise radiograph.ImageReadError(source, "no radiograph in this folder, only pictures of predictions")
    root = source if source.is_dir() else source.parent
    paths = {str(file.relative_to(root)): file for file in listing.radiographs}
    own = list(paths)[process::processes]
    if not own:
        return Result([], listing.skipped_files)
    written = outputs.Output(output, list(paths))
    resumable.check(output / outputs.PARTIAL)
    reader.shared().start()  # it is ready when the networks are
    predictor = Predictor(workdir, calibrated, max_images=len(paths))
    if refuse and not predictor.has_ood_detector:
        raise run_dir.RunError(f"{workdir}: has no gate to refuse by; --mode=fit_ood makes one")
    output.mkdir(parents=True, exist_ok=True)
    config = hashlib.sha256(predictor.config.to_json().encode()).hexdigest()
    settings = {
        "run": str(workdir.resolve()),
        "config": config,
        "step": predictor.step,
        "gated": predictor.has_ood_detector,
    }
    settings |= {"min_confidence": predictor.min_confidence and str(predictor.min_confidence)}
    settings |= {"input": str(source.resolve()), "calibrated": calibrated, "refuse": refuse}
    columns = predictions_csv.file_columns(
        predictions_csv.classification_columns(predictor.classes, predictor.has_ood_detector)
        if predictor.is_classifier
        else predictions_csv.segmentation_columns(())
    )
    journal = PredictionJournal(output / outputs.PARTIAL, columns, settings)
    rows = journal.read()
    left = {path: paths[path] for path in own if path not in rows}
    _predict_portions(_Predictor(predictor, written, refuse), left, journal, rows)
    _finish(journal, written, columns, list(paths), root, listing.skipped_files)
    return Result([rows[path] for path in own], listing.skipped_files)


def _predict_portions(
    predictor: "_Predictor", left: dict[str, Path], journal: PredictionJournal, rows: dict[str, dict[str, Any]]
) -> None:
    """Add the rows of files, by path; those of a portion are written even where it is interrupted."""
    portions = [list(left)[first : first + CHUNK_SIZE] for first in range(0, len(left), CHUNK_SIZE)]
    for portion in tqdm(portions, desc="predicting", unit="portion", delay=2, disable=len(portions) == 1):
        done = []
        try:
            for row in predictor.predict({path: left[path] for path in portion}):
                done.append(row)
                rows[row["path"]] = row
        finally:
            journal.write(done)


def _finish(
    journal: PredictionJournal,
    written: outputs.Output,
    columns: Sequence[str],
    paths: Sequence[str],
    root: Path,
    skipped_files: Sequence[files.SkippedFile],
) -> None:
    """Write the tables, if there is a row of every path; another process may do so, too."""
    try:
        rows = journal.read()
        if not rows.keys() >= set(paths):
            return
        ordered = [rows[path] for path in paths]
        written.write_table(outputs.TABLE, lambda path: predictions_csv.write(path, ordered, columns))
        written.write_skipped_files(root, skipped_files)
        written.save_record()
    except FileNotFoundError:  # another process, which found all rows too, has removed the folder
        return
    journal.remove()


class _Predictor:
    """Networks that are applied to files."""

    def __init__(self, predictor: Predictor, written: outputs.Output, refuse: bool):
        self._predictor = predictor
        self._written = written
        self._refuse = refuse

    def predict(self, portion: dict[str, Path]) -> Iterator[dict[str, Any]]:
        """Yield the rows of a portion of files, by path, each as soon as it is complete."""
        images: dict[str, np.ndarray] = {}
        cells: dict[str, dict[str, str]] = {}
        for path, file in portion.items():
            image, known = self._read(file)
            cells[path] = {"path": path} | known
            if image is None:
                yield self._fail(cells[path])
            else:
                images[path] = image
        if not images:
            return
        results = self._predictor.predict(np.stack(list(images.values())))
        for (path, image), result in zip(images.items(), results, strict=True):
            row = cells[path] | self._predictor.to_row(result)
            row["reason"] = row["reason"] or cells[path]["reason"]
            if self._predictor.is_classifier:
                row["decision"] = self._predictor.decision(result)
            if self._refuse and row.get("ood_reason"):
                reason = row["ood_reason"]
                refusal = {"status": predictions_csv.REFUSED, "reason": reason, "ood_reason": reason}
                yield self._fail(cells[path] | refusal)
            else:
                yield row | self._draw(image, result, row)

    def _read(self, file: Path) -> tuple[np.ndarray | None, dict[str, str]]:
        """Read a file and standardize it.

        Returns:
            uint8 [S, S] and what its header says, as cells of its row; or None, and the status and reason of the row.
        """
        config = self._predictor.config.image
        try:
            files.check_regular(file)
            picture = radiograph.read(file)
        except radiograph.ImageReadError as error:
            return None, {"status": predictions_csv.UNREADABLE, "reason": error.reason}
        except Exception as error:  # of a decoder, on a file that is odd
            return None, {"status": predictions_csv.UNREADABLE, "reason": _explain(error)}
        known = {"view": picture.view, "reason": picture.note}
        if picture.not_frontal:
            return None, known | {"status": predictions_csv.REFUSED, "reason": picture.not_frontal}
        try:
            image = preprocessing.standardize(
                picture, size=config.size, gamma=config.gamma, equalize=config.equalise, borders=config.borders
            )
        except ValueError as error:
            return None, known | {"status": predictions_csv.REFUSED, "reason": str(error)}
        except Exception as error:
            return None, known | {"status": predictions_csv.UNREADABLE, "reason": _explain(error)}
        return image, known

    def _fail(self, row: dict[str, Any]) -> dict[str, Any]:
        self._written.remove_picture(row["path"])
        return row

    def _draw(self, image: np.ndarray, result: Any, row: dict[str, Any]) -> dict[str, str]:
        """Draw a radiograph: {"figure": its name}; or, with the reason, that it failed."""
        try:
            return {"figure": self._written.draw(row["path"], lambda path: self._draw_to(image, result, row, path))}
        except OSError as error:
            if outputs.concerns_all(error):
                raise
            return {"status": predictions_csv.FAILED, "reason": f"its picture cannot be drawn: {_explain(error)}"}
        except Exception as error:
            return {"status": predictions_csv.FAILED, "reason": f"its picture cannot be drawn: {_explain(error)}"}

    def _draw_to(self, image: np.ndarray, result: Any, row: dict[str, Any], path: Path) -> None:
        predictor = self._predictor
        title = [terminal.escape(Path(row["path"]).name), describe(row)]
        if row.get("ood_reason"):
            title.append(f"out of place: {row['ood_reason']}")
        if predictor.is_classifier:
            lungs = result.lung_mask if predictor.has_segmenter else None
            plotting.draw_prediction(
                image, lungs, result.saliency, title, result.probabilities, result.votes, predictor.classes, path
            )
        else:
            plotting.draw_prediction(image, result.lung_mask, None, title, None, None, (), path)


def _explain(error: Exception) -> str:
    """Return a reason that quotes nothing of the file: the message of an error may."""
    if isinstance(error, MemoryError):
        return "it takes more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"an error that was not expected ({type(error).__name__})"
