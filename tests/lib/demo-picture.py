#!/usr/bin/env python3
"""Draws the picture of the demo that README.md shows, from the output of a real run:

    tests/demo.sh | python3 tests/lib/demo-picture.py tests/demo.svg

Shows the sections between the set-up and the hints at the end. Of a table that was printed again when it changed, only the last
version is drawn. Writes nothing and ends with status 1 if the run did not succeed.
"""

import re
import sys
from xml.sax.saxutils import escape

SKIPPED = ("The site's database, and the extension", "Look around")
# Without its table, which repeats the lines above it.
LINES_ONLY = ("Bookings paid one by one",)
COLUMN, LINE, MARGIN, BAR = 7.83, 18, 18, 34
STYLE = """
    text { font: 13px ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #c9d1d9; white-space: pre; }
    .heading { fill: #79c0ff; font-weight: bold; }
    .good { fill: #7ee787; }
    .bad { fill: #ff7b72; }
    .open { fill: #e3b341; }
    .frame { fill: #6e7681; }
"""
WORDS = {"synced": "good", "ok": "good", "adopted": "good", "failed": "bad", "unknown_listing": "bad",
         "pending": "open", "unknown_outcome": "open"}


def sections(output):
    """The output as a list of (heading, lines)."""
    found = []
    for line in output.splitlines():
        heading = re.fullmatch(r"== (.*) ==", line)
        if heading:
            found.append((heading[1], []))
        elif found:
            found[-1][1].append(line.rstrip())
    return found


def blocks(lines):
    """Lines as text and whole tables, in order; a table begins and ends with a border and has a third one below its head."""
    found, borders = [], 0
    for line in lines:
        border = line.startswith("+-")
        if border and borders == 0:
            found.append(("table", []))
        elif not border and borders == 0 and (not found or found[-1][0] == "table"):
            found.append(("text", []))
        found[-1][1].append(line)
        borders = (borders + border) % 3
    return found


def chosen(heading, lines):
    """The lines of a section that are drawn."""
    parts = blocks(lines)
    kept = []
    for number, (kind, part) in enumerate(parts):
        replaced = number + 1 < len(parts) and parts[number + 1][0] == "table"
        if kind == "text":
            kept += part
        elif not (replaced or heading in LINES_ONLY):
            kept += framed(part)
    while kept and not kept[0]:
        kept.pop(0)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def framed(table):
    """The lines of a table, with the frame drawn and without psql's marks of a cell that goes on in the next line."""
    corners = iter(("┌┬┐", "├┼┤", "└┴┘"))
    for line in table:
        if line.startswith("+-"):
            left, middle, right = next(corners)
            yield left + line[1:-1].replace("+", middle).replace("-", "─") + right
        else:
            yield re.sub(r"\.\|(?=\.| |$)", " │", line).replace("|.", "│ ").replace("│.", "│ ").replace("|", "│")


def spans(line):
    """A line in colours."""
    parts = re.split(r"([│┌┬┐├┼┤└┴┘─]+|\b(?:" + "|".join(WORDS) + r")\b)", line)
    marked = ""
    for part in parts:
        style = "frame" if part and part[0] in "│┌┬┐├┼┤└┴┘─" else WORDS.get(part)
        marked += f'<tspan class="{style}">{escape(part)}</tspan>' if style else escape(part)
    return marked


def draw(shown):
    """The picture of these sections."""
    lines = []
    for heading, part in shown:
        lines += ([("", "")] if lines else []) + [("heading", heading), ("", "")]
        lines += [("", line) for line in part]
    columns = max(len(line) for _, line in lines)
    width, height = round(columns * COLUMN + 2 * MARGIN), BAR + len(lines) * LINE + 2 * MARGIN
    picture = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        "<title>Output of tests/demo.sh</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
        f'<path d="M0 {BAR}V8a8 8 0 0 1 8-8H{width - 8}a8 8 0 0 1 8 8V{BAR}z" fill="#21262d"/>',
        *(f'<circle cx="{20 + 20 * n}" cy="{BAR // 2}" r="6" fill="{fill}"/>'
          for n, fill in enumerate(("#ff5f56", "#ffbd2e", "#27c93f"))),
        f'<text x="{width // 2}" y="{BAR // 2 + 5}" text-anchor="middle">tests/demo.sh</text>',
    ]
    for number, (style, line) in enumerate(lines):
        if line:
            y = BAR + MARGIN + number * LINE + 13
            # The length keeps columns straight, whatever font there is.
            length = f'textLength="{len(line) * COLUMN:.1f}"'
            picture.append(f'<text class="{style}" x="{MARGIN}" y="{y}" {length} xml:space="preserve">{spans(line)}</text>'
                           .replace(' class=""', ""))
    return "\n".join(picture + ["</svg>", ""])


def main():
    output = sys.stdin.read()
    if "everything came out right" not in output:
        sys.exit("the demo did not succeed: no picture is drawn")
    shown = [(heading, chosen(heading, lines)) for heading, lines in sections(output) if heading not in SKIPPED]
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(draw(shown))


if __name__ == "__main__":
    main()
