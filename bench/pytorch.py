"""The baselines of kelvin's benchmark: ResNets trained one after another in PyTorch.

Stays alive: reads one JSON request per line on stdin and answers one JSON line each, so that a caller can
alternate it with kelvin without a restart, and drive several such processes at once.

    {"data": "data.npz", "init": "init.npz", "width": 4, "batch": 8, "runs": 2, "steps": 187,
     "lr": 0.05, "precision": "float32", "threads": null, "device": "cpu",
     "channels_last": false, "fused": false, "compile": false, "what": "train"}

`data` holds images (N x channels x height x width, normalised) and labels, on the device as one tensor
each; `init` the weights that every run starts from. `what` is "train" (a permutation per epoch, no look at the
loss inside the loop), "losses" (batches in order; the loss of every step comes back) or "evaluate" (loss and
accuracy of all images, `steps` times).

Eager PyTorch is the request as it stands above. The strongest is whichever of channels-last, fused SGD,
`torch.compile` and one process per core is fastest for the case; with `compile`, one network is compiled
once and given new weights for each run, which is kinder than compiling each.
"""

import contextlib
import functools
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/reference"))
from resnet import ResNet18k  # noqa: E402

WEIGHT_DECAY = 5e-4
WARMUP_STEPS = 3
WARM = set()
DEFAULT_THREADS = torch.get_num_threads()
KINDS = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.float32, "float64": torch.float64}


@functools.cache
def load(path, kind, device, channels_last):
    with np.load(path) as file:
        images = torch.from_numpy(file["images"]).to(device, kind)
        labels = torch.from_numpy(file["labels"]).to(device)
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    return images, labels


@functools.cache
def make(key):
    """A network and the function of a batch that gives its loss: made, and compiled, once per kind of case."""
    request = json.loads(key)
    kind, device = KINDS[request["precision"]], request["device"]
    with np.load(request["init"]) as file:
        state = {name: torch.from_numpy(file[name]) for name in file.files}
    channels = state["conv1.weight"].shape[1]
    classes = state["linear.weight"].shape[0]
    net = ResNet18k(request["width"], channels, classes).to(device, kind)
    if request["channels_last"]:
        net = net.to(memory_format=torch.channels_last)

    def loss(x, y):
        low = torch.autocast(device.split(":")[0], torch.bfloat16) if request["precision"] == "bf16" else None
        with low or contextlib.nullcontext():
            logits = net(x)
        return F.cross_entropy(logits.to(kind), y)

    if request["compile"]:
        loss = torch.compile(loss)
    return net, loss, state


def start(request):
    """A run's network with its first weights, and its optimizer."""
    keys = ("init", "width", "batch", "precision", "device", "channels_last", "compile")
    net, loss, state = make(json.dumps({key: request[key] for key in keys}))
    net.load_state_dict(state)
    fused = {"fused": True} if request["fused"] else {}
    optimizer = torch.optim.SGD(net.parameters(), lr=request["lr"], weight_decay=WEIGHT_DECAY, **fused)
    return net, loss, optimizer


def train(request, steps, shuffled, losses):
    net, loss_of, optimizer = start(request)
    kind = KINDS[request["precision"]]
    images, labels = load(request["data"], kind, request["device"], request["channels_last"])
    batch = request["batch"]
    per_epoch = len(images) // batch  # the incomplete last batch is dropped
    net.train()
    for step in range(steps):
        if step % per_epoch == 0:
            order = torch.randperm(len(images)) if shuffled else torch.arange(len(images))
            order = order.to(images.device)
        start_ = step % per_epoch * batch
        index = order[start_ : start_ + batch]
        x, y = images.index_select(0, index), labels.index_select(0, index)
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        if losses is not None:
            losses.append(loss.item())


@torch.no_grad()
def evaluate(request, steps, batch=256):
    net, _, _ = start(request)
    kind = KINDS[request["precision"]]
    images, labels = load(request["data"], kind, request["device"], request["channels_last"])
    net.eval()
    for _ in range(steps):
        loss, right = 0.0, 0
        for x, y in zip(images.split(batch), labels.split(batch)):
            logits = net(x)
            loss += F.cross_entropy(logits, y, reduction="sum").item()
            right += (logits.argmax(1) == y).sum().item()
    return len(images) * steps


def synchronize(request):
    if request["device"] != "cpu":
        torch.cuda.synchronize()


def answer(request):
    torch.set_num_threads(request["threads"] or DEFAULT_THREADS)
    torch.backends.cuda.matmul.allow_tf32 = request["precision"] == "tf32"
    torch.backends.cudnn.allow_tf32 = request["precision"] == "tf32"
    steps, batch = request["steps"], request["batch"]
    if request["what"] == "losses":
        losses = []
        train(request, steps, False, losses)
        return {"losses": losses}

    # Thread pools, kernels for these shapes and compiling: reported, not a cost of training, and
    # needed once.
    begin = time.perf_counter()
    kind_of_work = json.dumps({**request, "steps": 0, "runs": 0}, sort_keys=True)
    if kind_of_work not in WARM:
        WARM.add(kind_of_work)
        if request["what"] == "evaluate":
            evaluate(request, 1)
        else:
            train(request, min(WARMUP_STEPS, steps), True, None)
        synchronize(request)
    warmup = time.perf_counter() - begin

    begin = time.perf_counter()
    images = 0
    for _ in range(request["runs"]):
        if request["what"] == "evaluate":
            images += evaluate(request, steps)
        else:
            train(request, steps, True, None)
            images += steps * batch
    synchronize(request)
    return {"images": images, "seconds": time.perf_counter() - begin, "warmup_seconds": warmup}


def main():
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:  # noqa: BLE001: the caller is told, and the next request may be right
            reply = {"error": f"{type(error).__name__}: {error}"[:400]}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
