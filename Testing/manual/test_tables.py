"""Tables of the manual that say by hand what the code says: each row against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_pages import PAGES, Page

from MedSegTrainerLib.config.architectures import ARCHITECTURES
from MedSegTrainerLib.config.loss_terms import LOSS_TERMS
from MedSegTrainerLib.events import EVENT_KINDS
from MedSegTrainerLib.guide import tables as presets
from MedSegTrainerLib.guide.advisor import FINDINGS
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.kinds import JOB_KINDS
from MedSegTrainerLib.metrics.metrics import METRICS, metric_key
from MedSegTrainerLib.workflow.nodes import NODE_TYPES, keys_of


def page(name: str) -> Page:
    return next(page for page in PAGES if page.path.name == name)


def table(name: str, first: str) -> list[list[str]]:
    """The rows, without heading, of the table whose heading begins so."""
    lines = page(name).prose.partition(f"| {first} |")[2].partition("\n\n")[0].splitlines()[2:]
    assert lines, first
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def codes(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_networks() -> None:
    rows = {codes(row[0])[-1]: row for row in table("NETWORK_ARCHITECTURES.md", "`--model`")}
    assert rows.keys() == ARCHITECTURES.keys()
    for name, known in ARCHITECTURES.items():
        _, axes, settings, patch = rows[name]
        assert axes == ", ".join(f"{dims}D" for dims in known.dims)
        wanted = [
            f"{key}={f'{value:g}' if isinstance(value, float) else value}" for key, value in known.settings.items()
        ]
        assert [code.replace(",", ", ") for code in codes(settings)] == wanted, name
        assert (patch == "any") if known.divisor is None else re.search(rf"multiples? of {known.divisor}\b", patch)
        assert ("and no other" in patch) == known.is_fixed and ("`img_size`" in patch) == known.has_img_size


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (1, ["PlannedUNet", "PlainConvUNet", "ResEncUNet"]), (2, ["UNet2D", "UNet3D", "VNet", "SegResNet"]),
        (3, ["DeepLabV3Plus"]), (4, ["TransUNet", "UNETR", "SwinUNETR"]),
    ],
)  # fmt: skip
def test_what_is_taken_where_nothing_is_set(column: int, names: list[str]) -> None:
    rows = {
        row[0].partition(" (")[0]: row[column]
        for row in table("TRAINING.md", "| planned U-Net (`auto`), PlainConvUNet, ResEncUNet")
    }
    for name in names:
        kind, of_many = (presets.choose_optimizer(name, cases)[0] for cases in (10, 501))
        assert rows["optimizer"] == (kind if of_many == kind else f"{kind}; {of_many} above 500 cases")
        assert float(rows["learning rate"]) == presets.choose_rate(name, kind)[0]
        assert rows["schedule"] == presets.choose_schedule(name, kind)[0]
        assert float(rows["gradient clip"]) == presets.choose_clip(name)[0]
        assert float(rows["average of the weights"]) == presets.choose_average(name)[0]
        few, many = presets.choose_warmup(name, 60)[0], presets.choose_warmup(name, 10_000)[0]
        shares = {"a twentieth": 3, "a fifteenth": 4, "none": 0}
        share, _, most = rows["warm-up"].partition(", at most ")
        assert few == shares[share] and many == float(most.partition(" ")[0] or 0)


def test_advice() -> None:
    assert [row[0] for row in table("TRAINING.md", "finding")] == list(FINDINGS.values())


def test_nodes() -> None:
    rows = {codes(row[0])[0]: row for row in table("TRAINING.md", "node")}
    assert rows.keys() <= NODE_TYPES.keys()
    assert {NODE_TYPES[name].section for name in rows} == {node.section for node in NODE_TYPES.values()}
    for name, (_, holds, inputs, outputs) in rows.items():
        node = NODE_TYPES[name]
        assert codes(inputs) == [port.names[0] for port in node.inputs], name
        assert codes(outputs) == [port.names[0] for port in node.outputs], name
        assert "](SETTINGS.md#" in holds or set(keys_of(node.section)) - {"checkpoint"} == set(codes(holds)), name


def test_metrics() -> None:
    names = [code for row in table("TESTING_VISUALIZATION.md", "metric (names)") for code in codes(row[0])]
    keys = {metric_key(name) for name in names if not name.startswith("--")}
    assert keys | {"specificity", "accuracy"} == set(METRICS)


def test_losses() -> None:
    [row] = re.findall(r"^\| loss \| `loss_type` (.+?);", page("TRAINING.md").prose, re.MULTILINE)
    assert sorted(re.split(r", | or ", row)) == sorted([*LOSS_TERMS, "combined"])


def test_kinds_of_jobs() -> None:
    assert {codes(row[0])[0] for row in table("JOB_FOLDER.md", "kind | what lies where")} == set(JOB_KINDS)


def test_events() -> None:
    kinds = [code for row in table("JOB_FOLDER.md", "kind | when") for code in codes(row[0])]
    assert sorted(kinds) == sorted(EVENT_KINDS)


def test_files_of_a_job() -> None:
    block = page("JOB_FOLDER.md").blocks("")[0].text
    listed = re.findall(r"^  ([\w.]+)/? ", block, re.MULTILINE)
    folder = JobFolder(Path("JOB"))
    names = [name for name, item in vars(JobFolder).items() if isinstance(item, property)]
    paths = {getattr(folder, name).relative_to("JOB").parts[0] for name in names} - {"folds"}
    assert paths <= set(listed) and set(listed) - paths == {"data"}
