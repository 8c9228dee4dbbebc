#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Draws what kvbench measured: nanoseconds an operation and bytes an entry of every store, over the
number of entries, as one SVG file.

    for n in 1000 10000 100000 1000000; do
        build-bench/kvbench --json --num=$n --engines=hash,bptree,absl >$n.json
    done
    tools/plot_bench.py --output engines.svg 1000.json 10000.json 100000.json 1000000.json

A panel for each benchmark that all files have, and one for the bytes. Both axes are logarithmic. Needs
nothing but Python.
"""
import argparse
import json
import math
import sys
from xml.sax.saxutils import escape

PANEL_WIDTH, PANEL_HEIGHT = 420, 300
MARGIN_LEFT, MARGIN_RIGHT, MARGIN_TOP, MARGIN_BOTTOM = 58, 16, 34, 40
HEAD_HEIGHT, LEGEND_ROW = 56, 18
COLUMNS = 2
# Colours that people with the usual colour blindnesses can tell apart (Okabe and Ito), then dashed ones.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"]


def style_of(number):
    dash = ["", "6 3", "2 2", "8 3 2 3"][number // len(COLOURS) % 4]
    return COLOURS[number % len(COLOURS)], dash


def collect(reports):
    """{panel: {store: [(entries, min, median, max), ...]}} in the order of the files' benchmarks."""
    panels = {}
    for report in reports:
        for row in report["results"]:
            ns = row["ns"]
            point = (report["num"], ns["min"], ns["median"], ns["max"])
            panels.setdefault(row["benchmark"], {}).setdefault(row["store"], []).append(point)
            if row["benchmark"] == "fillrandom" and "bytes" in row:
                size = row["bytes"]["total"] / row["entries"]
                panels.setdefault("bytes an entry", {}).setdefault(row["store"], []).append(
                    (report["num"], size, size, size))
    for stores in panels.values():
        for points in stores.values():
            points.sort()
    return panels


def decades(low, high):
    """Marks of a logarithmic axis: 1, 2, 5 of every power of ten between the ends."""
    marks = []
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        marks += [factor * 10.0 ** power for factor in (1, 2, 5)]
    inside = [mark for mark in marks if low * 0.999 <= mark <= high * 1.001]
    whole = [mark for mark in inside if f"{mark:e}".startswith("1.")]
    return whole if len(whole) > 3 else inside


def label(value):
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:g}"


class Axis:
    """From values to places, logarithmically."""

    def __init__(self, values, start, end):
        low, high = min(values), max(values)
        if low == high:
            low, high = low / 2, high * 2
        self.low, self.high = low / 1.05, high * 1.05
        self.start, self.end = start, end

    def place(self, value):
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)


def draw_line(points, x_axis, y_axis, number):
    colour, dash = style_of(number)
    path = " ".join(f"{x_axis.place(n):.1f},{y_axis.place(median):.1f}" for n, _, median, _ in points)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    out = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dashes}/>']
    for n, low, median, high in points:
        x = x_axis.place(n)
        out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y_axis.place(low):.1f}" y2="{y_axis.place(high):.1f}" '
                   f'stroke="{colour}" stroke-opacity="0.5"/>')
        out.append(f'<circle cx="{x:.1f}" cy="{y_axis.place(median):.1f}" r="2.4" fill="{colour}"/>')
    return out


def draw_panel(title, stores, order, left, top):
    x_end = left + PANEL_WIDTH - MARGIN_RIGHT
    y_end = top + PANEL_HEIGHT - MARGIN_BOTTOM
    points = [point for line in stores.values() for point in line]
    x_axis = Axis([point[0] for point in points], left + MARGIN_LEFT, x_end)
    y_axis = Axis([value for point in points for value in point[1:]], y_end, top + MARGIN_TOP)
    unit = "" if title.startswith("bytes") else ", ns an operation"
    out = [f'<text x="{left + MARGIN_LEFT}" y="{top + 20}" font-weight="bold">{escape(title + unit)}</text>']
    for mark in decades(x_axis.low, x_axis.high):
        x = x_axis.place(mark)
        out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + MARGIN_TOP}" y2="{y_end}" stroke="#ddd"/>')
        out.append(f'<text x="{x:.1f}" y="{y_end + 16}" text-anchor="middle">{label(mark)}</text>')
    for mark in decades(y_axis.low, y_axis.high):
        y = y_axis.place(mark)
        out.append(f'<line x1="{left + MARGIN_LEFT}" x2="{x_end}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{left + MARGIN_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label(mark)}</text>')
    out.append(f'<text x="{(left + MARGIN_LEFT + x_end) / 2:.0f}" y="{y_end + 32}" '
               f'text-anchor="middle">entries</text>')
    for store, line in stores.items():
        out += draw_line(line, x_axis, y_axis, order.index(store))
    return out


def draw_legend(order, top):
    out = []
    for number, store in enumerate(order):
        colour, dash = style_of(number)
        x, y = MARGIN_LEFT + number % 7 * 112, top + number // 7 * LEGEND_ROW
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        out.append(f'<line x1="{x}" x2="{x + 22}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" stroke-width="2"{dashes}/>')
        out.append(f'<text x="{x + 28}" y="{y}">{escape(store)}</text>')
    return out


def draw(reports):
    panels = collect(reports)
    order = list(dict.fromkeys(store for stores in panels.values() for store in stores))
    legend_height = (len(order) + 6) // 7 * LEGEND_ROW
    rows = (len(panels) + COLUMNS - 1) // COLUMNS
    width = PANEL_WIDTH * min(COLUMNS, len(panels))
    height = HEAD_HEIGHT + legend_height + rows * PANEL_HEIGHT
    first = reports[0]
    head = f"kvbench {first['commit']}, {first['machine']}, {first['compiler']}"
    sizes = "keys of {}-{}, values of {}-{} bytes, {} runs: median, with minimum and maximum".format(
        *first["key_size"], *first["value_size"], first["runs"])
    warning = " WARNING: " + first["warning"] if first["warning"] else ""
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
           f'<rect width="{width}" height="{height}" fill="#fff"/>',
           f'<text x="{MARGIN_LEFT}" y="20" font-weight="bold">{escape(head)}</text>',
           f'<text x="{MARGIN_LEFT}" y="36">{escape(sizes + warning)}</text>']
    out += draw_legend(order, HEAD_HEIGHT)
    for number, (title, stores) in enumerate(panels.items()):
        left = number % COLUMNS * PANEL_WIDTH
        top = HEAD_HEIGHT + legend_height + number // COLUMNS * PANEL_HEIGHT
        out += draw_panel(title, stores, order, left, top)
    return "\n".join([*out, "</svg>", ""])


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
        if not report["results"]:
            sys.exit(f"plot_bench: {path} has no results")
        return report
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"plot_bench: {path} is not what kvbench --json prints: {error}")


def main():
    parser = argparse.ArgumentParser(description="Draws the JSON of kvbench, a file for each number of entries.")
    parser.add_argument("files", nargs="+", help="what kvbench --json printed")
    parser.add_argument("--output", required=True, help="the SVG file to write")
    options = parser.parse_args()
    picture = draw([read(path) for path in options.files])
    with open(options.output, "w", encoding="utf-8") as file:
        file.write(picture)


if __name__ == "__main__":
    main()
