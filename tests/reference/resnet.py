"""Pre-activation ResNet18 of width k (the ResNet18k of the double-descent studies).

This is the independent reference that kelvin's network is compared with, so it
is plain PyTorch and its state-dict names are the ones kelvin reads and writes.
"""

import torch
from torch import nn
from torch.nn import functional as F


class PreActBlock(nn.Module):
    def __init__(self, in_planes, planes, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_planes)
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.shortcut = None
        if stride != 1 or in_planes != planes:
            # A Sequential of one, for the name `shortcut.0.weight`.
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_planes, planes, 1, stride, bias=False)
            )

    def forward(self, x):
        pre = F.relu(self.bn1(x))
        # A projection sees the activated input; the identity sees the raw one.
        skip = x if self.shortcut is None else self.shortcut(pre)
        out = self.conv1(pre)
        out = self.conv2(F.relu(self.bn2(out)))
        return out + skip


class ResNet18k(nn.Module):
    def __init__(self, width=64, channels=3, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        planes = width
        for index, stride in enumerate((1, 2, 2, 2)):
            out = width << index
            layer = nn.Sequential(
                PreActBlock(planes, out, stride), PreActBlock(out, out, 1)
            )
            self.add_module(f"layer{index + 1}", layer)
            planes = out
        self.linear = nn.Linear(planes, classes)

    def forward(self, x):
        x = self.conv1(x)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        # No norm or relu after the last block: straight to the average.
        return self.linear(torch.mean(x, dim=(2, 3)))


def parameter_count(net):
    return sum(p.numel() for p in net.parameters())


if __name__ == "__main__":
    for width, count in ((1, 2_947), (32, 2_796_202), (64, 11_171_146)):
        found = parameter_count(ResNet18k(width))
        assert found == count, f"width {width}: {found} parameters, not {count}"
    print("parameter counts ok")
