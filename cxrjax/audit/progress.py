"""Progress of an audit: which of its controls are done, as its folder tells, and the lines of the terminal that say so.

A control is an `Experiment`; those that are not saved are computed at the end, from the rows of the others.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cxrjax.audit.experiments import EXPERIMENTS, Experiment
from cxrjax.runtime import former_names, terminal
from cxrjax.runtime.formatting import pick_form
from cxrjax.runtime.progress import print_above_bars, progress_bar


class AuditProgress(NamedTuple):
    """Controls of an audit, each in the order in which they run."""

    done: tuple[Experiment, ...]
    missing: tuple[Experiment, ...]

    @property
    def total(self) -> int:
        """Number of controls that an audit saves."""
        return len(self.done) + len(self.missing)


def read(folder: Path, experiments: Sequence[Experiment] = EXPERIMENTS) -> AuditProgress:
    """Return which controls are done.

    Args:
        folder: of the audit, RUN/audit/SPLIT; it need not exist.
        experiments: of the audit.
    """
    done = []
    missing = []
    for experiment in experiments:
        if experiment.saved:
            is_done = former_names.find(folder, "experiments", experiment.name).exists()
            (done if is_done else missing).append(experiment)
    return AuditProgress(tuple(done), tuple(missing))


def iterate(progress: AuditProgress) -> Iterator[Experiment]:
    """Yield the missing controls, and print before each its number, of how many, and what it is.

    On a terminal a bar with the controls that are done and the time stands below.
    """
    bar = progress_bar(
        progress.missing,
        desc="audit",
        unit="control",
        initial=len(progress.done),
        total=progress.total,
        leave=None,
    )
    for number, experiment in enumerate(bar, len(progress.done) + 1):
        print_above_bars(f"audit: control {number} of {progress.total}: {experiment.title} ({experiment.model})")
        yield experiment
    if progress.missing:
        terminal.print_line(f"audit: all {progress.total} controls are done; their scores and intervals are computed")


def describe(progress: AuditProgress) -> str:
    """Return a clause with the numbers of both: "7 of its 23 controls are done, and 16 are missing"."""
    done = len(progress.done)
    missing = len(progress.missing)
    return (
        f"{done} of its {progress.total} controls {pick_form(done, 'is', 'are')} done, and {missing} "
        f"{pick_form(missing, 'is', 'are')} missing"
    )
