"""The workload of torchxrayvision: its DenseNet121 on each file of a folder. Needs torchxrayvision."""

from pathlib import Path

import torch
import torchvision
import torchxrayvision as xrv

from benchmarks.competitors.worker import Workload, serve


def predict_folder(radiographs: str) -> Workload:
    """Read and classify the files one after the other, as in its documentation, without lungs and maps."""
    network = xrv.models.DenseNet(num_classes=18).eval()  # random weights take the same time
    transform = torchvision.transforms.Compose([xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(224)])
    paths = sorted(Path(radiographs).iterdir())

    def run() -> None:
        with torch.inference_mode():
            for path in paths:
                image = xrv.utils.load_image(str(path))
                network(torch.from_numpy(transform(image))[None])

    return Workload({"folder": run}, {"torch": torch.__version__, "torchxrayvision": xrv.__version__})


if __name__ == "__main__":
    serve({"folder": predict_folder})
