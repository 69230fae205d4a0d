"""The two networks of the paper in idiomatic PyTorch, with the names of the published weights; and augmentation."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class BasicBlock(nn.Module):
    def __init__(self, channels: int, features: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, features, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or channels != features:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, features, 1, stride, bias=False), nn.BatchNorm2d(features)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    def __init__(self, classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        widths = (64, 64, 128, 256, 512)
        for i, (channels, features) in enumerate(zip(widths, widths[1:], strict=False), 1):
            first = BasicBlock(channels, features, 1 if i == 1 else 2)
            self.add_module(f"layer{i}", nn.Sequential(first, BasicBlock(features, features, 1)))
        self.fc = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [N, K] and the last feature maps [N, 512, H / 32, W / 32] of images [N, 3, H, W]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        features = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(features.mean((2, 3))), features


class DenseLayer(nn.Sequential):
    def __init__(self, channels: int, features: int, size: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(channels, features, size, padding=size // 2)
        self.drop = nn.Dropout2d(0.2)


class DenseBlock(nn.Module):
    def __init__(self, channels: int, growth: int, layers: int):
        super().__init__()
        self.layers = nn.ModuleList(DenseLayer(channels + i * growth, growth, 3) for i in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """Append the features of each layer: [N, c, h, w] -> [N, c + layers * growth, h, w]."""
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class TransitionUp(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.convTrans = nn.ConvTranspose2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        height, width = skip.shape[2:]
        return torch.cat([self.convTrans(x)[:, :, :height, :width], skip], 1)


class FCDenseNet103(nn.Module):
    def __init__(self, classes: int, channels: int = 1, growth: int = 16):
        super().__init__()
        blocks = (4, 5, 7, 10, 12)
        bottleneck = 15
        width = 48  # number of features
        skips = []
        self.growth = growth
        self.firstconv = nn.Conv2d(channels, width, 3, padding=1)
        self.denseBlocksDown = nn.ModuleList()
        self.transDownBlocks = nn.ModuleList()
        for layers in blocks:
            self.denseBlocksDown.append(DenseBlock(width, growth, layers))
            width += growth * layers
            skips.append(width)
            self.transDownBlocks.append(DenseLayer(width, width, 1))
        self.bottleneck = nn.ModuleDict({"bottleneck": DenseBlock(width, growth, bottleneck)})
        self.transUpBlocks = nn.ModuleList()
        self.denseBlocksUp = nn.ModuleList()
        new = growth * bottleneck
        for layers, skip in zip(blocks[::-1], skips[::-1], strict=True):
            self.transUpBlocks.append(TransitionUp(new))
            width = new + skip
            self.denseBlocksUp.append(DenseBlock(width, growth, layers))
            new = growth * layers
        self.finalConv = nn.Conv2d(width + new, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return log-probabilities [N, classes, H, W] of images [N, C, H, W]."""
        x = self.firstconv(x)
        skips = []
        for block, transition in zip(self.denseBlocksDown, self.transDownBlocks, strict=True):
            x = block(x)
            skips.append(x)
            x = nn.functional.max_pool2d(transition(x), 2)
        new = self._new_features(self.bottleneck["bottleneck"], x)
        for block, transition in zip(self.denseBlocksUp[:-1], self.transUpBlocks[:-1], strict=True):
            new = self._new_features(block, transition(new, skips.pop()))
        x = self.denseBlocksUp[-1](self.transUpBlocks[-1](new, skips.pop()))
        return self.finalConv(x).log_softmax(1)

    def _new_features(self, block: DenseBlock, x: Tensor) -> Tensor:
        """Return the features that the layers of a block add, without its input."""
        return block(x)[:, -self.growth * len(block.layers) :]


def fold_norms(network: ResNet18) -> ResNet18:
    """Switch a network to evaluation mode and fold every batch norm into the convolution before it; return it."""
    network.eval()
    network.conv1, network.bn1 = fuse_conv_bn_eval(network.conv1, network.bn1), nn.Identity()
    for block in (part for part in network.modules() if isinstance(part, BasicBlock)):
        block.conv1, block.bn1 = fuse_conv_bn_eval(block.conv1, block.bn1), nn.Identity()
        block.conv2, block.bn2 = fuse_conv_bn_eval(block.conv2, block.bn2), nn.Identity()
        if block.downsample is not None:
            block.downsample = nn.Sequential(fuse_conv_bn_eval(*block.downsample))
    return network


def augment_patches(x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Flip and rotate patches uint8 [n, s, s] at random, by at most 5°, and normalize them: float [n, 3, s, s]."""
    angle = torch.deg2rad(torch.empty(len(x), device=x.device).uniform_(-5, 5))
    mirror = torch.where(torch.rand(len(x), device=x.device) < 0.5, -1.0, 1.0)
    cos = angle.cos()
    sin = angle.sin()
    zero = torch.zeros_like(angle)
    transform = torch.stack([cos * mirror, -sin, zero, sin * mirror, cos, zero], 1).view(-1, 2, 3)
    x = x[:, None].float() / 255
    grid = F.affine_grid(transform, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, align_corners=False)
    return ((x - mean) / deviation).contiguous(memory_format=torch.channels_last)
