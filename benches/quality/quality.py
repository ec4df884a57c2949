#!/usr/bin/env python3
"""How good trained models are: held-out log-likelihood of eigenflow's flows with their default settings, and of zuko's.

    python benches/quality/quality.py --data FOLDER [--cases REGEX] [--seeds 3] [--with-zuko] [--json FILE]

Rows are permuted by numpy's default_rng(0): the last tenth is the test, the tenth before it the validation, the rest
training; columns are standardised by the training rows. Sets without a bound on the likelihood have noise of 0.01 on all
parts. eigenflow runs with `--flow F` and nothing else, but for that noise; zuko with Adam at 1e-3, a cosine to 0, batches
of 512, gradients clipped at 5 and the weights of the best validation epoch. The figure is the mean over seeds of the mean
log-density of the test rows in nats, with the standard error of that mean over seeds (of one seed: over rows).

Built-in sets of known density follow (cases toy/NAME): `nsf` with its default settings on 20,000 rows, and the paired mean of
log p_true - log p_model over 100,000 fresh draws, which no model can bring below 0.
"""

import argparse
import json
import math
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

FLOWS = ["realnvp", "maf", "nsf", "nsf-ar"]
# Set, noise, epochs of zuko's flows.
SETS = {
    "galaxy": (0.0, dict.fromkeys(FLOWS, 20)),
    "magic": (0.0, dict.fromkeys(FLOWS, 80)),
    "texture": (0.01, {"realnvp": 60, "maf": 60, "nsf": 25, "nsf-ar": 25}),
    "parkinsons": (0.01, {"realnvp": 60, "maf": 60, "nsf": 25, "nsf-ar": 25}),
    "phoneme": (0.01, dict.fromkeys(FLOWS, 80)),
}

TOYS = ["s-curve", "two-moons", "circles", "pinwheel", "spirals", "checkerboard", "eight-gaussians"]
TOY_FLOW = "nsf"


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("EIGENFLOW_DATA"), help="folder of the sets [default: EIGENFLOW_DATA]")
    parser.add_argument("--cases", metavar="REGEX", default="", help="only the cases SET/FLOW that this matches")
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each side [default: 3]")
    parser.add_argument("--threads", type=int, default=2, help="threads of each side [default: 2]")
    parser.add_argument("--with-zuko", action="store_true", help="zuko as well: needs torch and zuko (requirements.txt)")
    parser.add_argument("--binary", help="eigenflow's program [default: built by cargo in release mode]")
    parser.add_argument("--option", action="append", default=[], help="a further option of eigenflow's, as one word (--option=--lr=0.01)")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    return parser.parse_args()


def parts(path):
    """Training, validation and test rows, standardised."""
    x = np.load(path).astype(np.float64)
    x = x[np.random.default_rng(0).permutation(len(x))]
    tenth = len(x) // 10
    train, valid, test = np.split(x, [len(x) - 2 * tenth, len(x) - tenth])
    mean, scale = train.mean(0), train.std(0)
    return [(rows - mean) / scale for rows in (train, valid, test)]


def gaussian(train, test, noise):
    """Mean log-density of the test rows under the normal distribution of the training rows (with their noise)."""
    mean = train.mean(0)
    cov = np.cov(train.T, bias=True) + noise**2 * np.eye(train.shape[1])
    residual = np.linalg.solve(np.linalg.cholesky(cov), (test - mean).T)
    _, log_det = np.linalg.slogdet(cov)
    # The noise of the test rows, on average.
    square = (residual**2).sum(0).mean() + noise**2 * np.trace(np.linalg.inv(cov))
    return -0.5 * (square + log_det + train.shape[1] * math.log(2 * math.pi))


def cpu(who):
    """Seconds of processor time, of this process or of its children: other load of the machine hardly touches them."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def ours(binary, folder, flow, noise, args):
    """One command: all seeds."""
    command = [
        binary, "train", str(folder / "train.npy"), "--valid", str(folder / "valid.npy"), "--test", str(folder / "test.npy"),
        "--out", str(folder / "m.safetensors"), "--flow", flow, "--seeds", str(args.seeds), "--dtype", "f32",
        "--threads", str(args.threads), "--json", "--quiet", *args.option,
    ]
    if noise > 0.0:
        command += ["--noise", str(noise)]
    start, spent = time.perf_counter(), cpu(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds = (time.perf_counter() - start) / args.seeds
    spent = (cpu(resource.RUSAGE_CHILDREN) - spent) / args.seeds
    result = json.loads(done.stdout)
    return {
        "nats": [-run["test_nll"] for run in result["seeds"]["runs"]],
        "row_error": result["test"]["standard_error_training_units"],
        "worst": result["test"]["worst_log_density_training_units"],
        "epochs": [run["epochs"] for run in result["seeds"]["runs"]],
        "parameters": result["trained_parameters"],
        "preprocess": result.get("preprocess"),
        "seconds": seconds,
        "cpu_seconds": spent,
    }


def toy(binary, name, args):
    """The gap to the truth of a built-in set, one seed."""
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "m.safetensors")
        common = ["--threads", str(args.threads), "--json", "--quiet"]
        start = time.perf_counter()
        subprocess.run(
            [binary, "train", f"builtin:{name}", "--flow", TOY_FLOW, "--dtype", "f32", "--out", model, *common, *args.option],
            stdout=subprocess.DEVNULL, check=True)
        seconds = time.perf_counter() - start
        score = [binary, "score", model, f"builtin:{name}?n=100000&seed=1000", *common]
        truth = json.loads(subprocess.run(score, stdout=subprocess.PIPE, text=True, check=True).stdout)["truth"]
    return {"set": name, "flow": TOY_FLOW, "gap": truth["gap"], "error": truth["gap_standard_error"], "seconds": seconds}


def zuko_flow(name, columns):
    """The flow of this name, as in the table that this script remakes."""
    import torch
    import zuko
    from zuko.flows.autoregressive import MAF
    from zuko.flows.coupling import GeneralCouplingTransform
    from zuko.transforms import MonotonicRQSTransform

    hidden = (128, 128)
    if name == "realnvp":
        return zuko.flows.RealNVP(columns, transforms=8, hidden_features=hidden)
    if name == "maf":
        return MAF(columns, transforms=5, hidden_features=hidden)
    if name == "nsf-ar":
        return zuko.flows.NSF(columns, bins=8, transforms=5, hidden_features=hidden)
    couplings = [
        GeneralCouplingTransform(
            features=columns, mask=(torch.arange(columns) + k) % 2 == 1, univariate=MonotonicRQSTransform,
            shapes=[(8,), (8,), (7,)], hidden_features=hidden, activation=torch.nn.Tanh,
        )
        for k in range(8)
    ]
    base = zuko.lazy.UnconditionalDistribution(
        zuko.distributions.DiagNormal, torch.zeros(columns), torch.ones(columns), buffer=True)
    return zuko.lazy.Flow(couplings, base)


def theirs(flow, rows, noise, epochs, args):
    """zuko's flow, one seed after the other."""
    import torch

    torch.set_num_threads(args.threads)
    batch, out = 512, {"nats": [], "seconds": 0.0, "cpu_seconds": 0.0}
    for seed in range(args.seeds):
        torch.manual_seed(seed)
        train, valid, test = (torch.tensor(part, dtype=torch.float32) for part in rows)
        train, valid, test = (part + noise * torch.randn_like(part) for part in (train, valid, test))
        model = zuko_flow(flow, train.shape[1])
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        steps = epochs * (len(train) // batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        best, kept = math.inf, None
        start, spent = time.perf_counter(), cpu(resource.RUSAGE_SELF)
        for _ in range(epochs):
            order = torch.randperm(len(train))
            for k in range(len(train) // batch):
                loss = -model().log_prob(train[order[k * batch:(k + 1) * batch]]).mean()
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
                schedule.step()
            with torch.no_grad():
                score = -model().log_prob(valid).mean().item()
            if score < best:
                best, kept = score, {k: v.clone() for k, v in model.state_dict().items()}
        out["seconds"] += (time.perf_counter() - start) / args.seeds
        out["cpu_seconds"] += (cpu(resource.RUSAGE_SELF) - spent) / args.seeds
        model.load_state_dict(kept)
        with torch.no_grad():
            log_p = model().log_prob(test).double()
        out["nats"].append(log_p.mean().item())
        out["row_error"] = (log_p.std() / len(log_p) ** 0.5).item()
        out["worst"] = log_p.min().item()
    out["parameters"] = sum(p.numel() for p in model.parameters())
    return out


def spread(side):
    """Mean and standard error: over seeds, or over rows where there is one seed."""
    n = len(side["nats"])
    error = statistics.stdev(side["nats"]) / math.sqrt(n) if n > 1 else side["row_error"]
    return statistics.fmean(side["nats"]), error


def binary():
    """eigenflow's program, built."""
    subprocess.run(["cargo", "build", "--release", "--bin", "eigenflow"], cwd=ROOT, check=True)
    return str(Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "eigenflow")


def heading(args):
    """The first line of the table."""
    print(f"{'set':<11}{'D':>3}  {'flow':<9}{'Gaussian':>9}{'eigenflow':>11} ±{'':<7}{'s':>6}{'cpu s':>7}{'worst row':>11}", end="")
    print(f"{'zuko':>10} ±{'':<7}{'s':>6}{'cpu s':>7}{'difference':>12}" if args.with_zuko else "")


def main():
    """The table."""
    args = arguments()
    cases = [(name, flow) for name in SETS for flow in FLOWS if re.search(args.cases, f"{name}/{flow}")]
    toys = [name for name in TOYS if re.search(args.cases, f"toy/{name}")]
    if args.list:
        print("\n".join([f"{name}/{flow}" for name, flow in cases] + [f"toy/{name}" for name in toys]))
        return
    if cases and args.data is None:
        sys.exit("quality.py: name the folder of the sets with --data or EIGENFLOW_DATA")
    program = args.binary or binary()
    if cases:
        heading(args)
    table = []
    for name, flow in cases:
        noise, epochs = SETS[name]
        rows = parts(Path(args.data) / f"{name}.npy")
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            for part, x in zip(("train", "valid", "test"), rows):
                np.save(folder / f"{part}.npy", x)
            mine = ours(program, folder, flow, noise, args)
        line = {"set": name, "columns": rows[0].shape[1], "flow": flow, "noise": noise, "eigenflow": mine}
        line["gaussian"] = gaussian(rows[0], rows[2], noise)
        mean, error = spread(mine)
        mine["mean"], mine["error"] = mean, error
        print(f"{name:<11}{line['columns']:>3}  {flow:<9}{line['gaussian']:>9.3f}{mean:>11.3f} ± {error:<7.3f}"
              f"{mine['seconds']:>6.1f}{mine['cpu_seconds']:>7.1f}{mine['worst']:>11.1f}", end="", flush=True)
        if args.with_zuko:
            peer = theirs(flow, rows, noise, epochs[flow], args)
            line["zuko"] = peer
            peer["mean"], peer["error"] = spread(peer)
            both = math.hypot(error, peer["error"])
            verdict = "" if mean >= peer["mean"] - 2 * both else "  behind"
            print(f"{peer['mean']:>10.3f} ± {peer['error']:<7.3f}{peer['seconds']:>6.1f}{peer['cpu_seconds']:>7.1f}{mean - peer['mean']:>12.3f}{verdict}", end="")
        print(flush=True)
        table.append(line)
    gaps = []
    for name in toys:
        gap = toy(program, name, args)
        print(f"toy/{name:<16} {TOY_FLOW}  gap to the true density {gap['gap']:.4f} ± {gap['error']:.4f} nats  {gap['seconds']:.1f} s", flush=True)
        gaps.append(gap)
    if args.json:
        Path(args.json).write_text(json.dumps({"seeds": args.seeds, "threads": args.threads, "cases": table, "toys": gaps}, indent=1))


if __name__ == "__main__":
    main()
