"""Reads a mail's HTML part as XML, which it must be, and prints what stands on it. Run by src/mail_parsing.rs.

In: the page. Out: a JSON object with the page's text by place, and every element and attribute that occurs. A page that is
not well-formed ends with an error.
"""

import json
import sys
import xml.etree.ElementTree as Tree


def words(element):
    return "".join(element.itertext())


page = Tree.fromstring(sys.stdin.buffer.read().decode("utf-8"))
rows = [[words(cell) for cell in row] for row in page.iter("tr")]
found = {
    "title": words(page.find("head/title")),
    "headings": [words(heading) for heading in page.iter("h2")],
    "bookings": [words(heading) for heading in page.iter("h3")],
    "paragraphs": [words(paragraph) for paragraph in page.iter("p")],
    "commands": [words(line) for line in page.iter("code")],
    "fields": [row for row in rows if len(row) == 2],
    "rows": [row for row in rows if len(row) != 2],
    "elements": sorted({element.tag for element in page.iter()}),
    "attributes": sorted({name for element in page.iter() for name in element.attrib}),
}
json.dump(found, sys.stdout)
