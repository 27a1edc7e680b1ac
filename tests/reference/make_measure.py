"""Writes measure.json and mlp4.safetensors: gradients, noise and curvature of two networks in float64, by explicit Hessians.

    python make_measure.py [digits.csv.gz]

A multilayer perceptron with 4 hidden units (310 parameters, no batch norm): D from the gradient of every example, H from autograd,
their traces and products. A ResNet of width 2 (init_width2.safetensors) in training mode on one batch that is the whole
training set: Tr H from a Hessian-vector product with every unit vector, the largest eigenvalues by ARPACK.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn
from torch.func import functional_call, hessian
from torch.nn import functional as F

from make_sgd import load_digits
from resnet import ResNet18k

HERE = Path(__file__).resolve().parent
torch.set_default_dtype(torch.float64)
torch.manual_seed(1)
TRAIN, TEST = 40, 24


def mlp(images, labels):
    """Everything of the perceptron, at a point that a few steps of gradient descent reach."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 10))
    x, y = images[:TRAIN], labels[:TRAIN]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    names = [name for name, _ in net.named_parameters()]
    shapes = [p.shape for p in net.parameters()]
    theta = torch.cat([p.detach().reshape(-1) for p in net.parameters()])

    def loss(theta, x, y):
        parts, start = {}, 0
        for name, shape in zip(names, shapes):
            parts[name] = theta[start : start + shape.numel()].view(shape)
            start += shape.numel()
        return F.cross_entropy(functional_call(net, parts, (x,)), y)

    gradient = torch.func.grad(loss)
    each = torch.stack([gradient(theta, x[i : i + 1], y[i : i + 1]) for i in range(TRAIN)])
    mean = each.mean(0)
    d = (each - mean).T @ (each - mean) / TRAIN
    h = hessian(loss)(theta, x, y)
    tx, ty = images[TRAIN : TRAIN + TEST], labels[TRAIN : TRAIN + TEST]
    test_mean, test_h = gradient(theta, tx, ty), hessian(loss)(theta, tx, ty)
    values = torch.linalg.eigvalsh(h).flip(0)
    saved = {"layers.0.weight": net[1].weight, "layers.0.bias": net[1].bias, "layers.1.weight": net[3].weight, "layers.1.bias": net[3].bias}
    save_file({name: tensor.detach().contiguous() for name, tensor in saved.items()}, HERE / "mlp4.safetensors")
    return {
        "grad_norm2": (mean @ mean).item(),
        "theta_norm2": (theta @ theta).item(),
        "theta_grad": (theta @ mean).item(),
        "noise_trace": d.trace().item(),
        "test_grad_dot": (test_mean @ mean).item(),
        "theta_test_grad": (theta @ test_mean).item(),
        "hessian_trace": h.trace().item(),
        "hessian_noise": (h @ d).trace().item(),
        "test_hessian_noise": (test_h @ d).trace().item(),
        "test_hessian_trace": test_h.trace().item(),
        "hessian_1": values[0].item(),
        "hessian_2": values[1].item(),
        "hessian_3": values[2].item(),
    }


def resnet(images, labels):
    """The ResNet in training mode, one batch of all training examples."""
    net = ResNet18k(2, 1, 10)
    net.load_state_dict(load_file(HERE / "init_width2.safetensors"), strict=False)
    net.double().train()
    parameters = list(net.parameters())
    loss = F.cross_entropy(net(images[:TRAIN]), labels[:TRAIN])
    gradients = torch.autograd.grad(loss, parameters, create_graph=True)
    gradient = torch.cat([g.reshape(-1) for g in gradients])
    theta = torch.cat([p.detach().reshape(-1) for p in parameters])

    def times(v):
        product = torch.autograd.grad(gradient @ torch.as_tensor(v), parameters, retain_graph=True)
        return torch.cat([part.reshape(-1) for part in product]).detach()

    p = theta.numel()
    values = eigsh(LinearOperator((p, p), matvec=lambda v: times(v).numpy(), dtype=np.float64), k=3, which="LA", return_eigenvectors=False)
    trace, unit = 0.0, torch.zeros(p)
    for i in range(p):
        unit[i] = 1.0
        trace += times(unit)[i].item()
        unit[i] = 0.0
    flat = gradient.detach()
    return {
        "parameters": p,
        "grad_norm2": (flat @ flat).item(),
        "theta_grad": (theta @ flat).item(),
        "hessian_trace": trace,
        "hessian_1": float(values.max()),
        "hessian_2": float(np.sort(values)[1]),
        "hessian_3": float(values.min()),
    }


def main():
    images, labels = load_digits(sys.argv[1] if len(sys.argv) > 1 else HERE.parents[1] / "src/data/assets/digits.csv.gz")
    found = {"train": TRAIN, "test": TEST, "mlp": mlp(images, labels), "resnet": resnet(images, labels)}
    (HERE / "measure.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
