#!/usr/bin/env python3
"""eigenflow against numpy, scipy, JAX, flowjax (and torch), side by side in one run.

    python benches/peers/compare.py [--cases REGEX] [--quick] [--with-torch] [--json FILE] [--svg FILE]

It builds eigenflow's cases, checks that both sides compute the same numbers from the same weights and inputs, and then
times them in alternating rounds on the same CPUs. Of each side the best way counts. A peer whose numbers differ is an
error and no row. The ratio of a row is the median over rounds of the peer's time divided by eigenflow's.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import environment

# Before a round: seconds of quiet, because thread pools spin for a while after work; then seconds of calls that are
# not timed, because clocks and caches are cold after quiet.
SETTLE, WARM = 0.06, 0.06
# There are spells of seconds in which the system runs both threads of a library on one CPU (seen with XLA, mostly when
# a program is new); they would decide a ratio. So a round that is slower than NEAR times the fastest of its side is taken
# again, TAKES times in all; and a peer's flow first runs for up to PATIENCE seconds until it keeps its threads busy.
TAKES, NEAR, PATIENCE = 4, 1.15, 5.0


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", metavar="REGEX", default="", help="only the rows whose name this matches")
    parser.add_argument("--list", action="store_true", help="print the names of the rows and stop")
    parser.add_argument("--quick", action="store_true", help="3 short rounds instead of 7: for a look, not a claim")
    parser.add_argument("--with-torch", action="store_true", help="torch as well (a large download)")
    parser.add_argument("--threads", type=int, default=2, help="threads of either side [default: 2]")
    parser.add_argument(
        "--python-env",
        choices=["own", "here"],
        default="own",
        help="own: a virtual environment under target/, made and filled once; here: this Python, which has the packages",
    )
    parser.add_argument("--json", metavar="FILE", help="write the rows as JSON")
    parser.add_argument("--svg", metavar="FILE", help="write the rows as a picture")
    return parser.parse_args()


def selected(args):
    """The rows asked for, and whether the whole process is."""
    import rows

    matches = lambda name: re.search(args.cases, name) is not None
    return [row for row in rows.rows() if matches(row.name)], matches(rows.PROCESS_NAME)


def timed(call, finish, calls):
    """Seconds a call."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    finish()
    return (time.perf_counter() - start) / calls


class Side:
    """One way of either side: a name and `run(calls) -> seconds a call`."""

    def __init__(self, name, run, length):
        self.name, self.run, self.calls = name, run, 1
        run(2)
        first = run(1)
        # Short calls: a second look that a cold first one does not spoil.
        first = min(first, run(max(1, min(20, int(0.02 / max(first, 1e-7))))))
        self.calls = max(1, round(length / max(first, 1e-7)))
        self.warm = max(1, round(WARM / max(first, 1e-7)))
        self.fastest = float("inf")

    def round(self):
        """Seconds a call of one round: the fastest of its takes, one where nothing is amiss (see TAKES)."""
        takes = []
        while len(takes) < TAKES and (not takes or min(takes) > NEAR * self.fastest):
            time.sleep(SETTLE)
            self.run(self.warm)
            takes.append(self.run(self.calls))
        self.fastest = min([self.fastest, *takes])
        return min(takes)

    def spread_out(self, threads):
        """Waits, for some seconds at most, until a side in this process keeps all its threads busy (see TAKES)."""
        end = time.perf_counter() + PATIENCE
        while time.perf_counter() < end:
            wall, used = time.perf_counter(), time.process_time()
            self.run(self.calls)
            if time.process_time() - used > 0.75 * threads * (time.perf_counter() - wall):
                return


class Process:
    """A whole process as a side: nothing is warm, nothing is repeated."""

    def __init__(self, name, run):
        self.name, self.round = name, run


def best(sides):
    """The sides worth timing to the end: the fastest three by a first look, as far as they are within 1.5 times the best.

    Compiled programs have slow and fast spells, so a first look decides nothing that is close.
    """
    if len(sides) == 1:
        return sides
    looks = {side: [] for side in sides}
    for _ in range(3):
        for side in sides:
            looks[side].append(side.round())
    ranked = sorted(sides, key=lambda side: min(looks[side]))
    limit = 1.5 * min(looks[ranked[0]])
    return [side for side in ranked[:3] if min(looks[side]) <= limit]


def alternate(ours, peers, rounds, parts=()):
    """Seconds of each side and round, and of the parts of the floor; who begins changes from round to round."""
    times = {side: [] for side in [*ours, *parts, *peers]}
    for k in range(rounds):
        order = [*ours, *peers, *parts] if k % 2 else [*parts, *peers, *ours]
        for side in order:
            times[side].append(side.round())
    return times


def median(values):
    import numpy as np

    return float(np.median(values))


def floor(row, server, length):
    """The parts of a row's floor as sides, and how many of each call's operations the row pays."""
    import rows

    if row.pays is None:
        return [], []
    parts, shares = [], []
    for (case, operations), pays in zip(rows.floors(row.precision), row.pays):
        server.ask("prepare", case)
        parts.append(Side(case, lambda calls, case=case: server.ask("run", case, calls)["seconds"], length))
        shares.append(pays / operations)
    return parts, shares


def add_limit(found, times, peers, parts, shares):
    """Adds about what the ratio would be if only products and functions took time: the best peer's time over the floor's."""
    if not parts:
        return
    peer = next(side for side in peers if side.name == found["peer"]["way"])
    floors = [sum(s * t for s, t in zip(shares, round)) for round in zip(*(times[part] for part in parts))]
    found["floor"] = median(floors)
    found["limit"] = median([p / f for p, f in zip(times[peer], floors)])


def result(row_name, kind, size, precision, target, times, ours, peers):
    """A row of the report from the rounds."""
    import numpy as np

    our = min(ours, key=lambda side: median(times[side]))
    peer = min(peers, key=lambda side: median(times[side]))
    ratios = [p / o for p, o in zip(times[peer], times[our])]
    low, high = np.quantile(ratios, [0.25, 0.75])
    side = lambda s: {"way": s.name, "seconds": median(times[s]), "rounds": times[s]}
    return dict(
        name=row_name,
        kind=kind,
        size=size,
        precision=precision,
        target=target,
        ratio=median(ratios),
        low=float(low),
        high=float(high),
        ours=side(our),
        peer=side(peer),
    )


class Disagreement(Exception):
    """The two sides do not compute the same numbers."""


def compare(row, server, sources, folder, threads, rounds, length):
    """Checks a row, then times it."""
    import numpy as np
    import rows

    given = rows.draw(row)
    input_file, answer_file = folder / "input.npy", folder / "answer.npy"
    np.save(input_file, given)
    ways = [way for source in sources for way in source(row, given)]
    answers = {}
    for case in row.ours:
        server.ask("prepare", case, input_file)
        server.ask("answer", case, answer_file)
        answers[case] = np.load(answer_file)
    theirs = {way: np.asarray(way.answer(), float).ravel() for way in ways}
    for case, answer in answers.items():
        for way, other in theirs.items():
            off = rows.difference(row, answer, other)
            if not off <= rows.TOLERANCE[row.precision]:
                limit = rows.TOLERANCE[row.precision]
                raise Disagreement(f"{case} and {way} differ by {off:.1e}, more than {limit:.0e}: not timed")
    answers.clear(), theirs.clear()
    ours = [
        Side(case, lambda calls, case=case: server.ask("run", case, calls)["seconds"], length) for case in row.ours
    ]
    peers = [Side(str(way), lambda calls, way=way: timed(way.call, way.finish, calls), length) for way in ways]
    if row.kind.endswith("realnvp") or row.kind == "local_covariance":
        for side in peers:
            side.spread_out(threads)
    ours, peers = best(ours), best(peers)
    parts, shares = floor(row, server, length)
    times = alternate(ours, peers, rounds, parts)
    found = result(row.name, row.kind, row.size, row.precision, row.target, times, ours, peers)
    add_limit(found, times, peers, parts, shares)
    return found


def whole_process(eigenflow, folder, threads, runs):
    """Two moons from nothing to the held-out likelihood, as whole processes."""
    import rows

    model = folder / "moons.safetensors"
    options = (
        "--layers 8 --hidden 64,64 --activation tanh --scale-bound 1 --mask halves --batch 256 --lr 1e-3 "
        "--schedule constant --epochs 26 --patience 0 --preprocess standardize --quiet --dtype f32"
    )
    seen = "builtin:two-moons?n=20000&seed=0"
    # 26 epochs of 78 batches are 2,028 steps, where the peer takes 2,000; columns are standardised, as
    # there. The validation rows pick the best epoch.
    train = ["train", seen, "--out", str(model), "--valid", "builtin:two-moons?n=1000&seed=2", *options.split()]
    score = ["score", str(model), "builtin:two-moons?n=10000&seed=1", "--json", "--quiet"]
    nll = {}

    def process(command):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Disagreement(f"'{' '.join(map(str, command))}' failed (its message is above)")
        return done.stdout

    def ours():
        start = time.perf_counter()
        process([eigenflow, *train, "--threads", str(threads)])
        out = process([eigenflow, *score, "--threads", str(threads)])
        seconds = time.perf_counter() - start
        nll["eigenflow"] = json.loads(out)["nll"]
        return seconds

    def jax():
        start = time.perf_counter()
        out = process([sys.executable, str(environment.HERE / "two_moons_jax.py")])
        nll["jax"] = float(out)
        return time.perf_counter() - start

    sides = [Process("eigenflow train, then score", ours)], [Process("jax: two_moons_jax.py", jax)]
    times = alternate(*sides, runs)
    row = result(rows.PROCESS_NAME, "process", "two-moons", "f32", rows.PROCESS_TARGET, times, *sides)
    row["nll"] = nll
    row["note"] = (
        f"held-out NLL eigenflow {nll['eigenflow']:.4f}, jax {nll['jax']:.4f} nats (own draws of the same distribution, "
        "entropy 1.0076)"
    )
    if abs(nll["eigenflow"] - nll["jax"]) > 0.1:
        raise Disagreement(f"{rows.PROCESS_NAME}: {row['note']}: not the same quality")
    return row


def spread_out_jax(threads):
    """Runs a flow of JAX until its pool has its threads on different CPUs: the first row of a run is else half as fast."""
    import peer_jax
    import rows

    row = next(row for row in rows.rows() if row.kind == "jacobian/realnvp")
    way = peer_jax.ways(row, rows.draw(row))[0]
    Side(str(way), lambda calls: timed(way.call, way.finish, calls), 0.15).spread_out(threads)


def machine(args):
    """Where and with what it was measured."""
    import jax
    import numpy
    import scipy
    from peer_flowjax import NAME as flowjax

    import rows

    cpu = platform.processor() or platform.machine()
    try:
        cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())[1]
    except (OSError, TypeError):
        pass
    versions = [f"Python {platform.python_version()}", f"numpy {numpy.__version__}"]
    versions += [f"scipy {scipy.__version__}", f"jax {jax.__version__}", flowjax]
    if args.with_torch:
        import torch

        versions.append(f"torch {torch.__version__}")
    order = [row.name for row in rows.rows()] + [rows.PROCESS_NAME]
    return dict(
        cpu=cpu,
        threads=args.threads,
        system=f"{platform.system()} {platform.machine()}",
        versions=versions,
        quick=args.quick,
        order=order,
    )


def peers(args):
    """The libraries, each a function (row, input) -> ways."""
    try:
        import peer_flowjax
        import peer_jax
        import peer_numpy

        # peer_jax sets the precision of both that stand on JAX.
        sources = [peer_numpy.ways, peer_jax.ways, peer_flowjax.ways]
        if args.with_torch:
            import peer_torch

            sources.append(peer_torch.ways)
        import safetensors  # noqa: F401  (models are written with it)
    except ImportError as error:
        files = "requirements.txt" + (" and requirements-torch.txt" if args.with_torch else "")
        raise environment.Missing(
            f"{error}: {sys.executable} lacks a package. Install benches/peers/{files}, or leave --python-env out"
        ) from error
    return sources


def run(args):
    """The comparison."""
    sources = peers(args)
    import report
    import rows
    from server import Server, ServerError

    if args.with_torch:
        import torch

        torch.set_num_threads(args.threads)
    chosen, process = selected(args)
    if not chosen and not process:
        raise environment.Missing(f"--cases '{args.cases}' matches no row; --list prints their names")
    program, eigenflow = environment.build()
    if chosen:
        spread_out_jax(args.threads)
    rounds, length = (3, 0.05) if args.quick else (7, 0.15)
    found = {"meta": machine(args), "rows": [], "errors": []}
    with tempfile.TemporaryDirectory() as scratch, Server(program) as server:
        folder, loaded = Path(scratch), None
        jobs = [(row.name, lambda row=row: one_row(row)) for row in chosen]
        if process:
            runs = 3 if args.quick else 5
            jobs.append((rows.PROCESS_NAME, lambda: whole_process(eigenflow, folder, args.threads, runs)))

        def one_row(row):
            nonlocal loaded
            if row.kind.endswith("realnvp") or row.kind == "local_covariance":
                if loaded != row.dim:
                    rows.write_model(folder / "model.safetensors", row.dim)
                    server.ask("load", folder / "model.safetensors")
                    loaded = row.dim
            return compare(row, server, sources, folder, args.threads, rounds, length)

        for name, job in jobs:
            print(f"{name} ...", file=sys.stderr, end=" ", flush=True)
            try:
                found["rows"].append(job())
                print(f"{found['rows'][-1]['ratio']:.2f}", file=sys.stderr)
            except (Disagreement, ServerError) as error:
                found["errors"].append(str(error))
                print(f"error: {error}", file=sys.stderr)
            # After every row: a run that is cut short keeps what it has.
            report.write(found, args.json, args.svg)
    print(report.text(found))
    return 1 if found["errors"] else 0


def main():
    args = arguments()
    try:
        environment.enter(args.threads, args.python_env, args.with_torch)
        if args.list:
            peers(args)
            import rows

            print("\n".join([*(row.name for row in rows.rows()), rows.PROCESS_NAME]))
            return 0
        return run(args)
    except environment.Missing as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
