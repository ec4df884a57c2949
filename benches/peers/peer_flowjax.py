"""flowjax: the model of its own bijections, with the same weights."""

from functools import partial
from importlib.metadata import version

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flowjax.bijections import AbstractBijection, Chain, Coupling, Flip, Invert
from flowjax.distributions import StandardNormal, Transformed

from rows import HIDDEN, weights
from way import Way

NAME = f"flowjax {version('flowjax')}"


class TanhAffine(AbstractBijection):
    """y = x exp(tanh s) + t."""

    s: jax.Array
    t: jax.Array
    shape = ()
    cond_shape = None

    def __init__(self, dtype):
        self.s = self.t = jnp.zeros((), dtype)

    def transform_and_log_det(self, x, condition=None):
        log_scale = jnp.tanh(self.s)
        return x * jnp.exp(log_scale) + self.t, log_scale

    def inverse_and_log_det(self, y, condition=None):
        log_scale = jnp.tanh(self.s)
        return (y - self.t) * jnp.exp(-log_scale), -log_scale


def normalizer(dim, dtype):
    """The map from data to latents."""
    moved = dim - dim // 2
    # flowjax reads (s, t) column by column; the weights give all s first.
    order = np.stack([np.arange(moved), moved + np.arange(moved)], 1).ravel()
    out = []
    for layer in weights(dim):
        coupling = Coupling(
            jax.random.key(0),
            transformer=TanhAffine(dtype),
            untransformed_dim=dim // 2,
            dim=dim,
            nn_width=HIDDEN,
            nn_depth=2,
            nn_activation=jnp.tanh,
        )
        (w1, b1), (w2, b2), (w3, b3) = layer
        given = [jnp.asarray(a, dtype) for a in (w1, b1, w2, b2, w3[order], b3[order])]
        places = lambda c: [a for linear in c.conditioner.layers for a in (linear.weight, linear.bias)]
        out += [eqx.tree_at(places, coupling, given), Flip((dim,))]
    return Chain(out)


def ways(row, given):
    """flowjax's ways to compute a row: Jacobians, log-densities, samples. The precision is as peer_jax set it."""
    if row.kind not in ("jacobian/realnvp", "log_density/realnvp", "sample/realnvp"):
        return []
    dtype = jnp.float64 if row.precision == "f64" else jnp.float32
    x, make, ready = jnp.asarray(given, dtype), partial(Way, NAME), jax.block_until_ready
    to_latents = normalizer(row.dim, dtype)
    if row.kind == "jacobian/realnvp":
        out = []
        for name, mode in (("jacfwd", jax.jacfwd), ("jacrev", jax.jacrev)):
            f = eqx.filter_jit(lambda b, x, mode=mode: jax.vmap(mode(b.transform))(x))
            call = lambda f=f: ready(f(to_latents, x))
            out.append(make(f"jit(vmap({name}))", call, lambda call=call: np.ravel(call())))
        return out
    flow = Transformed(StandardNormal((row.dim,)), Invert(to_latents))
    if row.kind == "log_density/realnvp":
        f = eqx.filter_jit(lambda flow, x: flow.log_prob(x))
        return [make("jit(log_prob)", lambda: ready(f(flow, x)), lambda: np.asarray(f(flow, x)))]
    from_latents = eqx.filter_jit(lambda b, z: jax.vmap(b.inverse)(z))
    sample = eqx.filter_jit(lambda flow, key: flow.sample(key, (row.count,)))
    key = jax.random.key(0)
    return [make("jit(sample)", lambda: ready(sample(flow, key)), lambda: np.ravel(from_latents(to_latents, x)))]
