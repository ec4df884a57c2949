"""Models of the other libraries, at random sizes with random weights: what `eigenflow import` says it reads."""

from dataclasses import dataclass, field
from functools import partial

import nflows.nn.nets as nets
import nflows.transforms as nt
import torch
import zuko
from nflows.distributions import StandardNormal
from nflows.flows import Flow, MaskedAutoregressiveFlow, SimpleRealNVP
from torch import nn
from torch.nn import functional as F
from zuko.transforms import AdditiveTransform, MonotonicRQSTransform


@dataclass
class Case:
    """A model, and what `import` has to be told beside its weights."""

    name: str
    library: str
    model: nn.Module
    settings: dict = field(default_factory=dict)
    # Whether the library's own inverse works with this torch.
    inverts: bool = True
    # Whether zuko can take the model back.
    returns: bool = True



def pick(random, *choices):
    return choices[int(torch.randint(len(choices), (), generator=random))]


def whole(random, low, high):
    return int(torch.randint(low, high + 1, (), generator=random))


def widths(random):
    return [whole(random, 3, 20) for _ in range(whole(random, 1, 3))]


def shake(model, random, size=0.3):
    """Moves every parameter away from where it was initialised."""
    with torch.no_grad():
        for p in model.parameters():
            p += size * torch.randn(p.shape, generator=random) / max(1, p.shape[-1] if p.dim() > 1 else 1) ** 0.5


def zuko_models(random, d):
    """Every flow of zuko that is read, with `d` features."""
    layers, bins = whole(random, 1, 4), whole(random, 2, 9)
    slope, bound = pick(random, 1e-3, 1e-2, 0.1), pick(random, 5.0, 2.5)
    activation, word = pick(random, (nn.ReLU, "relu"), (nn.Tanh, "tanh"), (nn.SiLU, "silu"))
    spline = dict(
        univariate=partial(MonotonicRQSTransform, bound=bound, slope=slope),
        shapes=[(bins,), (bins,), (bins - 1,)],
    )
    shift = dict(univariate=AdditiveTransform, shapes=[()])
    adjacency = torch.rand(d, d, generator=random) < 0.5
    order = torch.randperm(d, generator=random)
    adjacency = (adjacency & (order[:, None] > order)) | torch.eye(d, dtype=bool)
    # zuko refuses a graph without an edge.
    if d > 1 and (adjacency.sum() == d):
        adjacency[order.argmax(), order.argmin()] = True
    flows = {
        "RealNVP": zuko.flows.RealNVP(d, transforms=layers, hidden_features=widths(random)),
        "RealNVP randmask": zuko.flows.RealNVP(d, transforms=layers, randmask=True, hidden_features=widths(random)),
        "NICE additive": zuko.flows.NICE(d, transforms=layers, hidden_features=widths(random), **shift),
        "NICE spline": zuko.flows.NICE(d, transforms=layers, hidden_features=widths(random), **spline),
        "MAF": zuko.flows.MAF(d, transforms=layers, hidden_features=widths(random)),
        "MAF randperm": zuko.flows.MAF(d, transforms=layers, randperm=True, hidden_features=widths(random)),
        "MAF passes": zuko.flows.MAF(d, transforms=layers, passes=2, hidden_features=widths(random)),
        "MAF additive": zuko.flows.MAF(d, transforms=layers, hidden_features=widths(random), **shift),
        "MAF activation": zuko.flows.MAF(d, transforms=2, hidden_features=widths(random), activation=activation),
        "NSF": zuko.flows.NSF(d, transforms=layers, bins=bins, hidden_features=widths(random)),
        "NSF passes": zuko.flows.NSF(d, transforms=layers, bins=bins, slope=slope, passes=2, hidden_features=widths(random)),
        "NSF randperm": zuko.flows.NSF(d, transforms=layers, bins=bins, randperm=True, hidden_features=widths(random)),
    }
    if d > 1:
        flows["MAF adjacency"] = zuko.flows.MAF(d, transforms=1, adjacency=adjacency, hidden_features=widths(random))
    told = {
        "NICE spline": {"bound": bound, "slope": slope},
        "NSF passes": {"slope": slope},
        "MAF activation": {"activation": word},
    }
    for name, flow in flows.items():
        shake(flow, random)
        if pick(random, True, False):
            flow.base.loc.copy_(torch.randn(d, generator=random))
            flow.base.scale.copy_(torch.rand(d, generator=random) + 0.5)
        # A transform of an adjacency has no `order` in its state_dict.
        yield Case(name, "zuko", flow, told.get(name, {}), returns=name != "MAF adjacency")


def nflows_models(random, d):
    """Every flow of nflows that is read, with `d` features."""
    hidden, layers, blocks = whole(random, 3, 16), whole(random, 1, 4), whole(random, 1, 3)
    bins, bound = whole(random, 2, 9), pick(random, 1.0, 3.0, 4.5)
    activation, word = pick(random, (F.relu, "relu"), (torch.tanh, "tanh"), (F.silu, "silu"))
    least = dict(min_bin_width=5e-3, min_bin_height=2e-3, min_derivative=1e-2)
    box = {"bound": bound}

    def real_nvp(**options):
        return SimpleRealNVP(d, hidden, layers, blocks, **options)

    def maf(**options):
        return MaskedAutoregressiveFlow(d, hidden, layers, blocks, **options)

    def flow(*transforms):
        return Flow(nt.CompositeTransform(list(transforms)), StandardNormal([d]))

    def net(inputs, outputs):
        return nets.ResidualNet(inputs, outputs, hidden_features=hidden, num_blocks=blocks)

    def coupling(k, **options):
        mask = [1 if (j + k) % 2 == 0 else -1 for j in range(d)]
        return nt.PiecewiseRationalQuadraticCouplingTransform(
            mask, net, num_bins=bins, tails="linear", tail_bound=bound, **options
        )

    def autoregressive(**options):
        return nt.MaskedPiecewiseRationalQuadraticAutoregressiveTransform(
            d, hidden, num_bins=bins, tails="linear", tail_bound=bound, num_blocks=blocks, **options
        )

    def linear():
        return nt.CompositeTransform([nt.RandomPermutation(d), nt.LULinear(d, identity_init=False)])

    plain = dict(use_residual_blocks=False)
    yield Case("RealNVP", "nflows", real_nvp())
    yield Case("RealNVP additive", "nflows", real_nvp(use_volume_preserving=True))
    yield Case("RealNVP batch norm", "nflows", real_nvp(batch_norm_between_layers=True))
    yield Case("RealNVP activation", "nflows", real_nvp(activation=activation), {"activation": word})
    yield Case("MAF", "nflows", maf())
    yield Case("MAF permutations", "nflows", maf(use_random_permutations=True))
    yield Case("MAF feedforward", "nflows", maf(**plain))
    yield Case("MAF random masks", "nflows", maf(use_random_masks=True, **plain))
    yield Case("MAF batch norm", "nflows", maf(batch_norm_between_layers=True))
    bare = MaskedAutoregressiveFlow(d, hidden, 2, 0, **plain)
    yield Case("MAF without blocks", "nflows", bare, {"residual": False})
    yield Case("LU linear", "nflows", flow(linear(), linear()), inverts=False)
    yield Case("norms", "nflows", flow(nt.ActNorm(d), nt.BatchNorm(d, eps=1e-3), linear()), {"batch-norm-eps": 1e-3}, inverts=False)
    # Of one feature nflows cannot evaluate a coupling with splines.
    if d > 1:
        yield Case("RQ coupling", "nflows", flow(coupling(0), coupling(1)), box)
        yield Case("RQ coupling least", "nflows", flow(coupling(0, **least), coupling(1, **least)), box | dashed(least))
        deep = flow(linear(), coupling(0), nt.CompositeTransform([linear(), coupling(1)]), nt.ReversePermutation(d))
        yield Case("RQ coupling, linear", "nflows", deep, box, inverts=False)
    yield Case("RQ autoregressive", "nflows", flow(autoregressive(), nt.ReversePermutation(d), autoregressive()), box)
    yield Case("RQ autoregressive least", "nflows", flow(autoregressive(**least)), box | dashed(least))
    yield Case("RQ autoregressive feedforward", "nflows", flow(autoregressive(**plain)), box)


def dashed(settings):
    return {name.replace("_", "-"): value for name, value in settings.items()}


def settle(case, random, d):
    """Random weights, and for normalization a little training: its statistics are then not those of a new layer."""
    if case.library != "nflows":
        return
    shake(case.model, random)
    if "norm" in case.name:
        case.model.train()
        optimiser = torch.optim.Adam(case.model.parameters(), lr=1e-3)
        for _ in range(20):
            x = 1.5 * torch.randn(64, d, generator=random) + 0.5
            optimiser.zero_grad()
            (-case.model.log_prob(x).mean()).backward()
            optimiser.step()


def cases(random, d):
    """All of them, in evaluation mode."""
    for case in [*zuko_models(random, d), *nflows_models(random, d)]:
        settle(case, random, d)
        case.model.eval()
        yield case
