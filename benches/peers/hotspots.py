"""Where the time of each row goes: a picture.

    python benches/peers/hotspots.py --svg docs/pictures/profile.svg --json docs/pictures/profile.json

Runs every case of eigenflow's list under Linux `perf` (sampling by the CPU's clock, one thread), sorts the samples by
symbol into a few kinds of work, and draws one bar a row. Needs `perf` (Debian: linux-perf) and cargo.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# First match counts.
KINDS = [
    ("products", re.compile(r"lines::block|lines::dots|linalg::matmul|microkernel|millikernel|gemm|pack_operands")),
    ("elementwise functions", re.compile(r"network::(Relu|Silu)|dispatch::(Map|InPlace)|cells::|Unary")),
    ("small matrices", re.compile(r"small::")),
    ("large factorisations", re.compile(r"faer")),
    ("copies", re.compile(r"memmove|memcpy|memset|[Gg]ather|[Cc]oncat|transpose::Transpose|copy_columns")),
    ("other vector kernels", re.compile(r"vectorize|V4|V3|[Ss]imd")),
    ("tape and threads", re.compile(r"eigenflow_autodiff|rayon|smallvec|SmallVec")),
]
REST = "rest"
COLOURS = ["#0072b2", "#d55e00", "#882255", "#332288", "#cc79a7", "#e69f00", "#009e73", "#999999"]


def binary():
    """The bench binary that serves cases, built if need be."""
    # Symbols that name the kernel which a vector loop belongs to; they go to a folder of their own.
    flags = f"{os.environ.get('RUSTFLAGS', '')} -C symbol-mangling-version=v0"
    done = subprocess.run(
        ["cargo", "bench", "--bench", "peers", "--no-run", "--message-format=json", "--target-dir", "target/hotspots"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "RUSTFLAGS": flags})
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "peers" and message.get("executable"):
            return message["executable"]
    sys.exit("cargo built no bench named peers")


def calls(server, case):
    """So many calls that they take about a second."""
    answer = subprocess.run([server], input=f"prepare {case}\nrun {case} 2\nrun {case} 3\n", text=True,
                            stdout=subprocess.PIPE, check=True, env={"RAYON_NUM_THREADS": "1"}).stdout
    seconds = json.loads(answer.splitlines()[-1])["seconds"]
    return max(3, int(1.0 / seconds)), seconds


def shares(server, case):
    """Share of each kind of work, and seconds of one call on one thread."""
    count, seconds = calls(server, case)
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/perf.data"
        subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-F", "2000", "-o", data, server],
                       input=f"prepare {case}\nrun {case} {count}\n", text=True, stdout=subprocess.DEVNULL,
                       check=True, env={"RAYON_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"})
        report = subprocess.run(["perf", "report", "-i", data, "--stdio", "--no-children", "-F", "overhead,symbol"],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    found = {name: 0.0 for name, _ in KINDS} | {REST: 0.0}
    for line in report.splitlines():
        hit = re.match(r"\s*([\d.]+)%\s+(.*)", line)
        if hit:
            symbol = hit.group(2)
            kind = next((name for name, pattern in KINDS if pattern.search(symbol)), REST)
            found[kind] += float(hit.group(1))
    total = sum(found.values()) or 1.0
    return {k: v / total for k, v in found.items()}, seconds


def picture(rows):
    """One bar a row."""
    left, width, line = 260, 760, 20
    height = 60 + line * len(rows) + 30
    names = [name for name, _ in KINDS] + [REST]
    text = "; ".join(f"{case}: " + ", ".join(f"{k} {100 * v:.0f} %" for k, v in share.items() if v >= 0.01)
                     for case, (share, _) in rows.items())
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 110} {height}" role="img" '
           'font-family="sans-serif" font-size="12">',
           "<title>Where the time of each row goes, one thread</title>", f"<desc>{text}</desc>",
           "<style>text{fill:#222} rect.back{fill:#fff} "
           "@media(prefers-color-scheme:dark){text{fill:#ddd} rect.back{fill:#181818}}</style>",
           f'<rect class="back" width="{left + width + 110}" height="{height}"/>']
    x = 20
    for name, colour in zip(names, COLOURS):
        out.append(f'<rect x="{x}" y="16" width="12" height="12" fill="{colour}"/>'
                   f'<text x="{x + 16}" y="26">{name}</text>')
        x += 30 + 7 * len(name)
    for i, (case, (share, seconds)) in enumerate(rows.items()):
        y, x = 48 + line * i, float(left)
        out.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{case}</text>')
        for name, colour in zip(names, COLOURS):
            w = width * share[name]
            out.append(f'<rect x="{x:.1f}" y="{y}" width="{w:.1f}" height="{line - 5}" fill="{colour}"/>')
            x += w
        out.append(f'<text x="{left + width + 8}" y="{y + 12}">{1e3 * seconds:.3g} ms</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--svg", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--cases", default="", metavar="REGEX")
    options = parser.parse_args()
    if not shutil.which("perf"):
        sys.exit("perf is not installed (Debian: apt-get install linux-perf)")
    server = binary()
    listed = subprocess.run([server], input="list\n", text=True, stdout=subprocess.PIPE, check=True).stdout
    # The floors are one kernel each.
    cases = [c for c in json.loads(listed)["cases"] if re.search(options.cases, c) and not c.startswith("floor/")]
    rows = {}
    for case in cases:
        rows[case] = shares(server, case)
        print(case, {k: round(v, 2) for k, v in rows[case][0].items()}, file=sys.stderr)
    pathlib.Path(options.svg).write_text(picture(rows))
    pathlib.Path(options.json).write_text(json.dumps(
        {case: {"seconds": s, "shares": share} for case, (share, s) in rows.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
