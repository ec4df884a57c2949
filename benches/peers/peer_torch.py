"""PyTorch: the model by hand, eager, with torch.func for Jacobians and the fused Adam."""

from functools import partial

import numpy as np
import torch

from peer_numpy import rebuilt
from rows import weights
from way import Way

NAME = f"torch {torch.__version__}"


def normalize(p, x):
    """z and log|det J| of rows, or of one row; `p` is weight, bias, weight, ... of all couplings."""
    half = x.shape[-1] // 2
    log_det = 0.0
    for k in range(0, len(p), 6):
        w1, b1, w2, b2, w3, b3 = p[k : k + 6]
        a, b = x[..., :half], x[..., half:]
        linear = torch.nn.functional.linear
        h = linear(torch.tanh(linear(torch.tanh(linear(a, w1, b1)), w2, b2)), w3, b3)
        s, t = torch.tanh(h[..., : b.shape[-1]]), h[..., b.shape[-1] :]
        x = torch.cat([a, b * torch.exp(s) + t], -1).flip(-1)
        log_det = log_det + s.sum(-1)
    return x, log_det


def generate(p, z):
    """x of latents."""
    half = z.shape[-1] // 2
    for k in reversed(range(0, len(p), 6)):
        w1, b1, w2, b2, w3, b3 = p[k : k + 6]
        z = z.flip(-1)
        a, b = z[..., :half], z[..., half:]
        linear = torch.nn.functional.linear
        h = linear(torch.tanh(linear(torch.tanh(linear(a, w1, b1)), w2, b2)), w3, b3)
        s, t = torch.tanh(h[..., : b.shape[-1]]), h[..., b.shape[-1] :]
        z = torch.cat([a, (b - t) * torch.exp(-s)], -1)
    return z


def log_density(p, x):
    """log p(x), nats."""
    z, log_det = normalize(p, x)
    return log_det - 0.5 * (z * z).sum(-1) - 0.5 * x.shape[-1] * np.log(2 * np.pi)


def parameters(dim, dtype):
    """The weights in eigenflow's order."""
    return [torch.tensor(a, dtype=dtype) for layer in weights(dim) for pair in layer for a in pair]


def quiet(f):
    """The call without a tape; what torch.func differentiates is not affected."""

    def call():
        with torch.no_grad():
            return f()

    return call


def ways(row, given):
    """torch's ways to compute a row."""
    dtype = torch.float64 if row.precision == "f64" else torch.float32
    x = torch.tensor(given, dtype=dtype)
    make = partial(Way, NAME)
    if row.kind == "product":
        out = torch.empty_like(x[0])
        return [make("matmul", lambda: torch.matmul(x[0], x[1], out=out), lambda: (x[0] @ x[1]).numpy().ravel())]
    if row.kind == "slogdet":
        if row.dim > 500:
            return []  # torch 2.15's batched slogdet of matrices this large does not come back.
        f = lambda: torch.linalg.slogdet(x)
        return [make("slogdet", f, lambda: np.concatenate([a.numpy() for a in f()]))]
    if row.kind == "eigh":
        f = lambda: torch.linalg.eigh(x)
        return [make("eigh", f, lambda: rebuilt(f()[1], f()[0], f()[1]))]
    if row.kind == "svd":
        f = lambda: torch.linalg.svd(x, full_matrices=False)

        def answer():
            u, s, vt = f()
            return rebuilt(u, s, np.swapaxes(vt.numpy(), 1, 2))

        return [make("svd", f, answer)]

    p = parameters(row.dim, dtype)
    if row.kind == "log_density/realnvp":
        f = quiet(lambda: log_density(p, x))
        return [make("eager", f, lambda: f().numpy())]
    if row.kind == "sample/realnvp":
        draw = quiet(lambda: generate(p, torch.randn_like(x)))
        return [make("eager", draw, lambda: quiet(lambda: generate(p, x))().numpy().ravel())]
    if row.kind == "train_step/realnvp":
        return [train_step(make, row, x, dtype)]

    out = []
    for name in ("jacfwd", "jacrev"):
        j = torch.func.vmap(getattr(torch.func, name)(lambda r: normalize(p, r)[0]))
        jacobian = quiet(lambda j=j: j(x))
        if row.kind == "jacobian/realnvp":
            out.append(make(f"vmap({name})", jacobian, lambda f=jacobian: f().numpy().ravel()))
            continue

        def svd(f=jacobian):
            return torch.linalg.svd(f(), full_matrices=False)

        def eigh(f=jacobian):
            a = f()
            return torch.linalg.eigh(a.mT @ a)

        def by_svd(f=svd):
            _, s, vt = (a.numpy().astype(float) for a in f())
            v = np.swapaxes(vt, 1, 2)
            return rebuilt(v, s**2, v)

        def by_eigh(f=eigh):
            values, vectors = f()
            return rebuilt(vectors, values, vectors)

        out += [make(f"vmap({name}), svd", svd, by_svd), make(f"vmap({name}), eigh", eigh, by_eigh)]
    return out


def train_step(make, row, x, dtype):
    """Log-density, gradient and the fused Adam, eager."""

    def fresh():
        p = [a.requires_grad_() for a in parameters(row.dim, dtype)]
        optimizer = torch.optim.Adam(p, lr=1e-3, fused=True)

        def step():
            optimizer.zero_grad(set_to_none=True)
            loss = -log_density(p, x).mean()
            loss.backward()
            optimizer.step()
            return loss

        return p, step

    def answer():
        p, step = fresh()
        losses = [float(step()) for _ in range(10)]
        return np.concatenate([losses, *(a.detach().numpy().ravel() for a in p)])

    return make("eager, fused Adam", fresh()[1], answer)
