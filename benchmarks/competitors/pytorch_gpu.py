"""Optimized PyTorch on a GPU: bfloat16, channels last, folded batch norms, compiled, CUDA graphs.

    python -m benchmarks.competitors.pytorch_gpu WORKLOAD SETTINGS_AS_JSON

prints a line of JSON for each measurement immediately: {"name", "seconds", "megabytes"}. Without a GPU, it runs on the
CPU, as a check.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
import torch._inductor.config
import torch.nn.functional as F
from torch import Tensor

from benchmarks.accelerator import turns as turns_of_processes
from benchmarks.competitors.preparation import postprocess_mask
from benchmarks.competitors.pytorch_networks import FCDenseNet103, ResNet18, augment_patches, fold_norms
from benchmarks.competitors.pytorch_predictor import LUNGS, load
from benchmarks.competitors.worker import AGGREGATE, CLASSIFY, SEGMENT

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TYPE = torch.bfloat16
# Options of torch.compile by mode. Its own "max-autotune" also tunes the blocks of every kernel one after the other,
# which takes minutes and gains little where convolutions take the time.
OPTIONS = {
    "default": {},
    "reduce-overhead": {"triton.cudagraphs": True},
    "max-autotune": {"triton.cudagraphs": True, "max_autotune": True},
}
WARMUP = 3  # calls before a measurement
HOST_THREADS = ThreadPoolExecutor(os.cpu_count())  # that postprocess masks
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class GpuPredictor:
    """Both networks on the GPU, and each stage of a prediction for a batch of B radiographs."""

    def __init__(
        self,
        folder: str,
        votes: int,
        batch_size: int,
        image_size: int,
        patch_size: int,
        segmenter_size: int,
        modes: tuple[str, str],
    ):
        """Load the weights.

        Args:
            folder: of the weights.
            votes: number of patches per radiograph, N.
            batch_size: patches classified at once.
            image_size: side of a radiograph, in pixels.
            patch_size: side of a patch, in pixels.
            segmenter_size: side of the segmenter's input, in pixels.
            modes: modes of torch.compile for the segmenter and the classifier.
        """
        self.votes = votes
        self.batch_size = batch_size
        self.image_size = image_size
        self.patch_size = patch_size
        self.segmenter_size = segmenter_size
        segmenter = load(FCDenseNet103(4), folder, "segmenter").to(DEVICE, TYPE)
        classifier = fold_norms(load(ResNet18(4), folder, "classifier")).to(DEVICE, TYPE)
        self._head = classifier.fc.weight.float()
        self._segment = _compile(segmenter, modes[0])

        def classify(gray: Tensor) -> tuple[Tensor, Tensor]:
            x = (gray[:, None].to(TYPE) / 255).expand(-1, 3, -1, -1)
            return classifier(x.contiguous(memory_format=torch.channels_last))

        self._classify = _compile(classify, modes[1])

    def segment(self, images: Tensor) -> Tensor:
        """Return the lungs bool [B, s, s] of images uint8 [B, s, s]; the host postprocesses the masks."""
        size = (self.segmenter_size, self.segmenter_size)
        x = F.interpolate(images[:, None].float(), size, mode="bilinear", antialias=True)
        x = (x.round() / 255).to(TYPE).contiguous(memory_format=torch.channels_last)
        probability = self._segment(x).float().exp()[:, LUNGS].sum(1)
        masks = probability > 0.5
        postprocessed = torch.from_numpy(np.stack(list(HOST_THREADS.map(postprocess_mask, masks.cpu().numpy()))))
        filled = torch.where(masks, probability, 1.0)
        removed = torch.where(masks, 0.0, probability)
        probability = torch.where(postprocessed.to(DEVICE), filled, removed)
        return F.interpolate(probability[:, None], (self.image_size, self.image_size), mode="bilinear")[:, 0] > 0.5

    def sample_centers(self, lungs: Tensor) -> Tensor:
        """Draw centers [B, N, 2] in the lungs."""
        cumulative = lungs.flatten(1).cumsum(1, dtype=torch.int32)
        drawn = (torch.rand(len(lungs), self.votes, device=DEVICE) * cumulative[:, -1:]).int()
        indices = torch.searchsorted(cumulative, drawn, right=True).clamp_max(cumulative.shape[1] - 1)
        return torch.stack([indices // self.image_size, indices % self.image_size], 2)

    def crop(self, images: Tensor, lungs: Tensor, centers: Tensor) -> Tensor:
        """Crop squares around centers from the zero-padded radiographs: uint8 [B N, patch_size, patch_size]."""
        padded = F.pad(images * lungs, [self.patch_size // 2] * 4)
        offsets = torch.arange(self.patch_size, device=DEVICE)
        rows = centers[:, :, 0, None, None] + offsets[:, None]
        columns = centers[:, :, 1, None, None] + offsets
        radiographs = torch.arange(len(images), device=DEVICE)[:, None, None, None]
        return padded[radiographs, rows, columns].flatten(0, 1)

    def classify(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [B N, K] and last feature maps [B N, C, h, w]."""
        outputs = []
        for batch in patches.split(self.batch_size):
            outputs.append([y.clone() for y in self._classify(batch)])
        logits, features = zip(*outputs, strict=True)
        return torch.cat(logits).float(), torch.cat(features)

    def aggregate(self, logits: Tensor, features: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
        """Return the labels [B] and the probability-weighted saliency maps [B, image_size, image_size]."""
        count = len(centers)
        side = self.patch_size
        probabilities = logits.softmax(1).view(count, self.votes, -1)
        votes = F.one_hot(probabilities.argmax(2), probabilities.shape[2]).sum(1)
        is_leading = votes == votes.amax(1, keepdim=True)
        labels = torch.where(is_leading, probabilities.mean(1), -1.0).argmax(1)
        heads = self._head[labels].repeat_interleave(self.votes, 0)
        cams = torch.einsum("nchw,nc->nhw", features.float(), heads).relu()
        weights = probabilities[torch.arange(count, device=DEVICE), :, labels].flatten()
        cams = cams / cams.amax((1, 2), keepdim=True).clamp_min(1e-12) * weights[:, None, None]
        resized = F.interpolate(cams[:, None], (side, side), mode="bilinear")[:, 0]
        padded_size = self.image_size + side
        offsets = torch.arange(side, device=DEVICE)
        rows = centers[:, :, 0, None, None] + offsets[:, None]
        columns = centers[:, :, 1, None, None] + offsets
        indices = (rows * padded_size + columns).reshape(count, -1)
        total = torch.zeros(count, padded_size**2, device=DEVICE)
        total.scatter_add_(1, indices, resized.reshape(count, -1))
        counts = torch.zeros(count, padded_size**2, device=DEVICE)
        counts.scatter_add_(1, indices, total.new_ones(()).expand_as(indices))
        inner = slice(side // 2, side // 2 + self.image_size)
        maps = (total / counts.clamp_min(1)).view(count, padded_size, padded_size)
        return labels, maps[:, inner, inner]

    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the labels [B] and the saliency maps [B, s, s] of images uint8 [B, s, s]."""
        lungs = self.segment(images)
        centers = self.sample_centers(lungs)
        return self.aggregate(*self.classify(self.crop(images, lungs, centers)), centers)


def inference(
    folder: str, batches: list[int], stage_batch: int, turns: int, patches_per_radiograph: int, **settings: Any
) -> Iterator[dict[str, Any]]:
    """Measure the whole prediction at each batch size, and its stages at one of them.

    Args:
        folder: of the weights.
        batches: batch sizes.
        stage_batch: batch size at which the stages are measured.
        turns: measurements, of which the median counts.
        patches_per_radiograph: patches of each radiograph that are classified at once.
        settings: further settings of `GpuPredictor`.
    """
    for batch in dict.fromkeys([stage_batch, *batches]):
        predictor = GpuPredictor(folder, batch_size=patches_per_radiograph * batch, **settings)
        size = (batch, predictor.image_size, predictor.image_size)
        images = torch.randint(0, 128, size, dtype=torch.uint8, device=DEVICE)
        with torch.inference_mode():
            for name, run in (_stages(predictor, images) if batch == stage_batch else {}).items():
                yield _measure(name, run, turns)
            yield _measure(f"whole, batch of {batch}", partial(predictor.predict, images), turns)


def _stages(predictor: GpuPredictor, images: Tensor) -> dict[str, Callable[[], Any]]:
    """Return each stage alone, with its input ready."""
    lungs = predictor.segment(images)
    centers = predictor.sample_centers(lungs)
    outputs = predictor.classify(predictor.crop(images, lungs, centers))
    return {
        SEGMENT: partial(predictor.segment, images),
        CLASSIFY: lambda: predictor.classify(predictor.crop(images, lungs, predictor.sample_centers(lungs))),
        AGGREGATE: partial(predictor.aggregate, *outputs, centers),
    }


def train_classifier(batch: int, mode: str, turns: int, image_size: int, patch_size: int) -> Iterator[dict[str, Any]]:
    """Compile a step of oh2020:classify, and measure it when it is its turn."""
    step = _classifier_step(batch, mode, image_size, patch_size)
    yield _measure(f"classifier, batch of {batch}", step, turns, waits=True)


def _classifier_step(batch: int, mode: str, image_size: int, patch_size: int) -> Callable[[], None]:
    """Return a step that samples, flips and rotates patches, with L1, Adam and autocast."""
    network = ResNet18(4).to(DEVICE, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5, weight_decay=0.1, fused=True)
    images = torch.randint(0, 256, (batch, image_size, image_size), dtype=torch.uint8, device=DEVICE)
    padded = F.pad(images, [patch_size // 2] * 4)
    labels = torch.arange(batch, device=DEVICE) % 4
    mean = torch.tensor(IMAGENET_MEAN, device=DEVICE)[:, None, None]
    deviation = torch.tensor(IMAGENET_DEVIATION, device=DEVICE)[:, None, None]
    offsets = torch.arange(patch_size, device=DEVICE)
    radiographs = torch.arange(batch, device=DEVICE)[:, None, None]

    def draw_batch() -> Tensor:
        centers = torch.randint(image_size, (2, batch, 1, 1), device=DEVICE)
        x = padded[radiographs, centers[0] + offsets[:, None], centers[1] + offsets]
        return augment_patches(x, mean, deviation)

    def loss(x: Tensor) -> Tensor:
        logits, _ = network(x)
        penalty = sum(p.abs().sum() for p in network.parameters())
        return F.cross_entropy(logits.float(), labels) + 1e-5 * penalty

    return _training_step(draw_batch, _compile(loss, mode), optimizer)


def train_segmenter(batch: int, mode: str, turns: int, image_size: int) -> Iterator[dict[str, Any]]:
    """Compile a step of oh2020:segment, and measure it when it is its turn."""
    yield _measure(f"segmenter, batch of {batch}", _segmenter_step(batch, mode, image_size), turns, waits=True)


def _segmenter_step(batch: int, mode: str, image_size: int) -> Callable[[], None]:
    """Return a step with dropout, half the weight for the background, Adam and autocast."""
    network = FCDenseNet103(4).to(DEVICE, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-6, fused=True)
    images = torch.randint(0, 256, (batch, 1, image_size, image_size), dtype=torch.uint8, device=DEVICE)
    masks = torch.randint(0, 4, (batch, image_size, image_size), device=DEVICE)
    weights = torch.tensor([0.5, 1.0, 1.0, 1.0], device=DEVICE)

    def draw_batch() -> Tensor:
        return (images.float() / 255).contiguous(memory_format=torch.channels_last)

    def loss(x: Tensor) -> Tensor:
        return F.nll_loss(network(x).float(), masks, weights)

    return _training_step(draw_batch, _compile(loss, mode), optimizer)


WORKLOADS = {"inference": inference, "train classifier": train_classifier, "train segmenter": train_segmenter}


def _compile(function: Any, mode: str) -> Any:
    """Return a network or a function compiled by torch.compile with OPTIONS of a mode; unchanged for ""."""
    return torch.compile(function, options=OPTIONS[mode], dynamic=False) if mode else function


def _training_step(
    draw_batch: Callable[[], Tensor], loss: Callable[[Tensor], Tensor], optimizer: Any
) -> Callable[[], None]:
    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        x = draw_batch()
        # Around the compiled function: inside, it would keep the function out of the cache of compiled programs.
        with torch.autocast(DEVICE.type, TYPE):
            value = loss(x)
        value.backward()
        optimizer.step()

    return step


def _measure(name: str, run: Callable[[], Any], turns: int, waits: bool = False) -> dict[str, Any]:
    """Return the median seconds of a call, over turns of a fifth of a second or one call each, and the peak memory.

    Without turns, only compile. With `waits`, compile, print READY, and wait for a line before measuring.
    """
    for _ in range(WARMUP if turns else 1):  # compiles, and records CUDA graphs
        run()
    _synchronize()
    if waits:
        turns_of_processes.wait_for_turn()
    if not turns:
        return {"name": name, "seconds": None, "megabytes": None}
    # A replayed graph allocates nothing, so that the memory is measured in a call that runs its kernels one by one.
    with torch._inductor.config.patch({"triton.force_cudagraphs_warmup": True}):
        _reset_peak()
        run()
        _synchronize()
        peak = _read_peak()
    for _ in range(2):
        run()
    _synchronize()
    start = time.perf_counter()
    run()
    _synchronize()
    repeats = max(1, min(100, round(0.2 / (time.perf_counter() - start))))
    seconds = []
    for _ in range(turns):
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        _synchronize()
        seconds.append((time.perf_counter() - start) / repeats)
    return {"name": name, "seconds": median(seconds), "megabytes": peak}


def _synchronize() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def _reset_peak() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _read_peak() -> float | None:
    return torch.cuda.max_memory_allocated() / 2**20 if DEVICE.type == "cuda" else None


if __name__ == "__main__":
    cv2.setNumThreads(1)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.benchmark_limit = 4
    torch.set_float32_matmul_precision("high")
    for measurement in WORKLOADS[sys.argv[1]](**json.loads(sys.argv[2])):
        print(json.dumps(measurement), flush=True)
