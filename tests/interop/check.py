"""`eigenflow import` against the libraries themselves: densities, latents, Jacobians and samples of fresh models, in double precision.

python check.py EIGENFLOW [SEED]   (see `run`, which makes the environment)
"""

import json
import subprocess
import sys
import tempfile
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from models import cases
from safetensors.torch import load_file, save_file

ROWS = 12
# Relative where numbers are above 1.
TOLERANCE = 1e-12

# torch's softplus is the identity above 20, which is off by 2e-9 there: the formula itself is compared, as nflows calls it.
torch.nn.functional.softplus = lambda u: torch.logaddexp(u, torch.zeros_like(u))
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


class Program:
    """The command line, in a folder of its own."""

    def __init__(self, path, folder):
        self.path, self.folder = path, folder

    def fails(self, *words):
        run = subprocess.run([self.path, *words, "--quiet"], cwd=self.folder, capture_output=True, text=True)
        return None if run.returncode == 0 else run.stderr

    def __call__(self, *words):
        error = self.fails(*words)
        if error is not None:
            raise AssertionError(f"eigenflow {' '.join(words)}: {error}")

    def array(self, command, model, rows):
        np.save(self.folder / "rows.npy", rows.detach().numpy())
        self(command, model, "rows.npy", "--out", "out.npy")
        return torch.from_numpy(np.load(self.folder / "out.npy"))


def of_library(case, x):
    """Log-density and latents by the library."""
    if case.library == "zuko":
        flow = case.model()
        z = flow.transform(x)
        # The base's mean and scale are part of our map.
        return flow.log_prob(x), (z - case.model.base.loc) / case.model.base.scale
    return case.model.log_prob(x), case.model.transform_to_noise(x)


def inverse(case, z):
    if case.library == "zuko":
        return case.model().transform.inv(z * case.model.base.scale + case.model.base.loc)
    return case.model._transform.inverse(z)[0]


def jacobians(case, x):
    latent = lambda row: of_library(case, row[None])[1][0]
    return torch.stack([torch.func.jacfwd(latent)(row) for row in x])


class Worst:
    """The largest share of its tolerance that each kind of number took."""

    def __init__(self):
        self.share = {}

    def check(self, what, ours, theirs, tolerance):
        if ours.shape != theirs.shape:
            raise AssertionError(f"{what}: shapes {tuple(ours.shape)} and {tuple(theirs.shape)}")
        # Not a number on either side is a failure.
        share = float(torch.nan_to_num((ours - theirs).abs() / tolerance, nan=torch.inf).max())
        self.share[what] = max(share, self.share.get(what, 0.0))
        if not share <= 1.0:
            raise AssertionError(f"{what} differ by {share:.2g} times the tolerance")


def save(model, path, metadata=None):
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path, metadata)


def tell(case, folder, d):
    """Settings go by file or in the weights' metadata, by turns: both must work."""
    words = []
    metadata = {}
    if case.settings and d % 2:
        metadata = {k: str(v).lower() for k, v in case.settings.items()}
    elif case.settings:
        text = "".join(f"{k} = {json.dumps(v)}\n" for k, v in case.settings.items())
        (folder / "settings.toml").write_text(text)
        words = ["--config", "settings.toml"]
    return words, metadata


@torch.no_grad()
def check(case, program, random, d, worst):
    folder = program.folder
    words, metadata = tell(case, folder, d)
    save(case.model, folder / "w.safetensors", metadata)
    program("import", case.library, "w.safetensors", "--out", "m.safetensors", *words)
    x = 1.5 * torch.randn(ROWS, d, generator=random)
    # Some rows lie far outside the box of any spline.
    x[-3:] *= 8.0
    log_p, z = of_library(case, x)
    worst.check("log-density", program.array("log-prob", "m.safetensors", x), log_p, TOLERANCE * log_p.abs().clamp(min=1))
    size = z.abs().amax(1, keepdim=True).clamp(min=1)
    worst.check("latents", program.array("normalize", "m.safetensors", x), z, TOLERANCE * size)
    j = jacobians(case, x)
    norm = torch.linalg.matrix_norm(j, 2)[:, None, None].clamp(min=1)
    worst.check("Jacobian", program.array("jacobian", "m.safetensors", x), j, TOLERANCE * norm)

    latents = torch.randn(ROWS, d, generator=random)
    ours = program.array("generate", "m.safetensors", latents)
    # What a backward error of the tolerance makes of a sample: its size times ‖J⁻¹‖, at our sample.
    at = jacobians(case, ours)
    amplified = torch.linalg.matrix_norm(torch.linalg.inv(at), 2)[:, None].clamp(min=1)
    amplified = amplified * torch.linalg.matrix_norm(at, 2)[:, None].clamp(min=1)
    tolerance = TOLERANCE * amplified * ours.abs().amax(1, keepdim=True).clamp(min=1)
    if case.inverts:
        worst.check("samples", ours, inverse(case, latents), tolerance)
    # Whether or not the library inverts, it takes our sample to its latents.
    worst.check("latents of samples", of_library(case, ours)[1], latents, tolerance)
    return x


@torch.no_grad()
def check_return(case, program, x, worst):
    """Back to zuko: the same tensors, bit for bit; and after further training here, the same numbers there."""
    folder = program.folder
    program("export", "zuko", "m.safetensors", "--out", "back.safetensors")
    again = deepcopy(case.model)
    for tensor in again.state_dict().values():
        tensor.zero_()
    again.load_state_dict(load_file(folder / "back.safetensors"), strict=True)
    for name, tensor in case.model.state_dict().items():
        # An elementwise layer holds the base's inverse.
        exact = not name.startswith("base.")
        same = torch.equal if exact else torch.allclose
        if not same(again.state_dict()[name], tensor):
            raise AssertionError(f"{name} did not come back")
    np.save(folder / "train.npy", x.numpy())
    program("train", "train.npy", "--from", "m.safetensors", "--out", "t.safetensors", "--epochs", "1", "--valid", "0", "--batch", "0", "--lr", "0.01", "--dtype", "f64")
    program("export", "zuko", "t.safetensors", "--out", "back.safetensors")
    again.load_state_dict(load_file(folder / "back.safetensors"), strict=True)
    log_p = again().log_prob(x)
    if torch.equal(log_p, case.model().log_prob(x)):
        raise AssertionError("training changed nothing")
    worst.check("log-density, trained here", program.array("log-prob", "t.safetensors", x), log_p, TOLERANCE * log_p.abs().clamp(min=1))


@torch.no_grad()
def check_single(case, program, random, d):
    """The same weights in single precision make a model in single precision."""
    single = deepcopy(case.model).float()
    save(single, program.folder / "f.safetensors")
    words, _ = tell(case, program.folder, 0)
    program("import", case.library, "f.safetensors", "--out", "f32.safetensors", *words)
    x = torch.randn(ROWS, d, generator=random)
    ours = program.array("log-prob", "f32.safetensors", x)
    if ours.dtype != torch.float32:
        raise AssertionError(f"single precision became {ours.dtype}")
    theirs = of_library(case, x)[0]
    # Weights and each operation are rounded by 1.2e-7; a hundred operations follow on each other.
    share = float(((ours.double() - theirs).abs() / (2e-5 * theirs.abs().clamp(min=10))).max())
    if not share <= 1.0:
        raise AssertionError(f"single precision differs by {share:.2g} times its tolerance")


def main():
    path = str(Path(sys.argv[1]).resolve())
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    failures, count, worst = [], 0, Worst()
    with tempfile.TemporaryDirectory() as folder:
        program = Program(path, Path(folder))
        for k, d in enumerate([1, 2, 3, 5, 8]):
            random = torch.Generator().manual_seed(1000 * seed + k)
            torch.manual_seed(1000 * seed + k)
            for case in cases(random, d):
                name = f"{case.library} {case.name}, {d} features"
                count += 1
                try:
                    x = check(case, program, random, d, worst)
                    if case.library == "zuko" and case.returns:
                        check_return(case, program, x, worst)
                    if d == 3:
                        check_single(case, program, random, d)
                    other = {"zuko": "nflows", "nflows": "zuko"}[case.library]
                    error = program.fails("import", other, "w.safetensors", "--out", "n.safetensors")
                    if error is None or f"looks like {case.library}" not in error:
                        raise AssertionError(f"import as {other} says: {error}")
                except Exception as error:
                    failures.append(f"{name}: {type(error).__name__}: {error}")
    for what, share in sorted(worst.share.items()):
        print(f"{what}: at most {share:.2g} of the tolerance")
    print("\n".join(failures))
    print(f"{count - len(failures)} of {count} models agree (seed {seed})")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
