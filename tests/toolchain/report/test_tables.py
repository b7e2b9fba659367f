"""CSV beside JSON: the same numbers, with a unit in every column."""

from __future__ import annotations

import csv
import io

import pytest

from sanp.report.tables import LAYERS, SAMPLES, VARIANTS, tables


def rows(content):
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def test_the_numbers_are_those_of_the_json(results):
    profile = results["profile"]
    found = {name: rows(content) for name, content in tables(profile).items()}
    variants = {row["variant"]: row for row in found[VARIANTS]}
    assert list(variants) == list(profile["variants"])
    for name, row in profile["variants"].items():
        assert float(variants[name]["typical_ms"]) == row["typical_ms"]
        assert float(variants[name]["p50_ms"]) == row["latency"]["p50"] and variants[name]["p99_ms"] == ""
        assert int(variants[name]["count"]) == row["latency"]["count"]
    assert [row["name"] for row in found[LAYERS]] == [row["name"] for row in profile["layers"]]
    lost = {row["layer"]: row for row in profile["gap"]["layers"]}
    for mine, row in zip(found[LAYERS], profile["layers"], strict=True):
        assert (int(mine["channels_in"]), int(mine["channels_out"])) == tuple(row["channels"])
        assert float(mine["macs_gated"]) == row["macs_gated"]
        expected = lost.get(row["name"])
        assert mine["lost_ms"] == ("" if expected is None else str(expected["lost_ms"]))
    assert [float(row["gated_ms"]) for row in found[SAMPLES]] == [row["gated_ms"] for row in profile["samples"]]


def test_every_row_has_every_column_and_every_time_its_unit(results):
    for name, content in tables(results["profile"]).items():
        table = rows(content)
        assert table and all(None not in row and None not in row.values() for row in table), name
    times = [
        key for content in tables(results["profile"]).values() for key in rows(content)[0] if "ms" in key.split("_")
    ]
    assert len(times) > 10 and all(key.endswith("_ms") for key in times)


@pytest.mark.parametrize("name", ["a,b", 'quo"te', "line\nbreak"])
def test_names_are_quoted(results, name):
    results["profile"]["layers"][0]["name"] = name
    assert rows(tables(results["profile"])[LAYERS])[0]["name"] == name


def test_a_network_without_gates_has_empty_cells(results):
    results["profile"]["gap"] = None
    assert {row["lost_ms"] for row in rows(tables(results["profile"])[LAYERS])} == {""}
