"""A prediction by a stand-in for the network: python predictor.py RUN IN OUT PROCESS PROCESSES SECONDS."""

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import cxrjax as cx
from cxrjax import plotting
from cxrjax.cli import predict_files
from cxrjax.config import default_config
from cxrjax.inference.functional import PipelineSpec
from cxrjax.inference.loaded_run import LoadedRun
from cxrjax.runs.model_info import ModelInfo


class StandIn:
    """Predictor of a segmenter's run with a delay per radiograph, whose confidence is the mean gray level."""

    classes = ()
    has_ood_detector = False
    notice = ""
    threshold_note = ""
    model_info = ModelInfo("1.2.3", 64 * "a", 1, ("fc_densenet56",))
    seconds = 0.0  # per radiograph

    def predict(self, images, batch_size):
        for image in images:
            time.sleep(self.seconds)
            yield SimpleNamespace(lung_mask=image > 0, mean=float(image.mean()) / 255)

    def to_row(self, result):
        return {"status": "ok", "reason": "", "lung_confidence": result.mean}

    def findings(self, result):
        return {}

    def decision(self, result):
        return ""

    def lung_mask(self, result):
        return result.lung_mask

    def label_map(self, result):
        return None

    def saliency(self, result):
        return None

    def saliency_label(self, result):
        return None

    def embedding(self, result):
        return None

    def class_maps(self, result):
        return {}

    def patch_embeddings(self, result):
        return None


def stand_in_model(predictor, size, equalize=True):
    """Return a model that predicts by a stand-in."""
    spec = PipelineSpec(cx.InputSpec(size=size, equalize=equalize), (), None, None, None, 0)
    model = cx.Model("run", LoadedRun(default_config(), 1, spec, {}))
    model._predictor = predictor
    return model


def load(workdir, calibrated=False):
    return stand_in_model(StandIn(), 32, equalize=False)


if __name__ == "__main__":
    cx.load = load
    predict_files.CHUNK_SIZE = 2
    plotting.encode_figure = lambda *_, **__: b"drawn"
    run, source, output, process, processes, seconds = sys.argv[1:]
    StandIn.seconds = float(seconds)
    predict_files.predict(Path(run), Path(source), Path(output), process_id=int(process), num_processes=int(processes))
