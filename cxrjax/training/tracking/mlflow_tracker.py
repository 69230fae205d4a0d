"""MLflow: the server, or the files, that MLFLOW_TRACKING_URI names."""

import os
import time
from collections.abc import Mapping

import mlflow  # pyright: ignore[reportMissingImports] -- optional dependency
import numpy as np
from mlflow.entities import Metric, Param  # pyright: ignore[reportMissingImports]
from mlflow.exceptions import MlflowException  # pyright: ignore[reportMissingImports]

from cxrjax.config import Config, schema
from cxrjax.training.tracking.base import TrackerStart

# By default MLflow tries for a quarter of an hour to reach a server that does not answer; the training would wait.
_REQUEST_LIMITS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
_MAX_PARAMS = 100  # of one request


class MLflowTracker:
    """Tracker of one run of MLflow, which later starts of the training resume."""

    def __init__(self, start: TrackerStart):
        for variable, value in _REQUEST_LIMITS.items():
            os.environ.setdefault(variable, value)
        self._client = mlflow.MlflowClient()
        self._run_id = self._resume(start.run_id) or self._create(start)

    def _resume(self, run_id: str | None) -> str | None:
        """Resume a run; return None where there is none, as when it was deleted for good or the server is another."""
        if run_id is None:
            return None
        try:
            self._client.update_run(run_id, status="RUNNING")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return run_id

    def _create(self, start: TrackerStart) -> str:
        project = start.config.tracking.project
        experiment = self._client.get_experiment_by_name(project)
        experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(project)
        run_id = self._client.create_run(experiment_id, run_name=start.workdir.resolve().name).info.run_id
        start.save_run_id(run_id)
        return run_id

    def log_config(self, config: Config) -> None:
        """Record the settings as parameters, and as the artifact config.json.

        MLflow's parameters never change: those of settings that changed when a training was resumed are the former
        ones, and config.json has the new ones.
        """
        logged = self._client.get_run(self._run_id).data.params
        settings = schema.flatten(config.to_dict())
        params = [Param(key, str(value)) for key, value in settings.items() if key not in logged]
        for start in range(0, len(params), _MAX_PARAMS):
            self._client.log_batch(self._run_id, params=params[start : start + _MAX_PARAMS])
        self._client.log_text(self._run_id, config.to_json(), "config.json")

    def log_scalars(self, values: Mapping[str, float], step: int) -> None:
        now = round(1000 * time.time())
        self._client.log_batch(self._run_id, [Metric(name, value, now, step) for name, value in values.items()])

    def log_image(self, name: str, rgb: np.ndarray, step: int) -> None:
        self._client.log_image(self._run_id, rgb, key=name, step=step)

    def close(self, finished: bool) -> None:
        self._client.set_terminated(self._run_id, "FINISHED" if finished else "KILLED")
