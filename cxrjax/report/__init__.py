"""What a run has shown on a split, for people: one page that needs nothing else, a model card and a checklist.

Writes RUN/report/: index.html, MODEL_CARD.md, CHECKLIST.md. Every score comes from the files that evaluation, audit
and the other commands wrote; only the pictures of the cases are made here, by one pass of the network over them.
"""

from pathlib import Path

from cxrjax.data import dataset
from cxrjax.inference.predictor import Predictor
from cxrjax.report import cases, inputs, render
from cxrjax.runtime import atomic_files

TEMPLATES = {"index.html": "index.html", "MODEL_CARD.md": "model_card.md", "CHECKLIST.md": "checklist.md"}


def write(workdir: Path, split: str, directory: str | None = None) -> Path:
    """Write the report of a run on one split.

    Args:
        workdir: the run directory; the split has been evaluated.
        split: "test", or another that was evaluated.
        directory: the data set that was evaluated, where it is not the one of training.

    Returns:
        The page, RUN/report/index.html.

    Raises:
        UnfitRun: there is no run, or the split was not evaluated.
        DatasetError: the data set is not there.
        ValueError: a file of the run is not as it was written, or of another data set.
    """
    found = inputs.gather_inputs(workdir, split, directory)
    config, shown = found.config, []
    if rows := cases.sort_worst_first(found.rows)[: config.report.cases]:
        stored = dataset.open_split(config, split, found.directory)
        shown = cases.render_cases(Predictor(workdir), stored, rows, config.report.side, config.report.megabytes)
    folder = workdir / "report"
    folder.mkdir(exist_ok=True)
    for name, template in TEMPLATES.items():
        atomic_files.atomic_write(folder / name, render.render(template, found, shown))
    return folder / "index.html"
