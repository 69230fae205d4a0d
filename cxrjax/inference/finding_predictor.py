"""Prediction of several findings per radiograph, each by the votes of the patches on it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cxrjax.inference import pipeline, rows
from cxrjax.inference.label_predictor import LabelPredictor
from cxrjax.inference.loaded_run import LoadedRun
from cxrjax.io import findings, predictions_csv
from cxrjax.metrics.temperature import apply_temperature
from cxrjax.ops import voting


class FindingPredictor(LabelPredictor):
    """`Predictor` of a run of several findings per radiograph (`classifier.targets="multi"`)."""

    def __init__(self, run: LoadedRun, batch_size: int):
        """Prepare a run; it is compiled on first use."""
        super().__init__(run, batch_size)
        temperature = run.fitted.temperature
        self._temperatures = dict(temperature) if isinstance(temperature, Mapping) else {}

    def to_row(self, result: pipeline.Prediction) -> dict[str, Any]:
        """Return the cells of `predictions.csv`, see `predictions_csv.finding_columns`; the truth is not among them."""
        has_label = result.label != pipeline.NO_CLASS
        row = self._status_cells(result)
        row |= {f"votes_{name}": int(count) for name, count in zip(self.classes, result.votes, strict=True)}
        row[predictions_csv.NUM_PATCHES] = int(np.asarray(result.num_patches))
        if not has_label:
            return row
        row |= {
            f"probability_{name}": rows.to_float(probability)
            for name, probability in zip(self.classes, result.probabilities, strict=True)
        }
        return row | {
            "prediction": findings.format_label(self.findings(result)),
            "expected_entropy": rows.to_float(result.expected_entropy),
            "mutual_information": rows.to_float(result.mutual_information),
        }

    def findings(self, result: pipeline.Prediction) -> dict[str, bool]:
        """Return whether each finding is predicted (see `voting.find_positive`); {} where no lungs were found."""
        if result.label == pipeline.NO_CLASS:
            return {}
        rule = self.config.voting.aggregation
        positive = voting.find_positive(result.votes, result.probabilities, result.num_patches, rule)
        return dict(zip(self.classes, positive.tolist(), strict=True))

    def decision(self, result: pipeline.Prediction) -> str:
        """Return "": the confidence of several findings has no threshold."""
        return ""

    def _calibrate(self, fetch: Callable[[], pipeline.Prediction]) -> pipeline.Prediction:
        """Fetch a batch, and scale the probabilities of each finding by its temperature."""
        result = fetch()
        if not self._temperatures:
            return result
        probabilities = np.array(result.probabilities)
        for k, name in enumerate(self.classes):
            if name in self._temperatures:
                two_sided = np.stack([1 - probabilities[:, k], probabilities[:, k]], axis=-1)
                probabilities[:, k] = apply_temperature(two_sided, self._temperatures[name])[:, 1]
        return result._replace(probabilities=probabilities)
