"""An optimized PyTorch version of each workload.

Channels last, batched, in inference mode, batch norms folded into a preceding convolution, saliency maps from the
forward pass only; with `compiled`, the networks use torch.compile.
"""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import roofline
from benchmarks.competitors import preparation
from benchmarks.competitors.pytorch_networks import FCDenseNet103, ResNet18, augment_patches
from benchmarks.competitors.pytorch_predictor import Predictor
from benchmarks.competitors.worker import (
    CLASSIFY,
    COUNT,
    CROP,
    NUM_FILES,
    PREDICT_FILE,
    PREDICT_FILES,
    SALIENCY,
    SAMPLE,
    SEGMENT,
    STANDARDIZE,
    Workload,
    count_cores,
    serve,
)

METADATA = {"torch": torch.__version__}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def predict_file(path: str, **settings: Any) -> Workload:
    """Predict a file with votes and a saliency map, in total and by stage; and several files, one per core.

    A single core is fastest with half as many patches at once.

    Args:
        path: image file.
        settings: those of `Predictor`.
    """
    predictor = Predictor(**settings)
    single_core = _use_half_batches(predictor)
    pool = ThreadPoolExecutor(count_cores(), initializer=lambda: torch.set_num_threads(1))
    pixels = preparation.read(path)
    image = preparation.standardize(pixels, predictor.image_size)
    with torch.inference_mode():
        lungs = predictor.segment(image)
        masked = torch.from_numpy(image) * lungs
        centers = predictor.sample_centers(lungs)
        logits, features = predictor.classify(predictor.crop(masked, centers))
        label, probabilities = predictor.count_votes(logits)
    stages = {
        "read": lambda: preparation.read(path),
        STANDARDIZE: lambda: preparation.standardize(pixels, predictor.image_size),
        SEGMENT: lambda: predictor.segment(image),
        SAMPLE: lambda: predictor.sample_centers(lungs),
        CROP: lambda: predictor.crop(masked, centers),
        CLASSIFY: lambda: predictor.classify(predictor.crop(masked, predictor.sample_centers(lungs))),
        COUNT: lambda: predictor.count_votes(logits),
        SALIENCY: lambda: predictor.saliency_map(features, probabilities, centers, label),
        PREDICT_FILE: lambda: predictor.predict(path),
        PREDICT_FILES: lambda: list(pool.map(torch.inference_mode()(single_core.predict), [path] * NUM_FILES)),
    }
    segmenter_side = predictor.segmenter_size
    patch_side = predictor.patch_size
    with torch.no_grad():
        segmenter_operations = _count_operations(
            lambda: predictor.segmenter(torch.zeros(1, 1, segmenter_side, segmenter_side))
        )
        patch_operations = _count_operations(lambda: predictor.classifier(torch.zeros(1, 3, patch_side, patch_side)))
    classifier_operations = predictor.votes * patch_operations
    operations = {
        SEGMENT: segmenter_operations,
        CLASSIFY: classifier_operations,
        PREDICT_FILE: segmenter_operations + classifier_operations,
        PREDICT_FILES: NUM_FILES * (segmenter_operations + classifier_operations),
    }

    def results() -> dict[str, Any]:
        with torch.inference_mode():
            reference_centers = torch.tensor(preparation.reference_centers(predictor.image_size))
            reference_logits, _ = predictor.classify(predictor.crop(torch.from_numpy(image), reference_centers))
        return {"image": image, "lungs": lungs, "logits": reference_logits}

    return Workload(_disable_gradients(stages) | _product_stage(), METADATA | {"operations": operations}, results)


def predict_first_file(path: str, **settings: Any) -> Workload:
    """Predict a file; setting up only loads the weights, so that the first turn includes all other preparation."""
    predictor = Predictor(**settings)
    return Workload(_disable_gradients({PREDICT_FILE: lambda: predictor.predict(path)}), METADATA)


def predict_folder(radiographs: str, **settings: Any) -> Workload:
    """Predict all files of a folder with votes and a saliency map, one per core; nothing is written."""
    predictor = _use_half_batches(Predictor(**settings))
    paths = [str(path) for path in sorted(Path(radiographs).iterdir())]
    pool = ThreadPoolExecutor(count_cores(), initializer=lambda: torch.set_num_threads(1))

    def run() -> None:
        for _ in pool.map(torch.inference_mode()(predictor.predict), paths):
            pass

    return Workload({"folder": run}, METADATA)


def _use_half_batches(predictor: Predictor) -> Predictor:
    """Return a predictor with the same networks that classifies half as many patches at once."""
    single_core = copy.copy(predictor)
    single_core.batch_size //= 2
    return single_core


def segment_batches(batches: list[int], compiled: bool) -> Workload:
    """Run FC-DenseNet103 at 256² in batches, the network only."""
    plain = FCDenseNet103(4).eval().to(memory_format=torch.channels_last)
    network = torch.compile(plain, dynamic=False) if compiled else plain
    inputs = {n: torch.rand(n, 1, 256, 256).contiguous(memory_format=torch.channels_last) for n in batches}
    stages = {f"batch of {n}": partial(network, x) for n, x in inputs.items()}
    with torch.no_grad():
        operations_per_image = _count_operations(lambda: plain(torch.zeros(1, 1, 256, 256)))
    operations = {f"batch of {n}": n * operations_per_image for n in batches}
    return Workload(_disable_gradients(stages) | _product_stage(), METADATA | {"operations": operations})


def train_classifier(compiled: bool, batch_size: int = 16, image_size: int = 1024, patch_size: int = 224) -> Workload:
    """Run a step of oh2020:classify, which samples and augments patches: flips, rotations, L1, Adam."""
    network = ResNet18(4).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5, weight_decay=0.1, fused=True)
    images = torch.randint(0, 256, (batch_size, image_size, image_size), dtype=torch.uint8)
    labels = torch.arange(batch_size) % 4
    mean = torch.tensor(IMAGENET_MEAN)[:, None, None]
    deviation = torch.tensor(IMAGENET_DEVIATION)[:, None, None]

    def draw_batch() -> Tensor:
        """Draw a patch of each radiograph, randomly flipped and rotated by at most 5°; all pixels are lung."""
        padded = F.pad(images, [patch_size // 2] * 4)
        centers = torch.randint(image_size, (batch_size, 2)).tolist()
        x = torch.stack(
            [
                image[row : row + patch_size, column : column + patch_size]
                for image, (row, column) in zip(padded, centers, strict=True)
            ]
        )
        return augment_patches(x, mean, deviation)

    def loss(x: Tensor) -> Tensor:
        penalty = sum(p.abs().sum() for p in network.parameters())
        return F.cross_entropy(network(x)[0], labels) + 1e-5 * penalty

    return _training_workload(draw_batch, loss, optimizer, compiled)


def train_segmenter(compiled: bool, batch_size: int = 2, image_size: int = 256) -> Workload:
    """Run a step of oh2020:segment, without augmentation: dropout, background with half the weight, Adam."""
    network = FCDenseNet103(4).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-6, fused=True)
    images = torch.randint(0, 256, (batch_size, 1, image_size, image_size), dtype=torch.uint8)
    masks = torch.randint(0, 4, (batch_size, image_size, image_size))
    weights = torch.tensor([0.5, 1.0, 1.0, 1.0])

    def draw_batch() -> Tensor:
        return (images.float() / 255).contiguous(memory_format=torch.channels_last)

    def loss(x: Tensor) -> Tensor:
        return F.nll_loss(network(x), masks, weights)

    return _training_workload(draw_batch, loss, optimizer, compiled)


def _training_workload(
    draw_batch: Callable[[], Tensor],
    loss: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    compiled: bool,
) -> Workload:
    loss_fn = torch.compile(loss) if compiled else loss

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_fn(draw_batch()).backward()
        optimizer.step()

    operations = {"step": _count_operations(lambda: loss(draw_batch()).backward())}
    return Workload({"step": step} | _product_stage(), METADATA | {"operations": operations})


def _count_operations(run: Callable[[], Any]) -> int:
    """Return the multiplications and additions of convolutions and products by their definition."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def _product_stage() -> dict[str, Callable[[], Any]]:
    a = torch.ones(roofline.SIDE, roofline.SIDE)
    return {roofline.PRODUCT: partial(torch.mm, a, a)}


def _disable_gradients(stages: dict[str, Callable[[], Any]]) -> dict[str, Callable[[], Any]]:
    return {name: torch.inference_mode()(run) for name, run in stages.items()}


if __name__ == "__main__":
    torch.set_num_threads(count_cores())
    serve(
        {
            "predict file": predict_file,
            "predict first file": predict_first_file,
            "segment": segment_batches,
            "folder": predict_folder,
            "train classifier": train_classifier,
            "train segmenter": train_segmenter,
        }
    )
