"""Votes and saliency map of a radiograph in PyTorch: batched, with the map from the forward pass only."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.competitors import preparation
from benchmarks.competitors.pytorch_networks import FCDenseNet103, ResNet18, fold_norms

LUNGS = slice(2, 4)  # of background, heart, left lung, right lung


def load(network: nn.Module, folder: str, name: str) -> nn.Module:
    """Load FOLDER/NAME.safetensors into a network, in evaluation mode and channels last."""
    network.load_state_dict(load_file(Path(folder) / f"{name}.safetensors"))
    return network.eval().to(memory_format=torch.channels_last)


class Voter:
    """Both networks and each stage; call it in inference mode."""

    def __init__(self, folder: str, votes: int, chunk: int, compiled: bool, size: int, patch: int, narrow: int):
        """Load the weights.

        Args:
            folder: of the weights.
            votes: N.
            chunk: crops classified at once.
            compiled: whether the networks use torch.compile.
            size: side of the radiograph.
            patch: side of a crop.
            narrow: side of the segmenter's input.
        """
        self.votes, self.chunk, self.size, self.patch, self.narrow = votes, chunk, size, patch, narrow
        self.segmenter = load(FCDenseNet103(4), folder, "segmenter")
        self.classifier = fold_norms(load(ResNet18(4), folder, "classifier"))
        self._kernel = self.classifier.fc.weight
        form = torch.compile if compiled else lambda network: network
        self._segment, self._classify = form(self.segmenter), form(self.classifier)
        self._generator = torch.Generator().manual_seed(0)

    def find(self, picture: str) -> tuple[Tensor, Tensor]:
        """Return the class and the saliency map [size, size] of a file."""
        image = preparation.standardise(preparation.read(picture), self.size)
        lungs = self.segment(image)
        centres = self.draw(lungs)
        logits, features = self.classify(self.crop(torch.from_numpy(image) * lungs, centres))
        finding, probabilities = self.count(logits)
        return finding, self.show(features, probabilities, centres, finding)

    def segment(self, image: np.ndarray) -> Tensor:
        """Return the lungs bool [size, size] of an image uint8 [size, size]."""
        x = torch.from_numpy(image)[None, None].float()
        x = F.interpolate(x, (self.narrow, self.narrow), mode="bilinear", antialias=True).round() / 255
        lungs = self._segment(x.contiguous(memory_format=torch.channels_last)).exp()[0, LUNGS].sum(0)
        rough = lungs > 0.5
        kept = torch.from_numpy(preparation.clean(rough.numpy()))
        certain = torch.where(kept, torch.where(rough, lungs, 1.0), torch.where(rough, 0.0, lungs))
        return F.interpolate(certain[None, None], (self.size, self.size), mode="bilinear")[0, 0] > 0.5

    def draw(self, lungs: Tensor) -> Tensor:
        """Draw centers [N, 2] in the lungs."""
        there = lungs.ravel().nonzero()[:, 0]
        at = there[torch.randint(len(there), (self.votes,), generator=self._generator)]
        return torch.stack([at // self.size, at % self.size], 1)

    def crop(self, masked: Tensor, centres: Tensor) -> Tensor:
        """Cut squares out of the zero-padded radiograph: uint8 [N, patch, patch]."""
        side, padded = self.patch, F.pad(masked, [self.patch // 2] * 4)
        return torch.stack([padded[row : row + side, column : column + side] for row, column in centres.tolist()])

    def classify(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [N, K] and last feature maps [N, C, h, w]."""
        shown = (crops[:, None].float() / 255).expand(-1, 3, -1, -1)
        parts = [self._classify(x.contiguous(memory_format=torch.channels_last)) for x in shown.split(self.chunk)]
        logits, features = zip(*parts, strict=True)
        return torch.cat(logits), torch.cat(features)

    def count(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the class with most votes, ties broken by mean probability, and the probabilities [N, K]."""
        probabilities = logits.softmax(1)
        ballots = logits.argmax(1).bincount(minlength=logits.shape[1])
        return torch.where(ballots == ballots.max(), probabilities.mean(0), -1.0).argmax(), probabilities

    def show(self, features: Tensor, probabilities: Tensor, centres: Tensor, finding: Tensor) -> Tensor:
        """Return the probability-weighted saliency map [size, size]."""
        side, near = self.patch, self.patch // 2
        cams = torch.einsum("nchw,c->nhw", features, self._kernel[finding]).relu()
        cams = cams / cams.amax((1, 2), keepdim=True).clamp_min(1e-12) * probabilities[:, finding, None, None]
        full = F.interpolate(cams[:, None], (side, side), mode="bilinear")[:, 0]
        total, times = torch.zeros(2, self.size + side, self.size + side)
        for (row, column), cam in zip(centres.tolist(), full, strict=True):
            total[row : row + side, column : column + side] += cam
            times[row : row + side, column : column + side] += 1
        inner = slice(near, near + self.size)
        return total[inner, inner] / times[inner, inner].clamp_min(1)
