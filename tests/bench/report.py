"""report FILE.json DIRECTORY: the tables and plots of a run of bench.py, for
DIRECTORY/performance.md and DIRECTORY/figures/. Needs matplotlib for the plots."""

import json
import pathlib
import sys

NAMES = {"kernelhost": "Kernelhost", "ipykernel": "ipykernel", "null": "does nothing"}
COLOURS = {"kernelhost": "#1f6f8b", "ipykernel": "#e08e45", "null": "#999999"}
# A plot: file, title, unit, measures with their labels; log for a logarithmic axis.
PLOTS = [
    ("execute", "One cell: request to reply and idle", "ms",
     [("execute", "1+1"), ("pass", "pass"), ("silent", "silent"), ("print", "print"),
      ("jupyter_client", "1+1 through\njupyter_client")], False),
    ("output", "Output", "ms",
     [("first_byte", "first byte\nof a print"), ("displays", "1,000\ndisplay_data"),
      ("flushed", "20,000\nflushed prints"), ("plain", "100,000\nprints"),
      ("large", "a print\nof 50 MB"), ("interrupt", "interrupt")], True),
    ("rate", "Cells a second", "cells/s",
     [("pipeline_500", "500 sent\nat once"), ("pipeline_2000", "2,000 sent\nat once"),
      ("together", "20 kernels\ntogether")], True),
    ("begin", "From nothing to the first reply", "ms",
     [("create_spare", "create from\na spare, 1+1"),
      ("create_zygote", "create from\nthe zygote, 1+1"),
      ("create_spare_pandas", "from a spare,\nimport pandas"),
      ("burst_spare", "100 at once\nfrom spares"),
      ("burst_zygote", "100 at once from\nthe zygote"), ("restart", "restart, 1+1")],
     True),
    ("memory", "Memory of a kernel", "MB",
     [("pss_idle", "PSS, idle"), ("pss_cell", "PSS,\nafter a cell"),
      ("private_idle", "private,\nidle"), ("private_cell", "private,\nafter a cell")],
     False),
]


def shown(value):
    """A number with as many digits as say something."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(figures):
    """Markdown: one row a measure, medians with p99, and how many times better."""
    lines = [
        "| measure | unit | Kernelhost | p99 | ipykernel | p99 | does nothing | "
        "against ipykernel |", "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    measures = dict.fromkeys(figure["measure"] for figure in figures)
    for name in measures:
        by = {f["kernel"]: f for f in figures if f["measure"] == name}
        any_of = next(iter(by.values()))
        rate = any_of["unit"] == "cells/s"
        cells = [any_of["text"], any_of["unit"]]
        for kernel in ("kernelhost", "ipykernel"):
            figure = by.get(kernel)
            cells.append(shown(figure["median"]) if figure else "")
            cells.append(shown(figure["p99"]) if figure and not rate else "")
        cells.append(shown(by["null"]["median"]) if "null" in by else "")
        if "kernelhost" in by and "ipykernel" in by:
            ours, theirs = by["kernelhost"]["median"], by["ipykernel"]["median"]
            ratio = ours / theirs if rate else theirs / ours
            cells.append(f"{ratio:.1f} x")
        else:
            cells.append("")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(figures, directory):
    """Bars of the medians, a tick at the p99; PNG and SVG."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "kernelhost", "font.size": 9})
    import matplotlib.pyplot as plt

    found = {(f["measure"], f["kernel"]): f for f in figures}
    directory.mkdir(parents=True, exist_ok=True)
    for name, title, unit, measures, log in PLOTS:
        measures = [m for m in measures if (m[0], "kernelhost") in found]
        if not measures:
            continue
        figure, axes = plt.subplots(figsize=(7.2, 3.4))
        kernels = [k for k in NAMES if any((m, k) in found for m, _ in measures)]
        width = 0.8 / len(kernels)
        for index, kernel in enumerate(kernels):
            at = [n + (index - (len(kernels) - 1) / 2) * width
                  for n, (m, _) in enumerate(measures) if (m, kernel) in found]
            data = [found[m, kernel] for m, _ in measures if (m, kernel) in found]
            bars = axes.bar(at, [d["median"] for d in data], width * 0.92,
                            color=COLOURS[kernel], label=NAMES[kernel])
            axes.bar_label(bars, [shown(d["median"]) for d in data], fontsize=7,
                           padding=2)
            if unit == "ms":
                axes.plot(at, [d["p99"] for d in data], "_", color="black",
                          markersize=9, label="p99" if index == 0 else None)
        axes.set_xticks(range(len(measures)), [label for _, label in measures])
        axes.set_ylabel(unit + (", logarithmic" if log else ""))
        if log:
            axes.set_yscale("log")
        axes.margins(y=0.15)
        axes.set_title(title)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
        figure.tight_layout()
        drawn = directory / f"{name}.svg"
        figure.savefig(drawn, metadata={"Date": None})
        lines = [line.rstrip() for line in drawn.read_text().splitlines()]
        drawn.write_text("\n".join(lines) + "\n")
        figure.savefig(directory / f"{name}.png", dpi=130, metadata={"Software": None})
        plt.close(figure)


def main():
    result = json.loads(pathlib.Path(sys.argv[1]).read_text())
    out = pathlib.Path(sys.argv[2])
    facts = result["machine"]
    page = out / "performance.md"
    begin, end = "<!-- figures: begin -->\n", "<!-- figures: end -->"
    text = page.read_text() if page.exists() else f"{begin}{end}\n"
    before, rest = text.split(begin)
    have = {f["measure"] for f in result["figures"]}
    pictures = "\n".join(
        f"![{title}](figures/{name}.svg)" for name, title, _, measures, _ in PLOTS
        if any(measure in have for measure, _ in measures)
    )
    where = (
        f"Measured {facts['time']}: {facts['processors']} processors "
        f"({facts['processor']}), Linux {facts['kernel']}; load {facts['load']:.1f} "
        f"before, {facts['load_after']:.1f} after the run"
        f"{', quick' if result['quick'] else ''}."
    )
    body = f"{where}\n\n{table(result['figures'])}\n\n{pictures}\n"
    page.write_text(before + begin + body + end + rest.split(end)[1])
    plot(result["figures"], out / "figures")


if __name__ == "__main__":
    main()
