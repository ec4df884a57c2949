"""JAX: the model by hand, compiled with jit."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from rows import weights
from way import Way

NAME = f"jax {jax.__version__}"


def normalize(layers, x):
    """z and log|det J| of rows, or of one row."""
    half = x.shape[-1] // 2
    log_det = 0.0
    for (w1, b1), (w2, b2), (w3, b3) in layers:
        a, b = x[..., :half], x[..., half:]
        h = jnp.tanh(jnp.tanh(a @ w1 + b1) @ w2 + b2) @ w3 + b3
        s, t = jnp.tanh(h[..., : b.shape[-1]]), h[..., b.shape[-1] :]
        x = jnp.concatenate([a, b * jnp.exp(s) + t], -1)[..., ::-1]
        log_det = log_det + s.sum(-1)
    return x, log_det


def generate(layers, z):
    """x of latents."""
    half = z.shape[-1] // 2
    for (w1, b1), (w2, b2), (w3, b3) in reversed(layers):
        z = z[..., ::-1]
        a, b = z[..., :half], z[..., half:]
        h = jnp.tanh(jnp.tanh(a @ w1 + b1) @ w2 + b2) @ w3 + b3
        s, t = jnp.tanh(h[..., : b.shape[-1]]), h[..., b.shape[-1] :]
        z = jnp.concatenate([a, (b - t) * jnp.exp(-s)], -1)
    return z


def log_density(layers, x):
    """log p(x), nats."""
    z, log_det = normalize(layers, x)
    return log_det - 0.5 * (z * z).sum(-1) - 0.5 * x.shape[-1] * np.log(2 * np.pi)


def adam(p, m, v, t, g, rate=1e-3):
    """One update of one array (or one leaf)."""
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    return p - rate * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v


def parameters(dim, dtype):
    """The weights, as [in, out] so that products need no transpose."""
    return [[(jnp.asarray(w.T, dtype), jnp.asarray(b, dtype)) for w, b in layer] for layer in weights(dim)]


def flat_weights(layers):
    """All weights in eigenflow's order."""
    return np.concatenate([np.concatenate([np.asarray(w).T.ravel(), np.asarray(b)]) for l in layers for w, b in l])


def spectrum(values, vectors):
    """Values, largest first, and the matrices V diag(values) Vᵀ."""
    values, vectors = np.asarray(values, float), np.asarray(vectors, float)
    rebuilt = (vectors * values[:, None, :]) @ vectors.transpose(0, 2, 1)
    return np.concatenate([-np.sort(-values, axis=1).ravel(), rebuilt.ravel()])


def ways(row, given):
    """JAX's ways to compute a row."""
    double = row.precision == "f64"
    jax.config.update("jax_enable_x64", double)
    dtype = jnp.float64 if double else jnp.float32
    x = jnp.asarray(given, dtype)
    ready = jax.block_until_ready
    make = partial(Way, NAME)

    def jacobian(mode):
        return lambda layers, x: jax.vmap(mode(lambda row: normalize(layers, row)[0]))(x)

    modes = (("jacfwd", jax.jacfwd), ("jacrev", jax.jacrev))
    if row.kind in ("eigh", "svd", "slogdet"):
        return dense(row, x, make)
    if row.kind == "product":
        product = jax.jit(jnp.matmul)
        return [make("jit(matmul)", lambda: ready(product(x[0], x[1])), lambda: np.asarray(product(x[0], x[1])).ravel())]
    layers = parameters(row.dim, dtype)
    out = []
    if row.kind == "jacobian/realnvp":
        for name, mode in modes:
            f = jax.jit(jacobian(mode))
            out.append(make(f"jit(vmap({name}))", lambda f=f: ready(f(layers, x)), lambda f=f: np.ravel(f(layers, x))))
    elif row.kind == "local_covariance":
        for name, mode in modes:
            j = jacobian(mode)
            svd = jax.jit(lambda layers, x, j=j: jnp.linalg.svd(j(layers, x), full_matrices=False))

            @jax.jit
            def eigh(layers, x, j=j):
                a = j(layers, x)
                return jnp.linalg.eigh(jnp.swapaxes(a, 1, 2) @ a)

            def by_svd(f=svd):
                _, s, vt = f(layers, x)
                return spectrum(np.asarray(s, float) ** 2, np.swapaxes(np.asarray(vt), 1, 2))

            out.append(make(f"jit(vmap({name}), svd)", lambda f=svd: ready(f(layers, x)), by_svd))
            out.append(
                make(f"jit(vmap({name}), eigh)", lambda f=eigh: ready(f(layers, x)), lambda f=eigh: spectrum(*f(layers, x)))
            )
    elif row.kind == "log_density/realnvp":
        f = jax.jit(log_density)
        out.append(make("jit", lambda: ready(f(layers, x)), lambda: np.asarray(f(layers, x))))
    elif row.kind == "sample/realnvp":
        from_latents = jax.jit(generate)
        draw = jax.jit(lambda layers, key: generate(layers, jax.random.normal(key, x.shape, dtype)))
        key = jax.random.key(0)
        out.append(make("jit", lambda: ready(draw(layers, key)), lambda: np.ravel(from_latents(layers, x))))
    elif row.kind == "train_step/realnvp":
        out.append(train_step(make("jit, donated, a pytree", None, None), layers, x, dtype, flat=False))
        out.append(train_step(make("jit, donated, one vector", None, None), layers, x, dtype, flat=True))
    return out


def dense(row, x, make):
    """Batched decompositions."""
    f = jax.jit(partial(getattr(jnp.linalg, row.kind), **({"full_matrices": False} if row.kind == "svd" else {})))
    call = lambda: jax.block_until_ready(f(x))

    def answer():
        if row.kind == "eigh":
            return spectrum(*f(x))
        if row.kind == "svd":
            u, s, vt = (np.asarray(a, float) for a in f(x))
            return np.concatenate([s.ravel(), ((u * s[:, None, :]) @ vt).ravel()])
        return np.concatenate([np.asarray(a, float) for a in f(x)])

    return [make("jit", call, answer)]


def train_step(way, layers, x, dtype, flat):
    """Log-density, gradient and Adam in one program whose arguments are donated."""
    vector, unravel = ravel_pytree(layers) if flat else (layers, lambda p: p)

    @partial(jax.jit, donate_argnums=(0, 1, 2, 3))
    def step(p, m, v, t, x):
        loss, g = jax.value_and_grad(lambda p: -log_density(unravel(p), x).mean())(p)
        t = t + 1
        leaves = lambda tree: jax.tree.leaves(tree)
        updated = [adam(*one, t, g) for *one, g in zip(leaves(p), leaves(m), leaves(v), leaves(g))]
        p, m, v = (jax.tree.unflatten(jax.tree.structure(p), list(part)) for part in zip(*updated))
        return p, m, v, t, loss

    def fresh():
        copy = lambda tree: jax.tree.map(jnp.copy, tree)
        zeros = lambda tree: jax.tree.map(jnp.zeros_like, tree)
        return [copy(vector), zeros(vector), zeros(vector), jnp.zeros((), dtype)]

    state = fresh()

    def call():
        state[:4] = step(*state, x)[:4]

    def answer():
        own, losses = fresh(), []
        for _ in range(10):
            *own, loss = step(*own, x)
            losses.append(float(loss))
        return np.concatenate([losses, flat_weights(unravel(own[0]))])

    # Steps follow each other without waiting, as in a training loop; a round ends when the last one has.
    return Way(way.library, way.name, call, answer, finish=lambda: jax.block_until_ready(state))
