"""A data set of phantoms with several findings at once, some of them uncertain or not labeled."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from cxrjax.io import findings
from data_prep.example import Example
from data_prep.options import Options, option
from data_prep.phantom.draw import MIN_SIZE, draw_patient
from data_prep.phantom.example import LICENSE, make_example
from data_prep.phantom_findings.findings import FINDINGS, fill_findings
from data_prep.record import PreparationError, Record
from data_prep.source import Source


@dataclass(frozen=True)
class PhantomFindingsOptions(Options):
    """Options of `PhantomFindings`.

    Attributes:
        count: number of radiographs.
        size: side in pixels.
        prevalence: share of the radiographs with each finding.
        correlation: of effusion with consolidation, between -1 and 1: that of the normal variables that decide.
        uncertain: share of the labels that are uncertain.
        missing: share of the labels that are unknown.
    """

    count: int = option(800, "radiographs (default: 800)")
    size: int = option(256, "side in pixels (default: 256)")
    prevalence: float = option(0.3, "share of the radiographs with each finding (default: 0.3)", type=float)
    correlation: float = option(
        0.6, "correlation of effusion with consolidation, from -1 to 1 (default: 0.6)", type=float
    )
    uncertain: float = option(0.0, "share of the labels that are uncertain (default: 0)", type=float)
    missing: float = option(0.0, "share of the labels that are missing (default: 0)", type=float)


class PhantomFindings(Source[PhantomFindingsOptions]):
    """Synthetic radiographs, each of a different patient, with any of `FINDINGS`.

    `upstream_label` has the findings that are drawn, whatever the labels say.
    """

    name = "phantom_findings"
    description = "synthetic radiographs with several findings at once, known anatomy and lesions"
    homepage = "drawn by data_prep"
    license = LICENSE
    size = "nothing to download"
    coverage = f"--count radiographs with {', '.join(FINDINGS)} or none"

    is_drawn = True
    options_type = PhantomFindingsOptions

    def settings(self, options: PhantomFindingsOptions) -> dict[str, Any]:
        names = ("size", "prevalence", "correlation", "uncertain", "missing")
        return {name: getattr(options, name) for name in names}

    def default_dir(self, options: PhantomFindingsOptions) -> Path:
        return Path()

    def has_findings(self, options: PhantomFindingsOptions) -> bool:
        return True

    def records(self, root: Path, options: PhantomFindingsOptions) -> Iterator[Record]:
        _check_options(options)
        for number in range(options.count):
            present, labels = draw_labels(number, options)
            yield Record(
                f"{number:06d}",
                upstream_label=findings.format_label(present),
                source=self.name,
                patient_id=f"phantom-{number:06d}",
                payload=(number, [name for name, value in present.items() if value]),
                findings=labels,
            )

    def read(self, record: Record, options: PhantomFindingsOptions) -> Example:
        number, names = record.payload
        rng = np.random.default_rng([options.seed, number])
        phantom = draw_patient(lambda structures, rng: fill_findings(names, structures, rng), rng, options.size)
        return make_example(record, phantom, record.upstream_label)


def draw_labels(number: int, options: PhantomFindingsOptions) -> tuple[dict[str, float], dict[str, float]]:
    """Return the findings that a phantom has, 1 or 0 each, and what its labels say about them.

    A finding is present where a normal variable is below the quantile of the prevalence; the variables of effusion and
    consolidation have the correlation of the options. Labels are uncertain or missing independently of the findings.
    """
    rng = np.random.default_rng([options.seed, number, 1])
    levels = dict(zip(FINDINGS, rng.standard_normal(len(FINDINGS)), strict=True))
    own = np.sqrt(1 - options.correlation**2) * levels["effusion"]
    levels["effusion"] = options.correlation * levels["consolidation"] + own
    limit = NormalDist().inv_cdf(options.prevalence)
    present = {name: float(level < limit) for name, level in levels.items()}
    labels = {}
    for name, hidden in zip(FINDINGS, rng.random(len(FINDINGS)), strict=True):
        if hidden < options.missing:
            continue
        labels[name] = findings.UNCERTAIN if hidden < options.missing + options.uncertain else present[name]
    return present, labels


def _check_options(options: PhantomFindingsOptions) -> None:
    if options.count < 1:
        raise PreparationError(f"--count={options.count}: at least one radiograph is needed")
    if options.size < MIN_SIZE:
        raise PreparationError(f"--size={options.size}: at least {MIN_SIZE} pixels are needed")
    if not 0 < options.prevalence < 1:
        raise PreparationError(f"--prevalence={options.prevalence}: a share between 0 and 1 is needed")
    if not -1 <= options.correlation <= 1:
        raise PreparationError(f"--correlation={options.correlation}: a number from -1 to 1 is needed")
    if min(options.uncertain, options.missing) < 0 or options.uncertain + options.missing > 1:
        raise PreparationError(
            f"--uncertain={options.uncertain} --missing={options.missing}: shares from 0 to 1 are needed, at most 1 "
            "together"
        )


SOURCE = PhantomFindings()
