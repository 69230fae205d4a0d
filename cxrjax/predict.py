"""A trained network on any files: the rows of an evaluation, without the truth, and a picture each."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from cxrjax import figures, predictions, radiograph, runs, standardise
from cxrjax.cohort import PORTION
from cxrjax.examine import Examiner, describe
from cxrjax.io import reader
from cxrjax.parts import Parts


def predict(
    workdir: Path,
    source: Path,
    output: Path,
    calibrated: bool = False,
    refuse: bool = False,
    process: int = 0,
    processes: int = 1,
) -> list[dict[str, Any]]:
    """Examine a radiograph, or all in a folder; an unreadable file is listed and passed over.

    What the run's gate finds out of place is flagged, or refused; a picture of one grey level but for a blank border
    is always refused.

    Writes OUTPUT/NAME.png for every radiograph that was read and not refused, and once all are done
    OUTPUT/predictions.csv; until then the rows are in OUTPUT/predictions.partial, and one that was killed goes on with
    those. Several processes, at once or one after the other, take every `processes`-th file each and need not know of
    one another: the last to be done writes the table.

    Args:
        workdir: the run directory.
        source: a file or a folder.
        output: a folder, made where it is not there.
        calibrated: see `examine.Examiner`; the columns entropy_within and entropy_between stay as they are.
        refuse: whether what is out of place gets a reason and no finding.
        process: which of the processes this is, from 0.
        processes: how many share the files.

    Returns:
        A row a file of this process, as in predictions.csv.

    Raises:
        UnfitRun: see there; or nothing can be refused, for the run has no gate.
        ValueError: another prediction is under way in `output`.
        UnreadableRadiograph: `source` is not there, or holds no file that might be a radiograph.
    """
    files = radiograph.find(source)
    reader.shared().start()  # it is ready when the networks are
    examiner = Examiner(workdir, calibrated, most=len(files))
    if refuse and not examiner.gated:
        raise runs.UnfitRun(f"{workdir}: has no gate to refuse by; --mode=fit_gate makes one")
    output.mkdir(parents=True, exist_ok=True)
    columns = (
        predictions.classification_columns(examiner.classes, examiner.gated)
        if examiner.finds
        else predictions.segmentation_columns(())
    )
    config = hashlib.sha256(examiner.config.to_json().encode()).hexdigest()
    asked = {"run": str(workdir.resolve()), "config": config, "step": examiner.step, "gated": examiner.gated}
    asked |= {"input": str(source.resolve()), "calibrated": calibrated, "refuse": refuse}
    parts = Parts(output, columns, asked)
    root = source if source.is_dir() else source.parent
    paths = {str(file.relative_to(root)): file for file in files}
    own, rows = list(paths)[process::processes], parts.read()
    left = [paths[path] for path in own if path not in rows]
    portions = [left[i : i + PORTION] for i in range(0, len(left), PORTION)]
    for portion in tqdm(portions, desc="predicting", unit="portion", delay=2, disable=len(portions) == 1):
        found = _examine(examiner, portion, root, output, refuse)
        parts.write(found)
        rows |= {row["path"]: row for row in found}
    parts.finish(list(paths))
    return [rows[path] for path in own]


def _examine(examiner: Examiner, files: list[Path], root: Path, output: Path, refuse: bool) -> list[dict[str, Any]]:
    rows = {file: {"path": str(file.relative_to(root))} for file in files}
    images: dict[Path, np.ndarray] = {}
    config = examiner.config.image
    for file in files:
        try:
            picture = radiograph.read(file)
            rows[file] |= {"view": picture.view, "reason": picture.note}
            if picture.not_frontal:
                rows[file] |= {"status": predictions.REFUSED, "reason": picture.not_frontal}
                continue
            images[file] = standardise.standardise(
                picture, size=config.size, gamma=config.gamma, equalise=config.equalise
            )
        except radiograph.UnreadableRadiograph as error:
            rows[file] |= {"status": predictions.UNREADABLE, "reason": error.reason}
        except ValueError as error:  # of standardise
            rows[file] |= {"status": predictions.REFUSED, "reason": str(error)}
    names = [rows[file]["path"] for file in images]
    if images:
        results = examiner.examine(np.stack(list(images.values())), names)
        for (file, image), result in zip(images.items(), results, strict=True):
            row = examiner.row(result)
            if refuse and row.get("gate"):
                rows[file] |= {"status": predictions.REFUSED, "reason": row["gate"], "gate": row["gate"]}
            else:
                rows[file] |= row | {"reason": row["reason"] or rows[file]["reason"]}
                _draw(examiner, image, result, rows[file], output)
    for row in rows.values():
        if row["status"] in (predictions.UNREADABLE, predictions.REFUSED):
            _locate(output, row).unlink(missing_ok=True)  # of an earlier prediction
    return list(rows.values())


def _locate(output: Path, row: dict[str, Any]) -> Path:
    """Where the picture of a row is."""
    return output / f"{row['path']}.png"


def _draw(examiner: Examiner, image: np.ndarray, result: Any, row: dict[str, Any], output: Path) -> None:
    path = _locate(output, row)
    path.parent.mkdir(parents=True, exist_ok=True)
    title = [Path(row["path"]).name, describe(row), *([f"out of place: {row['gate']}"] if row.get("gate") else [])]
    if examiner.finds:
        lungs = result.mask if examiner.segments else None
        figures.draw_finding(
            image, lungs, result.map, title, result.probabilities, result.votes, examiner.classes, path
        )
    else:
        figures.draw_finding(image, result.lungs, None, title, None, None, (), path)
