"""Report of a run on one split: a self-contained web page, a model card and a reporting checklist.

Writes RUN/report/: index.html, MODEL_CARD.md, CHECKLIST.md. Every score is read from the files that evaluation, audit
and the other commands wrote; only the images of the cases are computed here, by one pass of the network over them.
"""

from pathlib import Path

from cxrjax.data import dataset
from cxrjax.inference.predictor import load_predictor
from cxrjax.report import cases, inputs, overview, render
from cxrjax.runtime import atomic_files

TEMPLATES = {"index.html": "index.html", "MODEL_CARD.md": "model_card.md", "CHECKLIST.md": "checklist.md"}


def write(workdir: Path, split: str, directory: str | None = None) -> Path:
    """Write the report of a run on one split.

    Args:
        workdir: the run directory; the split has been evaluated.
        split: "test", or another split that was evaluated.
        directory: the data set that was evaluated, if it is not that of training.

    Returns:
        The path of the page, RUN/report/index.html.

    Raises:
        RunError: there is no run, or the split was not evaluated.
        DatasetError: the data set does not exist.
        ValueError: a file of the run is damaged, or belongs to another data set.
    """
    report_inputs = inputs.gather_inputs(workdir, split, directory)
    config = report_inputs.config
    views: list[cases.CaseView] = []
    worst_first = cases.sort_worst_first(report_inputs.rows)
    if config.report.max_cases:
        stored = dataset.open_split(config, split, report_inputs.directory)
        views = cases.render_cases(
            load_predictor(workdir),
            stored,
            worst_first[: config.report.max_cases],
            examples=overview.select_examples(worst_first),
            side=config.report.image_size,
            megabytes=config.report.max_megabytes,
        )
    folder = workdir / "report"
    folder.mkdir(exist_ok=True)
    for name, template in TEMPLATES.items():
        atomic_files.atomic_write(folder / name, render.render(template, report_inputs, views))
    return folder / "index.html"
