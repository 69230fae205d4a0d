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


class Predictor:
    """Both networks, and each stage of a prediction; call it in inference mode."""

    def __init__(
        self,
        folder: str,
        votes: int,
        batch_size: int,
        compiled: bool,
        image_size: int,
        patch_size: int,
        segmenter_size: int,
    ):
        """Load the weights.

        Args:
            folder: of the weights.
            votes: number of patches.
            batch_size: patches classified at once.
            compiled: whether the networks use torch.compile.
            image_size: side of the radiograph, in pixels.
            patch_size: side of a patch, in pixels.
            segmenter_size: side of the segmenter's input, in pixels.
        """
        self.votes = votes
        self.batch_size = batch_size
        self.image_size = image_size
        self.patch_size = patch_size
        self.segmenter_size = segmenter_size
        self.segmenter = load(FCDenseNet103(4), folder, "segmenter")
        self.classifier = fold_norms(load(ResNet18(4), folder, "classifier"))
        self._head = self.classifier.fc.weight
        self._segment = torch.compile(self.segmenter) if compiled else self.segmenter
        self._classify = torch.compile(self.classifier) if compiled else self.classifier
        self._generator = torch.Generator().manual_seed(0)

    def predict(self, path: str) -> tuple[Tensor, Tensor]:
        """Return the class and the saliency map [image_size, image_size] of a file."""
        image = preparation.standardize(preparation.read(path), self.image_size)
        lungs = self.segment(image)
        centers = self.sample_centers(lungs)
        logits, features = self.classify(self.crop(torch.from_numpy(image) * lungs, centers))
        label, probabilities = self.count_votes(logits)
        return label, self.saliency_map(features, probabilities, centers, label)

    def segment(self, image: np.ndarray) -> Tensor:
        """Return the lungs bool [s, s] of an image uint8 [s, s], s = image_size."""
        x = torch.from_numpy(image)[None, None].float()
        size = (self.segmenter_size, self.segmenter_size)
        x = F.interpolate(x, size, mode="bilinear", antialias=True).round() / 255
        probability = self._segment(x.contiguous(memory_format=torch.channels_last)).exp()[0, LUNGS].sum(0)
        mask = probability > 0.5
        postprocessed = torch.from_numpy(preparation.postprocess_mask(mask.numpy()))
        filled = torch.where(mask, probability, 1.0)
        removed = torch.where(mask, 0.0, probability)
        probability = torch.where(postprocessed, filled, removed)
        size = (self.image_size, self.image_size)
        return F.interpolate(probability[None, None], size, mode="bilinear")[0, 0] > 0.5

    def sample_centers(self, lungs: Tensor) -> Tensor:
        """Draw centers [N, 2] in the lungs."""
        lung_pixels = lungs.ravel().nonzero()[:, 0]
        drawn = torch.randint(len(lung_pixels), (self.votes,), generator=self._generator)
        indices = lung_pixels[drawn]
        return torch.stack([indices // self.image_size, indices % self.image_size], 1)

    def crop(self, masked: Tensor, centers: Tensor) -> Tensor:
        """Crop squares around centers from the zero-padded radiograph: uint8 [N, patch_size, patch_size]."""
        side = self.patch_size
        padded = F.pad(masked, [side // 2] * 4)
        return torch.stack([padded[row : row + side, column : column + side] for row, column in centers.tolist()])

    def classify(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [N, K] and last feature maps [N, C, h, w]."""
        x = (patches[:, None].float() / 255).expand(-1, 3, -1, -1)
        batches = [
            self._classify(batch.contiguous(memory_format=torch.channels_last)) for batch in x.split(self.batch_size)
        ]
        logits, features = zip(*batches, strict=True)
        return torch.cat(logits), torch.cat(features)

    def count_votes(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the class with most votes, ties broken by mean probability, and the probabilities [N, K]."""
        probabilities = logits.softmax(1)
        votes = logits.argmax(1).bincount(minlength=logits.shape[1])
        return torch.where(votes == votes.max(), probabilities.mean(0), -1.0).argmax(), probabilities

    def saliency_map(self, features: Tensor, probabilities: Tensor, centers: Tensor, label: Tensor) -> Tensor:
        """Return the probability-weighted saliency map [image_size, image_size]."""
        side = self.patch_size
        cams = torch.einsum("nchw,c->nhw", features, self._head[label]).relu()
        cams = cams / cams.amax((1, 2), keepdim=True).clamp_min(1e-12) * probabilities[:, label, None, None]
        resized = F.interpolate(cams[:, None], (side, side), mode="bilinear")[:, 0]
        total, counts = torch.zeros(2, self.image_size + side, self.image_size + side)
        for (row, column), cam in zip(centers.tolist(), resized, strict=True):
            total[row : row + side, column : column + side] += cam
            counts[row : row + side, column : column + side] += 1
        inner = slice(side // 2, side // 2 + self.image_size)
        return total[inner, inner] / counts[inner, inner].clamp_min(1)
