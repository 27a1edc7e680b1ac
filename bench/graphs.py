"""How long the kernels of a training step take on a GPU: PyTorch's step, recorded by hand as a CUDA graph and replayed.

    python3 bench/graphs.py

Width 32, 32x32 images, in every precision and layout: one eager step, one replayed, and 16 of them at once on streams of
their own. It is what kelvin's recorded steps can be compared with; nobody writes this.
"""

import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/reference"))
from resnet import ResNet18k  # noqa: E402

DEVICE = "cuda"


class Run:
    def __init__(self, batch, precision, channels_last):
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        self.net = ResNet18k(32, 3, 10).to(DEVICE)
        self.images = torch.randn(batch, 3, 32, 32, device=DEVICE)
        self.labels = torch.randint(0, 10, (batch,), device=DEVICE)
        if precision == "bf16":
            for module in self.net.modules():
                if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
                    module.to(torch.bfloat16)
            self.images = self.images.bfloat16()
        if channels_last:
            self.net = self.net.to(memory_format=torch.channels_last)
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        self.parameters = list(self.net.parameters())

    def step(self):
        loss = F.cross_entropy(self.net(self.images).float(), self.labels)
        gradients = torch.autograd.grad(loss, self.parameters)
        with torch.no_grad():
            torch._foreach_add_(self.parameters, gradients, alpha=-1e-4)

    def record(self):
        self.stream = torch.cuda.Stream()
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(3):
                self.step()
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.step()

    def replay(self):
        with torch.cuda.stream(self.stream):
            self.graph.replay()


def milliseconds(work, times):
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(times):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - begin) / times * 1e3


def main():
    print(torch.__version__, torch.cuda.get_device_name(0), "ms per step", flush=True)
    for precision in ("float32", "tf32", "bf16"):
        for batch in (20, 128, 500, 2000):
            for channels_last in (False, True):
                run = Run(batch, precision, channels_last)
                eager = milliseconds(run.step, 20)
                run.record()
                recorded = milliseconds(run.replay, 30)
                layout = "channels-last" if channels_last else "NCHW"
                print(f"{precision} batch {batch} {layout}: eager {eager:.2f}, recorded {recorded:.3f}", flush=True)
        for batch in (20, 128):
            runs = [Run(batch, precision, precision != "float32") for _ in range(16)]
            for run in runs:
                run.record()
            together = milliseconds(lambda: [run.replay() for run in runs], 20)
            print(f"{precision} batch {batch}, 16 at once: {together / 16:.3f}", flush=True)
            del runs, run
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
