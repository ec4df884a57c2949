"""A comparison as text, JSON and a picture. Also a program: `report.py A.json [B.json ...] [--svg F] [--json F]`
puts several runs together (a later run's row replaces an earlier one's)."""

import argparse
import json
import math
from html import escape
from pathlib import Path


def duration(seconds):
    """Three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size or unit == "µs":
            value = seconds / size
            return f"{value:.{max(0, 2 - int(math.floor(math.log10(max(value, 1e-9)))))}f} {unit}"
    return ""


def verdict(row):
    """Whether a row reaches its target; none where it has no target."""
    if row["target"] is None:
        return ""
    return "yes" if row["ratio"] >= row["target"] else "no"


def head(report):
    """What was measured, in lines."""
    meta = report["meta"]
    lines = [f"{meta['cpu']}, {meta['threads']} threads, {meta['system']}", ", ".join(meta["versions"])]
    lines.append("ratio = the best peer's time / eigenflow's: median of alternating rounds, and their 25 % and 75 % quantiles")
    lines.append("limit = the best peer's time / that of the row's products and elementwise functions alone, from the caches, in the same rounds")
    return lines


def text(report):
    """The table."""
    header = ("row", "ratio", "25 %", "75 %", "target", "reached", "limit", "eigenflow", "its way", "best peer", "its time")
    cells = [header]
    for row in report["rows"]:
        target = "" if row["target"] is None else f"{row['target']:g}"
        ours, peer = row["ours"], row["peer"]
        cells.append(
            (
                row["name"],
                f"{row['ratio']:.2f}",
                f"{row['low']:.2f}",
                f"{row['high']:.2f}",
                target,
                verdict(row),
                f"{row['limit']:.2f}" if "limit" in row else "",
                duration(ours["seconds"]),
                ours["way"],
                peer["way"],
                duration(peer["seconds"]),
            )
        )
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    left = {0, 8, 9}
    lines = [
        "  ".join(c.ljust(w) if k in left else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths))).rstrip()
        for row in cells
    ]
    rows = [r for r in report["rows"] if r["target"] is not None]
    reached = sum(verdict(r) == "yes" for r in rows)
    out = [*head(report), "", *lines, "", f"{reached} of {len(rows)} targets reached"]
    for row in report["rows"]:
        if "note" in row:
            out.append(f"{row['name']}: {row['note']}")
    for error in report["errors"]:
        out.append(f"ERROR {error}")
    return "\n".join(out)


STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.small { font-size: 11px; fill: #59636e }
.title { font-size: 15px; font-weight: 600 }
.group { font-weight: 600 }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.one { stroke: #59636e; stroke-width: 1.5 }
.f32 { fill: #2f6fb5 } .f64 { fill: #b35c1e }
.spread { stroke: #1f2328; stroke-width: 1 }
.target { stroke: #c0143c; stroke-width: 2 }
.page { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 }
  .grid { stroke: #30363d } .one { stroke: #9198a1 }
  .f32 { fill: #58a6ff } .f64 { fill: #e3924f }
  .spread { stroke: #e6edf3 } .target { stroke: #ff6b81 } .page { fill: #0d1117 }
}
"""

LEFT, RIGHT, BAR, GAP, GROUP, TOP = 150, 190, 13, 5, 24, 78
WIDTH = 900


def svg(report):
    """Bars of the ratios on a log scale: a pair of bars (f32, f64) a size, a mark at each target."""
    rows = report["rows"]
    ratios = [r["ratio"] for r in rows] + [r["low"] for r in rows] + [r["target"] or 1 for r in rows] + [1]
    low = min(0.5, min(ratios) / 1.1)
    high = max(4, max([*ratios, *(r["high"] for r in rows)]) * 1.1)
    plot = WIDTH - LEFT - RIGHT
    x = lambda v: LEFT + plot * (math.log(min(max(v, low), high) / low)) / math.log(high / low)
    body, y = [], TOP
    kinds = list(dict.fromkeys(r["kind"] for r in rows))
    for kind in kinds:
        y += GROUP - 8
        body.append(f'<text class="group" x="12" y="{y}">{escape(kind)}</text>')
        y += 8
        of_kind = [r for r in rows if r["kind"] == kind]
        for size in dict.fromkeys(r["size"] for r in of_kind):
            pair = sorted((r for r in of_kind if r["size"] == size), key=lambda r: r["precision"])
            middle = y + len(pair) * BAR / 2 + 4
            body.append(f'<text class="small" x="{LEFT - 8}" y="{middle:.1f}" text-anchor="end">{escape(size)}</text>')
            for r in pair:
                start, end = sorted((x(1), x(r["ratio"])))
                body.append(
                    f'<rect class="{r["precision"]}" x="{start:.1f}" y="{y}" width="{max(end - start, 1):.1f}" '
                    f'height="{BAR - 2}"><title>{escape(r["name"])}: {r["ratio"]:.2f}</title></rect>'
                )
                mid = y + (BAR - 2) / 2
                body.append(f'<path class="spread" d="M{x(r["low"]):.1f} {mid}H{x(r["high"]):.1f}"/>')
                if r["target"] is not None:
                    at = x(r["target"])
                    body.append(f'<path class="target" d="M{at:.1f} {y - 1}v{BAR}"/>')
                peer = r["peer"]["way"].split(":")[0].split(" ")[0]
                body.append(
                    f'<text class="small" x="{WIDTH - RIGHT + 10}" y="{mid + 4:.1f}">{r["ratio"]:.2f}  '
                    f'({escape(peer)} {duration(r["peer"]["seconds"])})</text>'
                )
                y += BAR
            y += GAP
    ticks = [t for t in (0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32) if low <= t <= high]
    lines = []
    for t in ticks:
        kind = "one" if t == 1 else "grid"
        lines.append(f'<path class="{kind}" d="M{x(t):.1f} {TOP}V{y}"/>')
        lines.append(f'<text class="small" x="{x(t):.1f}" y="{TOP - 6}" text-anchor="middle">{t:g}</text>')
    height = y + 28
    about = [f"{r['name']} {r['ratio']:.2f}" for r in rows]
    description = "How many times faster eigenflow is than the best peer of each row. " + "; ".join(about) + "."
    legend = (
        f'<rect class="f32" x="12" y="34" width="12" height="11"/><text class="small" x="28" y="44">f32</text>'
        f'<rect class="f64" x="58" y="34" width="12" height="11"/><text class="small" x="74" y="44">f64</text>'
        f'<path class="target" d="M110 33v13"/><text class="small" x="116" y="44">target</text>'
        f'<path class="spread" d="M162 40h16"/><text class="small" x="184" y="44">25 % to 75 % of the rounds</text>'
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
            'role="img" aria-labelledby="title description">',
            '<title id="title">eigenflow against the best peer: ratio of times</title>',
            f'<desc id="description">{escape(description)}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{WIDTH}" height="{height}"/>',
            '<text class="title" x="12" y="22">The best peer\'s time / eigenflow\'s (above 1: eigenflow is faster)</text>',
            legend,
            *lines,
            *body,
            f'<text class="small" x="12" y="{height - 8}">{escape(head(report)[0])}; '
            f'{escape(head(report)[1])}</text>',
            "</svg>",
            "",
        ]
    )


def write(report, json_file=None, svg_file=None):
    """The files that are asked for."""
    if json_file:
        Path(json_file).write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    if svg_file:
        Path(svg_file).write_text(svg(report))


def together(reports, order):
    """One report of several."""
    rows = {row["name"]: row for report in reports for row in report["rows"]}
    ordered = sorted(rows.values(), key=lambda row: order.index(row["name"]) if row["name"] in order else len(order))
    versions = list(dict.fromkeys(v for report in reports for v in report["meta"]["versions"]))
    errors = list(dict.fromkeys(e for report in reports for e in report["errors"]))
    quick = any(report["meta"]["quick"] for report in reports)
    return {"meta": reports[-1]["meta"] | {"versions": versions, "quick": quick}, "rows": ordered, "errors": errors}


def main():
    parser = argparse.ArgumentParser(description="Put runs of compare.py together")
    parser.add_argument("runs", nargs="+", metavar="RUN.json")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--svg", metavar="FILE")
    arguments = parser.parse_args()
    reports = []
    for run in arguments.runs:
        try:
            reports.append(json.loads(Path(run).read_text()))
        except (OSError, ValueError) as error:
            parser.error(f"{run}: {error}; give files that compare.py --json wrote")
    order = list(dict.fromkeys(name for report in reports for name in report["meta"]["order"]))
    report = together(reports, order)
    print(text(report))
    write(report, arguments.json, arguments.svg)


if __name__ == "__main__":
    main()
