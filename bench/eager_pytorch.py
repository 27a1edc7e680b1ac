"""The baseline of kelvin's benchmark: ResNets trained one after another in eager PyTorch.

Stays alive: reads one JSON request per line on stdin, answers one JSON line
each, so that a caller can alternate it with kelvin without a restart. With a
request as its argument, it answers that one and leaves.

    {"data": "digits.csv.gz", "width": 4, "batch": 8, "replicas": 12, "epochs": 1,
     "train": 1500, "lr": 0.05, "evaluate": false, "seed": 1, "threads": null}

The ordinary good practice and no more: the data set resident as one tensor, a
permutation per epoch, no look at the loss inside the loop. "threads" null is
PyTorch's default; small networks can be faster with 1, the more so on a busy
machine, so a fair comparison measures both and takes the better.
"""

import functools
import gzip
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/reference"))
from resnet import ResNet18k  # noqa: E402

WARMUP_STEPS = 5
WEIGHT_DECAY = 5e-4
DEFAULTS = {
    "width": 4,
    "batch": 8,
    "replicas": 12,
    "epochs": 1,
    "train": 1500,
    "lr": 0.05,
    "evaluate": False,
    "seed": 1,
    "threads": None,
}
DEFAULT_THREADS = torch.get_num_threads()


@functools.cache
def load(path):
    with gzip.open(path, "rt") as f:
        rows = np.loadtxt(f, delimiter=",", dtype=np.float32)
    pixels = rows[:, :-1] / 16
    pixels = (pixels - pixels.mean()) / pixels.std()
    images = torch.from_numpy(pixels).reshape(-1, 1, 8, 8)
    return images, torch.from_numpy(rows[:, -1].astype(np.int64))


def make(request, seed):
    torch.manual_seed(seed)
    net = ResNet18k(request["width"], channels=1, classes=10)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=request["lr"], weight_decay=WEIGHT_DECAY
    )
    return net, optimizer


def train_epoch(net, optimizer, images, labels, batch, steps):
    net.train()
    order = torch.randperm(len(images))
    for step in range(steps):
        index = order[step * batch : (step + 1) * batch]
        x, y = images.index_select(0, index), labels.index_select(0, index)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(net(x), y).backward()
        optimizer.step()


@torch.no_grad()
def evaluate(net, images, labels, batch=256):
    net.eval()
    loss, right = 0.0, 0
    for x, y in zip(images.split(batch), labels.split(batch)):
        logits = net(x)
        loss += F.cross_entropy(logits, y, reduction="sum").item()
        right += (logits.argmax(1) == y).sum().item()
    return loss / len(images), right / len(images)


def answer(request):
    unknown = request.keys() - DEFAULTS.keys() - {"data"}
    if unknown:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    request = {**DEFAULTS, **request}
    torch.set_num_threads(request["threads"] or DEFAULT_THREADS)
    images, labels = load(request["data"])
    count, batch, seed = request["train"], request["batch"], request["seed"]
    if not batch <= count <= len(images):
        raise ValueError(f"train must lie between batch and {len(images)}")
    train = images[:count], labels[:count]
    test = images[count:], labels[count:]
    steps = count // batch  # the incomplete last batch is dropped

    # Thread pools and the kernels for these shapes: not a cost of training.
    start = time.perf_counter()
    net, optimizer = make(request, seed)
    train_epoch(net, optimizer, *train, batch, min(WARMUP_STEPS, steps))
    warmup = time.perf_counter() - start

    start = time.perf_counter()
    measured = []
    for replica in range(request["replicas"]):
        net, optimizer = make(request, seed + replica)
        for _ in range(request["epochs"]):
            train_epoch(net, optimizer, *train, batch, steps)
            if request["evaluate"]:
                splits = [train, test] if len(test[0]) else [train]
                measured.append([evaluate(net, *split) for split in splits])
    seconds = time.perf_counter() - start

    done = request["replicas"] * request["epochs"] * steps * batch
    out = {
        "images": done,
        "seconds": seconds,
        "images_per_second": done / seconds,
        "warmup_seconds": warmup,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__.split("+")[0],
    }
    if measured:
        # Means over the replicas' last epochs, to see that something was learnt.
        last = np.array(measured[request["epochs"] - 1 :: request["epochs"]]).mean(0)
        for name, (loss, accuracy) in zip(("train", "test"), last.tolist()):
            out[f"{name}_loss"], out[f"{name}_accuracy"] = loss, accuracy
    return out


def main():
    lines = sys.argv[1:] or sys.stdin
    for line in lines:
        if not line.strip():
            continue
        try:
            reply = answer(json.loads(line))
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            # Keep the process: the next request may be right.
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)
        if sys.argv[1:] and "error" in reply:
            sys.exit(1)


if __name__ == "__main__":
    main()
