"""A JUnit report: a suite for each file, and a failed test for each finding in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from cachedsl.checking.check import Checked
from cachedsl.checking.report import Format, Report

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report) -> Iterator[str]:
    """Yield the XML. Warnings are passed tests that say so in their output."""
    root = ElementTree.Element("testsuites", name="cachedsl check")
    for one in report.checked:
        if one.kind != "stranger" or one.findings:
            root.append(_suite(one))
    ElementTree.indent(root)
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield ElementTree.tostring(root, encoding="unicode")


def _suite(one: Checked) -> ElementTree.Element:
    errors = sum(found.severity == "error" for found in one.findings)
    tests = max(len(one.findings), 1)
    name = _text(one.file)
    suite = ElementTree.Element(
        "testsuite", name=name, tests=str(tests), failures=str(errors), errors="0", skipped="0", time="0"
    )
    if not one.findings:
        ElementTree.SubElement(suite, "testcase", name="cachedsl", classname=name, time="0")
    for found in one.findings:
        place = f"{found.code} ({found.span.line}:{found.span.column})"
        case = ElementTree.SubElement(suite, "testcase", name=place, classname=name, time="0")
        if found.severity == "error":
            message = _text(found.message)
            failure = ElementTree.SubElement(case, "failure", type=found.code, message=message)
            failure.text = _text(f"{found.render()}\n{found.rule.url}")
        else:
            ElementTree.SubElement(case, "system-out").text = _text(f"{found.render()}\n{found.rule.url}")
    return suite


def _text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


FORMAT = Format("junit", "a JUnit report", render)
