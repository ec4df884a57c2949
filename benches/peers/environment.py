"""The environment of a comparison: a Python with the peers in it, the same threads for everyone.

Everything here runs before numpy or JAX is imported, with the standard library alone.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
READY = "EIGENFLOW_PEERS_READY"


class Missing(Exception):
    """Something that the comparison needs is not there; the message says what to do."""


def cores(count):
    """CPUs to run on: up to `count`, of different cores where Linux says which they are."""
    chosen, seen, rest = [], set(), []
    for cpu in sorted(os.sched_getaffinity(0)):
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            core = tuple((topology / name).read_text().strip() for name in ("physical_package_id", "core_id"))
        except OSError:
            core = cpu
        (rest if core in seen else chosen).append(cpu)
        seen.add(core)
    return set((chosen + rest)[:count])


def pin(threads):
    """This process, and its children, on `threads` CPUs, where the system can do that."""
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > threads:
        os.sched_setaffinity(0, cores(threads))


def variables(threads):
    """The variables of a run: `threads` threads for every library, no hand-set kernels of OpenBLAS."""
    env = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    for name in ("RAYON", "OMP", "OPENBLAS", "MKL"):
        env[f"{name}_NUM_THREADS"] = str(threads)
    # XLA's pool has one thread a CPU of the affinity mask (see `pin`).
    env["JAX_PLATFORMS"] = "cpu"
    env["PYTHONUNBUFFERED"] = "1"
    return env


def target_folder():
    """Where cargo builds."""
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def own_python(torch):
    """The interpreter of the comparison's own virtual environment, made and filled where it is not yet."""
    files = [HERE / "requirements.txt"] + ([HERE / "requirements-torch.txt"] if torch else [])
    folder = target_folder() / ("peers-env-torch" if torch else "peers-env")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / "installed"
    wanted = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    print(f"installing {', '.join(f.name for f in files)} into {folder} (once)", file=sys.stderr)
    try:
        venv.create(folder, with_pip=True, clear=folder.exists())
    except (OSError, subprocess.CalledProcessError) as error:
        raise Missing(
            f"no virtual environment could be made in {folder} ({error}). Install Python's venv module (Debian: "
            "apt install python3-venv), or name an environment that has the packages: --python-env here"
        ) from error
    arguments = [a for f in files for a in ("-r", str(f))]
    pip = subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments])
    if pip.returncode != 0:
        raise Missing(
            f"pip could not install {', '.join(map(str, files))} (its message is above). Without a network, install "
            "them into an environment of your own, start compare.py with its python, and add --python-env here"
        )
    stamp.write_text(wanted)
    return python


def enter(threads, env, torch):
    """Starts this program again in the environment of the comparison, unless it runs there already."""
    pin(threads)
    if os.environ.get(READY) == "1":
        return
    python = sys.executable if env == "here" else own_python(torch)
    child = variables(threads) | {READY: "1"}
    os.execve(str(python), [str(python), *sys.argv], child)


def build():
    """Builds the cases and the command line; gives the paths of the two programs."""
    import json

    command = ["cargo", "build", "--release", "--bin", "eigenflow", "--bench", "peers", "--message-format", "json"]
    command[5:5] = ["--quiet"]
    try:
        cargo = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError as error:
        raise Missing("there is no cargo on the PATH. Install Rust: https://rustup.rs") from error
    if cargo.returncode != 0:
        raise Missing(f"'{' '.join(command)}' failed in {ROOT} (its message is above)")
    found = {}
    for line in cargo.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message.get("executable"):
            found[message["target"]["name"]] = message["executable"]
    return found["peers"], found["eigenflow"]
