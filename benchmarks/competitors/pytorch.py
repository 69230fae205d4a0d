"""An optimized PyTorch version of each work.

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
from benchmarks.competitors.pytorch_networks import FCDenseNet103, ResNet18
from benchmarks.competitors.pytorch_votes import Voter
from benchmarks.competitors.worker import MANY, SEVERAL, WHOLE, Work, cores, serve

FACTS = {"torch": torch.__version__}
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def vote(picture: str, **settings: Any) -> Work:
    """Predict a file with votes and a saliency map, in total and by stage; and several files, one per core.

    Settings are those of `Voter`. A single core is fastest with half as many crops at once.
    """
    voter = Voter(**settings)
    lone = copy.copy(voter)
    lone.chunk //= 2
    pool = ThreadPoolExecutor(cores(), initializer=lambda: torch.set_num_threads(1))
    pixels = preparation.read(picture)
    image = preparation.standardise(pixels, voter.size)
    with torch.inference_mode():
        lungs = voter.segment(image)
        masked, centres = torch.from_numpy(image) * lungs, voter.draw(lungs)
        logits, features = voter.classify(voter.crop(masked, centres))
        finding, probabilities = voter.count(logits)
    stages = {
        "read": lambda: preparation.read(picture),
        "standardise": lambda: preparation.standardise(pixels, voter.size),
        "segment": lambda: voter.segment(image),
        "draw": lambda: voter.draw(lungs),
        "crop": lambda: voter.crop(masked, centres),
        "draw, crop, classify": lambda: voter.classify(voter.crop(masked, voter.draw(lungs))),
        "vote": lambda: voter.count(logits),
        "map": lambda: voter.show(features, probabilities, centres, finding),
        WHOLE: lambda: voter.find(picture),
        MANY: lambda: list(pool.map(torch.inference_mode()(lone.find), [picture] * SEVERAL)),
    }
    with torch.no_grad():
        lungs_alone = _operations(lambda: voter.segmenter(torch.zeros(1, 1, voter.narrow, voter.narrow)))
        crops_alone = _operations(lambda: voter.classifier(torch.zeros(1, 3, voter.patch, voter.patch))) * voter.votes
    operations = {
        "segment": lungs_alone,
        "draw, crop, classify": crops_alone,
        WHOLE: lungs_alone + crops_alone,
        MANY: SEVERAL * (lungs_alone + crops_alone),
    }

    def results() -> dict[str, Any]:
        with torch.inference_mode():
            few, _ = voter.classify(voter.crop(torch.from_numpy(image), torch.tensor(preparation.spread(voter.size))))
        return {"image": image, "lungs": lungs, "logits": few}

    return Work(_without_gradient(stages) | _product(), FACTS | {"operations": operations}, results)


def vote_first(picture: str, **settings: Any) -> Work:
    """Predict a file, with only the weights loaded before."""
    voter = Voter(**settings)
    return Work(_without_gradient({WHOLE: lambda: voter.find(picture)}), FACTS)


def predict_folder(radiographs: str, **settings: Any) -> Work:
    """Predict all files of a folder with votes and a saliency map, one per core; nothing is written."""
    voter = Voter(**settings)
    voter.chunk //= 2
    paths = [str(path) for path in sorted(Path(radiographs).iterdir())]
    pool = ThreadPoolExecutor(cores(), initializer=lambda: torch.set_num_threads(1))

    def find(path: str) -> None:
        torch.inference_mode()(voter.find)(path)

    def run() -> None:
        for _ in pool.map(find, paths):
            pass

    return Work({"folder": run}, FACTS)


def segment_batches(batches: list[int], compiled: bool) -> Work:
    """Run FC-DenseNet103 at 256² in batches, the network only."""
    plain = FCDenseNet103(4).eval().to(memory_format=torch.channels_last)
    network = torch.compile(plain, dynamic=False) if compiled else plain
    pictures = {n: torch.rand(n, 1, 256, 256).contiguous(memory_format=torch.channels_last) for n in batches}
    stages = {f"batch of {n}": partial(network, x) for n, x in pictures.items()}
    with torch.no_grad():
        one = _operations(lambda: plain(torch.zeros(1, 1, 256, 256)))
    operations = {f"batch of {n}": n * one for n in batches}
    return Work(_without_gradient(stages) | _product(), FACTS | {"operations": operations})


def train_classifier(compiled: bool, batch: int = 16, size: int = 1024, patch: int = 224) -> Work:
    """Run a step of oh2020:classify, which draws and augments crops: flips, rotations, L1, Adam."""
    network = ResNet18(4).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-5, weight_decay=0.1, fused=True)
    images = torch.randint(0, 256, (batch, size, size), dtype=torch.uint8)
    labels = torch.arange(batch) % 4
    mean, deviation = (torch.tensor(of)[:, None, None] for of in (IMAGENET_MEAN, IMAGENET_DEVIATION))

    def draw() -> Tensor:
        """Draw a crop of each radiograph, randomly flipped and rotated by at most 5°; all pixels are lung."""
        padded = F.pad(images, [patch // 2] * 4)
        centres = torch.randint(size, (batch, 2)).tolist()
        x = torch.stack([each[r : r + patch, c : c + patch] for each, (r, c) in zip(padded, centres, strict=True)])
        angle = torch.deg2rad(torch.empty(batch).uniform_(-5, 5))
        mirror = torch.where(torch.rand(batch) < 0.5, -1.0, 1.0)
        cos, sin, none = angle.cos(), angle.sin(), torch.zeros(batch)
        turn = torch.stack([cos * mirror, -sin, none, sin * mirror, cos, none], 1).view(-1, 2, 3)
        grid = F.affine_grid(turn, [batch, 1, patch, patch], align_corners=False)
        x = F.grid_sample(x[:, None].float() / 255, grid, align_corners=False)
        return ((x - mean) / deviation).contiguous(memory_format=torch.channels_last)

    def measure(x: Tensor) -> Tensor:
        penalty = sum(p.abs().sum() for p in network.parameters())
        return F.cross_entropy(network(x)[0], labels) + 1e-5 * penalty

    return _steps(draw, measure, optimiser, compiled)


def train_segmenter(compiled: bool, batch: int = 2, size: int = 256) -> Work:
    """Run a step of oh2020:segment, without augmentation: dropout, background with half the weight, Adam."""
    network = FCDenseNet103(4).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-6, fused=True)
    images = torch.randint(0, 256, (batch, 1, size, size), dtype=torch.uint8)
    masks = torch.randint(0, 4, (batch, size, size))
    weights = torch.tensor([0.5, 1.0, 1.0, 1.0])

    def draw() -> Tensor:
        return (images.float() / 255).contiguous(memory_format=torch.channels_last)

    return _steps(draw, lambda x: F.nll_loss(network(x), masks, weights), optimiser, compiled)


def _steps(
    draw: Callable[[], Tensor], measure: Callable[[Tensor], Tensor], optimiser: torch.optim.Optimizer, compiled: bool
) -> Work:
    loss = torch.compile(measure) if compiled else measure

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss(draw()).backward()
        optimiser.step()

    operations = {"step": _operations(lambda: measure(draw()).backward())}
    return Work({"step": step} | _product(), FACTS | {"operations": operations})


def _operations(run: Callable[[], Any]) -> int:
    """Return the multiplications and additions of convolutions and products by their definition."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def _product() -> dict[str, Callable[[], Any]]:
    a = torch.ones(roofline.SIDE, roofline.SIDE)
    return {roofline.PRODUCT: partial(torch.mm, a, a)}


def _without_gradient(stages: dict[str, Callable[[], Any]]) -> dict[str, Callable[[], Any]]:
    return {name: torch.inference_mode()(run) for name, run in stages.items()}


if __name__ == "__main__":
    torch.set_num_threads(cores())
    serve(
        {
            "votes": vote,
            "first vote": vote_first,
            "segment": segment_batches,
            "folder": predict_folder,
            "train classifier": train_classifier,
            "train segmenter": train_segmenter,
        }
    )
