"""docs/performance.md's measured part, and its plot."""

import os
import statistics

BEGIN, END = "<!-- bench/cost.py writes from here -->", "<!-- to here -->"


def write(folder, heading, rows, calls):
    """Puts the table between the two marks of performance.md, and the ratios into performance.svg."""
    path = os.path.join(folder, "performance.md")
    with open(path) as file:
        text = file.read()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    table = ["| | unit | mirage-sshfs | sshd | ratio | wanted |", "|---|---|---|---|---|---|"]
    for name, unit, ours, theirs, bound in rows:
        one, two = statistics.median(ours), statistics.median(theirs)
        spread = lambda values: f"{number(min(values))}–{number(max(values))}"
        wanted = "" if bound is None else f"≤ {bound:.2f}"
        table.append(f"| {name} | {unit} | {number(one)} ({spread(ours)}) | {number(two)} ({spread(theirs)}) | "
                     f"{one / two:.2f} | {wanted} |")
    table += [f"| {name} | | {count:.1f} | | | |" for name, count in calls]
    body = "\n".join(["", "", *(f"    {words}" for words in heading.splitlines()), "", *table, "", ""])
    with open(path, "w") as file:
        file.write(before + BEGIN + body + END + after)
    with open(os.path.join(folder, "performance.svg"), "w") as file:
        file.write(bars([(name, statistics.median(ours) / statistics.median(theirs), bound)
                         for name, _, ours, theirs, bound in rows]))


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def bars(ratios):
    """A bar for each ratio to sshd, which is the line at 1, and a mark where it should be."""
    left, right, step, top = 330, 700, 24, 40
    most = max([1.5, *(ratio for _, ratio, _ in ratios)])
    at = lambda ratio: left + (right - left) * ratio / most
    height = top + step * len(ratios) + 20
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="760" height="{height}" fill="white"/>',
             f'<text x="{left}" y="20">mirage-sshfs, where sshd is 1; less is better</text>']
    for row, (name, ratio, bound) in enumerate(ratios):
        y = top + row * step
        met = bound is None or ratio <= bound
        parts.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{name}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{at(ratio) - left:.0f}" height="16" fill="{"#4a7" if met else "#c83"}"/>')
        parts.append(f'<text x="{at(ratio) + 5:.0f}" y="{y + 13}">{ratio:.2f}</text>')
        if bound is not None:
            parts.append(f'<path d="M{at(bound):.0f} {y - 2}v20" stroke="black" stroke-width="2"/>')
    parts.append(f'<path d="M{at(1):.0f} {top - 8}V{height - 12}" stroke="#777" stroke-dasharray="4 3"/>')
    return "\n".join([*parts, "</svg>", ""])
