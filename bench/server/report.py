# SPDX-License-Identifier: MIT
"""What was measured, on what, as text, Markdown or plain data."""
import json
import os
import platform
import subprocess
import time

TITLES = ["work", "peers (median)", "ours: min / median / max", "of Redis", "goal", "met"]


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.split("\n")[0].strip()
    except OSError:
        return ""


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return "unknown"


def build_options(build):
    """What Meson was told: buildtype and the rest, or nothing known."""
    try:
        with open(os.path.join(build, "meson-info", "intro-buildoptions.json"), encoding="utf-8") as file:
            return {option["name"]: option["value"] for option in json.load(file)}
    except (OSError, ValueError):
        return {}


def warning(options, known):
    if options.quick:
        return "quick: too small and short for publication"
    if known.get("buildtype") != "release":
        return "not a release build"
    if known.get("b_sanitize", "none") != "none":
        return "built with a sanitizer"
    if not options.pinned:
        return "only one processor: server and load disturb each other"
    if options.load_before > 0.5:
        return "the machine is busy: only ratios mean something"
    return ""


def facts(options):
    known = build_options(options.build)
    names = ("buildtype", "optimization", "b_ndebug", "b_sanitize", "mem_pool", "hardened")
    source = os.path.dirname(os.path.abspath(__file__))
    found = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{processor()}, {os.cpu_count()} processors",
        "system": f"Linux {platform.release()}",
        "peers": "; ".join(
            line for line in (first_line(["redis-server", "--version"]), first_line(["memcached", "--version"])) if line
        ),
        "flags": " ".join(f"{name}={known[name]}" for name in names if name in known),
        "commit": first_line(["git", "-C", source, "describe", "--always", "--dirty"]) or "unknown",
        "runs": f"{options.runs} of each, servers interleaved, {options.seconds:g} s each, 50 connections",
    }
    found["load"] = f"{options.load_before:.1f} processors busy before"
    if warning(options, known):
        found["WARNING"] = warning(options, known)
    return found


def figure(value):
    size = abs(value)
    return f"{value:.2f}" if size < 10 else f"{value:.1f}" if size < 100 else f"{value:,.0f}"


def cells(result):
    ours = result["ours"]
    met = {None: "-", True: "met", False: "NOT"}[result["met"]]
    return [
        result["work"],
        ", ".join(f"{name} {figure(summary['median'])}" for name, summary in result["peers"].items()),
        " / ".join(figure(ours[key]) for key in ("min", "median", "max")) + f" {result['unit']}" if ours else "-",
        f"{result['of_redis']:.2f}" if result["of_redis"] is not None else "-",
        result["goal"],
        met,
    ]


def print_tables(options, results, markdown):
    for name, value in facts(options).items():
        print(f"{name}: {value}")
    print()
    lines = [TITLES, *map(cells, results["rows"])]
    if markdown:
        lines.insert(1, ["---"] * len(TITLES))
        for line in lines:
            print("| " + " | ".join(line) + " |")
    else:
        widths = [max(len(line[column]) for line in lines) for column in range(len(TITLES))]
        lines.insert(1, ["-" * width for width in widths])
        for line in lines:
            print(" | ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    print(f"\n{results['met']} of {results['goals']} goals met")
