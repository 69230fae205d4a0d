"""Prediction of several findings per radiograph, each by the votes of the patches on it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cxrjax.inference import pipeline
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

    def _vote_cells(self, result: pipeline.Prediction) -> dict[str, Any]:
        """Return the cells of the votes, and the number of patches that voted on each finding."""
        return super()._vote_cells(result) | {predictions_csv.NUM_PATCHES: int(np.asarray(result.num_patches))}

    def _prediction_cells(self, result: pipeline.Prediction) -> dict[str, Any]:
        """Return the cell of the findings that are predicted."""
        return {"prediction": findings.format_label(self.findings(result))}

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
