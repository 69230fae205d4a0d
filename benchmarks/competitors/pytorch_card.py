"""Optimized PyTorch on a GPU: bfloat16, channels last, folded batch norms, compiled, CUDA graphs.

    python -m benchmarks.competitors.pytorch_card WORK SETTINGS_AS_JSON

prints a line of JSON for each measurement immediately: {"name", "seconds", "megabytes"}. Without a GPU it runs on the
CPU, to check that it runs.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.competitors.preparation import clean
from benchmarks.competitors.pytorch_networks import FCDenseNet103, ResNet18, fold_norms
from benchmarks.competitors.pytorch_votes import LUNGS, load

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TYPE = torch.bfloat16
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class CardVoter:
    """Both networks on the GPU, and each stage of a batch of radiographs."""

    def __init__(self, folder: str, votes: int, chunk: int, size: int, patch: int, narrow: int, modes: tuple[str, str]):
        """Load the weights; `modes` are those of torch.compile, of the segmenter and of the classifier."""
        self.votes, self.chunk, self.size, self.patch, self.narrow = votes, chunk, size, patch, narrow
        segmenter = load(FCDenseNet103(4), folder, "segmenter").to(DEVICE, TYPE)
        classifier = fold_norms(load(ResNet18(4), folder, "classifier")).to(DEVICE, TYPE)
        self._kernel = classifier.fc.weight.float()
        self._segment = _compile(segmenter, modes[0])
        self._classify = _compile(classifier, modes[1])

    def segment(self, images: Tensor) -> Tensor:
        """Return the lungs bool [B, size, size] of images uint8 [B, size, size]; the host postprocesses masks."""
        x = F.interpolate(images[:, None].float(), (self.narrow, self.narrow), mode="bilinear", antialias=True)
        x = (x.round() / 255).to(TYPE).contiguous(memory_format=torch.channels_last)
        lungs = self._segment(x).float().exp()[:, LUNGS].sum(1)
        rough = lungs > 0.5
        kept = torch.stack([torch.from_numpy(clean(one)) for one in rough.cpu().numpy()]).to(DEVICE)
        certain = torch.where(kept, torch.where(rough, lungs, 1.0), torch.where(rough, 0.0, lungs))
        return F.interpolate(certain[:, None], (self.size, self.size), mode="bilinear")[:, 0] > 0.5

    def draw(self, lungs: Tensor) -> Tensor:
        """Draw centers [B, N, 2] in the lungs."""
        at = torch.multinomial(lungs.flatten(1).float() + 1e-9, self.votes, replacement=True)
        return torch.stack([at // self.size, at % self.size], 2)

    def crop(self, images: Tensor, lungs: Tensor, centers: Tensor) -> Tensor:
        """Cut squares out of the zero-padded radiographs: uint8 [B N, patch, patch]."""
        padded = F.pad(images * lungs, [self.patch // 2] * 4)
        line = torch.arange(self.patch, device=DEVICE)
        rows = centers[:, :, 0, None, None] + line[:, None]
        columns = centers[:, :, 1, None, None] + line
        of = torch.arange(len(images), device=DEVICE)[:, None, None, None]
        return padded[of, rows, columns].flatten(0, 1)

    def classify(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B N, K] and last feature maps [B N, C, h, w]."""
        parts = []
        for some in crops.split(self.chunk):
            shown = (some[:, None].to(TYPE) / 255).expand(-1, 3, -1, -1)
            parts.append([x.clone() for x in self._classify(shown.contiguous(memory_format=torch.channels_last))])
        logits, features = zip(*parts, strict=True)
        return torch.cat(logits).float(), torch.cat(features)

    def show(self, logits: Tensor, features: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
        """Findings [B] and probability-weighted maps [B, size, size]."""
        count, side = len(centers), self.patch
        probabilities = logits.softmax(1).view(count, self.votes, -1)
        ballots = F.one_hot(probabilities.argmax(2), probabilities.shape[2]).sum(1)
        leading = ballots == ballots.amax(1, keepdim=True)
        finding = torch.where(leading, probabilities.mean(1), -1.0).argmax(1)
        kernels = self._kernel[finding].repeat_interleave(self.votes, 0)
        cams = torch.einsum("nchw,nc->nhw", features.float(), kernels).relu()
        shares = probabilities[torch.arange(count, device=DEVICE), :, finding].flatten()
        cams = cams / cams.amax((1, 2), keepdim=True).clamp_min(1e-12) * shares[:, None, None]
        full = F.interpolate(cams[:, None], (side, side), mode="bilinear")[:, 0]
        wide = self.size + side
        line = torch.arange(side, device=DEVICE)
        at = (centers[:, :, 0, None, None] + line[:, None]) * wide + centers[:, :, 1, None, None] + line
        at = at.reshape(count, -1)
        total = torch.zeros(count, wide * wide, device=DEVICE).scatter_add_(1, at, full.reshape(count, -1))
        times = torch.zeros(count, wide * wide, device=DEVICE).scatter_add_(
            1, at, torch.ones_like(at, dtype=torch.float)
        )
        near = slice(side // 2, side // 2 + self.size)
        return finding, (total / times.clamp_min(1)).view(count, wide, wide)[:, near, near]

    def find(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """All of it."""
        lungs = self.segment(images)
        centers = self.draw(lungs)
        return self.show(*self.classify(self.crop(images, lungs, centers)), centers)


def inference(folder: str, batches: list[int], stages: int, turns: int, **settings: Any) -> Iterator[dict[str, Any]]:
    """Stages at a batch of `stages` radiographs, and the whole at each batch; `chunk` is of one radiograph."""
    chunk = settings.pop("chunk")
    for batch in dict.fromkeys([stages, *batches]):
        voter = CardVoter(folder, chunk=chunk * batch, **settings)
        images = torch.randint(0, 128, (batch, voter.size, voter.size), dtype=torch.uint8, device=DEVICE)
        with torch.inference_mode():
            for name, run in (_lay_out_stages(voter, images) if batch == stages else {}).items():
                yield _measure(name, run, turns)
            yield _measure(f"whole, batch of {batch}", partial(voter.find, images), turns)


def _lay_out_stages(voter: CardVoter, images: Tensor) -> dict[str, Callable[[], Any]]:
    """Each stage alone, its input ready."""
    lungs = voter.segment(images)
    centers = voter.draw(lungs)
    seen = voter.classify(voter.crop(images, lungs, centers))
    return {
        "segment": partial(voter.segment, images),
        "draw, crop, classify": lambda: voter.classify(voter.crop(images, lungs, voter.draw(lungs))),
        "vote and map": partial(voter.show, *seen, centers),
    }


def train_classifier(batches: list[int], mode: str, turns: int, size: int, patch: int) -> Iterator[dict[str, Any]]:
    """Steps of oh2020:classify at each batch."""
    for batch in batches:
        yield _measure(f"classifier, batch of {batch}", _classifier_step(batch, mode, size, patch), turns)


def _classifier_step(batch: int, mode: str, size: int, patch: int) -> Callable[[], None]:
    """Crops drawn, flipped and turned in the step, L1, Adam; autocast."""
    network = ResNet18(4).to(DEVICE, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5, weight_decay=0.1, fused=True)
    padded = F.pad(torch.randint(0, 256, (batch, size, size), dtype=torch.uint8, device=DEVICE), [patch // 2] * 4)
    labels = torch.arange(batch, device=DEVICE) % 4
    mean, deviation = (torch.tensor(of, device=DEVICE)[:, None, None] for of in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    line = torch.arange(patch, device=DEVICE)
    of = torch.arange(batch, device=DEVICE)[:, None, None]

    def draw() -> Tensor:
        centers = torch.randint(size, (2, batch, 1, 1), device=DEVICE)
        x = padded[of, centers[0] + line[:, None], centers[1] + line]
        angle = torch.deg2rad(torch.empty(batch, device=DEVICE).uniform_(-5, 5))
        mirror = torch.where(torch.rand(batch, device=DEVICE) < 0.5, -1.0, 1.0)
        cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
        turn = torch.stack([cos * mirror, -sin, none, sin * mirror, cos, none], 1).view(-1, 2, 3)
        grid = F.affine_grid(turn, [batch, 1, patch, patch], align_corners=False)
        x = F.grid_sample(x[:, None].float() / 255, grid, align_corners=False)
        return ((x - mean) / deviation).contiguous(memory_format=torch.channels_last)

    def loss(x: Tensor) -> Tensor:
        with torch.autocast(DEVICE.type, TYPE):
            logits, _ = network(x)
        penalty = sum(p.abs().sum() for p in network.parameters())
        return F.cross_entropy(logits.float(), labels) + 1e-5 * penalty

    return _step(draw, _compile(loss, mode), optimizer)


def train_segmenter(batches: list[int], mode: str, turns: int, size: int) -> Iterator[dict[str, Any]]:
    """Steps of oh2020:segment at each batch."""
    for batch in batches:
        yield _measure(f"segmenter, batch of {batch}", _segmenter_step(batch, mode, size), turns)


def _segmenter_step(batch: int, mode: str, size: int) -> Callable[[], None]:
    """Dropout, background at half the weight, Adam; autocast."""
    network = FCDenseNet103(4).to(DEVICE, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-6, fused=True)
    images = torch.randint(0, 256, (batch, 1, size, size), dtype=torch.uint8, device=DEVICE)
    masks = torch.randint(0, 4, (batch, size, size), device=DEVICE)
    weights = torch.tensor([0.5, 1.0, 1.0, 1.0], device=DEVICE)

    def draw() -> Tensor:
        return (images.float() / 255).contiguous(memory_format=torch.channels_last)

    def loss(x: Tensor) -> Tensor:
        with torch.autocast(DEVICE.type, TYPE):
            out = network(x)
        return F.nll_loss(out.float(), masks, weights)

    return _step(draw, _compile(loss, mode), optimizer)


WORKS = {"inference": inference, "train classifier": train_classifier, "train segmenter": train_segmenter}


def _compile(function: Any, mode: str) -> Any:
    """torch.compile in a mode; "" for none."""
    return torch.compile(function, mode=None if mode == "default" else mode, dynamic=False) if mode else function


def _step(draw: Callable[[], Tensor], loss: Callable[[Tensor], Tensor], optimizer: Any) -> Callable[[], None]:
    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(draw()).backward()
        optimizer.step()

    return step


def _measure(name: str, run: Callable[[], Any], turns: int, warm: int = 3) -> dict[str, Any]:
    """Median seconds of a call, of turns of a fifth of a second or one call each; and the peak of memory."""
    _reset_peak()
    for _ in range(warm):  # compiling, and recording graphs
        run()
    _wait()
    start = time.perf_counter()
    run()
    _wait()
    repeats = max(1, min(100, round(0.2 / (time.perf_counter() - start))))
    each = []
    for _ in range(turns):
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        _wait()
        each.append((time.perf_counter() - start) / repeats)
    return {"name": name, "seconds": median(each), "megabytes": _read_peak()}


def _wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def _reset_peak() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _read_peak() -> float | None:
    return torch.cuda.max_memory_allocated() / 2**20 if DEVICE.type == "cuda" else None


if __name__ == "__main__":
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    for found in WORKS[sys.argv[1]](**json.loads(sys.argv[2])):
        print(json.dumps(found), flush=True)
