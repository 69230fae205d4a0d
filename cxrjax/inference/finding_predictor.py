"""Prediction of several findings per radiograph, each by the votes of the patches on it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cxrjax.inference import finding_thresholds, pipeline
from cxrjax.inference.label_predictor import LabelPredictor
from cxrjax.inference.loaded_run import LoadedRun
from cxrjax.io import findings, predictions_csv
from cxrjax.metrics.temperature import apply_event_temperature
from cxrjax.ops import voting


class FindingPredictor(LabelPredictor):
    """`Predictor` of a run of several findings per radiograph (`classifier.targets="multi"`)."""

    def __init__(self, run: LoadedRun, batch_size: int):
        """Prepare a run; it is compiled on first use."""
        super().__init__(run, batch_size)
        temperature = run.fitted.temperature
        self._temperatures = dict(temperature) if isinstance(temperature, Mapping) else {}
        self._thresholds = np.array([self._scale_threshold(name) for name in self.classes])

    def findings(self, result: pipeline.Prediction) -> dict[str, bool]:
        """Return whether each finding is predicted: from its threshold on, and without one by `voting.find_positive`.

        The result is {} where no lungs were found.
        """
        if result.label == pipeline.NO_CLASS:
            return {}
        rule = self.config.voting.aggregation
        num_patches = np.asarray(result.num_patches)
        positive = voting.find_positive(result.votes, result.probabilities, num_patches, rule, self._thresholds)
        return dict(zip(self.classes, positive.tolist(), strict=True))

    @property
    def threshold_note(self) -> str:
        """A sentence on where the thresholds of the findings come from."""
        return finding_thresholds.describe(self.classes, self._thresholds, self.config)

    def decision(self, result: pipeline.Prediction) -> str:
        """Return "": the confidence of several findings has no threshold."""
        return ""

    def _vote_cells(self, result: pipeline.Prediction) -> dict[str, Any]:
        """Return the cells of the votes, and the number of patches that voted on each finding."""
        return super()._vote_cells(result) | {predictions_csv.NUM_PATCHES: int(np.asarray(result.num_patches))}

    def _prediction_cells(self, result: pipeline.Prediction) -> dict[str, Any]:
        """Return the cells of the findings that are predicted, and of their thresholds."""
        cells = {"prediction": findings.format_label(self.findings(result))}
        return cells | finding_thresholds.to_cells(self.classes, self._thresholds)

    def _scale_threshold(self, name: str) -> float:
        """Return the threshold of a finding at its temperature; NaN where none was chosen."""
        threshold = self._run.fitted.decision_thresholds.get(name, np.nan)
        if name not in self._temperatures:
            return threshold
        return float(apply_event_temperature(np.array([threshold]), self._temperatures[name])[0])

    def _calibrate(self, fetch: Callable[[], pipeline.Prediction]) -> pipeline.Prediction:
        """Fetch a batch, and scale the probabilities of each finding by its temperature."""
        result = fetch()
        if not self._temperatures:
            return result
        probabilities = np.array(result.probabilities)
        for k, name in enumerate(self.classes):
            if name in self._temperatures:
                probabilities[:, k] = apply_event_temperature(probabilities[:, k], self._temperatures[name])
        return result._replace(probabilities=probabilities)
