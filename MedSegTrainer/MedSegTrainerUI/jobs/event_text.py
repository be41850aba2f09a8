"""A job in words: its events as lines of the log, its state, its progress and its plan as sentences."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from slicer.i18n import tr as _

from MedSegTrainerLib.job_logging import is_log_line
from MedSegTrainerUI.jobs.job_list import has_no_end
from MedSegTrainerUI.jobs.job_monitor import Event, JobWatch

CLASSES_ON_A_LINE = 6
CLASSES_IN_A_LEGEND = 20
SECONDS_IN_DAY = 86400
NETWORKS = {
    "PlannedUNet": "U-Net",
    "PlainConvUNet": "nnU-Net's U-Net",
    "ResEncUNet": "nnU-Net's residual U-Net",
    "UNet2D": "U-Net",
    "UNet3D": "U-Net",
    "DeepLabV3Plus": "DeepLabV3+",
    "SwinUNETR": "Swin UNETR",
}


def event_line(event: Event) -> str:
    """A line of the log; '' for what is not worth one."""
    try:
        message = _event_text(event)
    except (KeyError, TypeError):  # of another version
        message = ""
    return f"{time.strftime('%H:%M:%S', time.localtime(event.get('time', 0)))}  {message}" if message else ""


def _event_text(event: Event) -> str:
    kind = event["kind"]
    if kind == "stage":
        return f"{event['message']} ..."
    if kind == "planned":
        return plan_sentence(event["choices"])
    if kind == "validated":
        dice = dice_text(event["mean_dice"], event["dice"])
        if event["epoch"] == 0:
            return _("the model as it came: Dice {dice}").format(dice=dice)
        return _("epoch {epoch}: Dice {dice}").format(epoch=event["epoch"], dice=dice)
    if kind == "resumed":
        return _("goes on after epoch {epoch}").format(epoch=event["epoch"])
    if kind == "found":
        where = f"{event['case']}: " if event["case"] else ""
        return f"{event['severity']}: {where}{event['message']} {event['remedy']}"
    if kind == "case":
        return f"{event['name']}: {event['error'] or event['output']}"
    if kind == "compared":
        return compared_text(event)
    if kind in ("warned", "advised", "recovered", "finished", "stopped", "failed"):
        return str(event["message"])
    return ""


def dice_text(mean: float | None, dice: Mapping[str, float | None]) -> str:
    """``0.87 (liver 0.94, tumor 0.80)``; one class needs no brackets."""
    if mean is None:
        return "-"
    known = [f"{name} {value:.2f}" for name, value in dice.items() if value is not None]
    more = ", ..." if len(known) > CLASSES_ON_A_LINE else ""
    return f"{mean:.2f}" if len(dice) < 2 else f"{mean:.2f} ({', '.join(known[:CLASSES_ON_A_LINE])}{more})"


def class_legend(
    classes: Sequence[Mapping[str, Any]], mean: float | None, dice: Mapping[str, float | None], ink: str
) -> str:
    """The newest Dice of each class after a mark in its colour, as rich text: the legend of the chart below it.

    ink: the colour of texts, for the mark of the mean.
    """
    entries = [(item["name"], "#{:02x}{:02x}{:02x}".format(*item["color"]), dice.get(item["name"])) for item in classes]
    if len(entries) != 1:
        entries.append((_("mean"), ink, mean))
    marks = [
        f"<span style='color:{color}'>&#9632;</span>&nbsp;{escape(name).replace(' ', '&nbsp;')}"
        + (f"&nbsp;{value:.2f}" if value is not None else "")
        for name, color, value in entries[-CLASSES_IN_A_LEGEND:]
    ]
    return f"<b>{_('Dice')}</b>&nbsp; {' &nbsp;'.join(marks)}"


def time_text(seconds: float) -> str:
    """Roughly, as people say it: less than a minute, 8 min, 2 h 10 min."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return _("less than a minute")
    if minutes < 60:
        return _("{minutes} min").format(minutes=minutes)
    return _("{hours} h {minutes:02d} min").format(hours=minutes // 60, minutes=minutes % 60)


def when_text(seconds: float) -> str:
    """``today 14:02``, ``Tue 09:30`` or ``2026-01-30`` for seconds since 1970."""
    then, now = time.localtime(seconds), time.localtime()
    if then[:3] == now[:3]:
        return _("today {clock}").format(clock=time.strftime("%H:%M", then))
    recent = 0 <= time.time() - seconds < 6 * SECONDS_IN_DAY
    return time.strftime("%a %H:%M" if recent else "%Y-%m-%d", then)


def size_text(count: int) -> str:
    """``3 MB`` or ``1.2 GB`` of bytes."""
    return _("{size:.1f} GB").format(size=count / 1e9) if count >= 1e9 else _("{size:.0f} MB").format(size=count / 1e6)


def state_word(state: str) -> str:
    words = {
        "created": _("not started"),
        "starting": _("starting"),
        "running": _("running"),
        "finished": _("done"),
        "stopped": _("stopped"),
        "failed": _("failed"),
        "died": _("broken off"),
    }
    return words.get(state, state)


def start_text(watch: JobWatch, name: str) -> str:
    """The model ``name`` that the training started from, its mean Dice as it came, and that of the best since."""
    first = watch.validations[0] if watch.validations else {}
    came = first.get("mean_dice") if first.get("epoch") == 0 else None
    if came is None:
        return _("started from {name}").format(name=name)
    best, _dice = watch.best_dice()
    now = came if best is None else best
    return _("started from {name}: {before:.2f} -> {now:.2f}").format(name=name, before=came, now=now)


def compared_text(event: Event | None) -> str:
    """``On the same held-out cases: 0.84, was 0.81; spleen 0.70, was 0.58``; '' where nothing was compared.

    Of several classes those come first that have changed most.
    """
    try:
        start, best = (event or {})["start"], (event or {})["best"]
        pairs = [(name, start["dice"].get(name), now) for name, now in best["dice"].items() if now is not None]
        pairs.sort(key=lambda pair: -abs(pair[2] - (pair[1] or 0.0)))
        texts = [_changed_text(start["val_dice"], best["val_dice"])]
        texts += [f"{name} {_changed_text(was, now)}" for name, was, now in pairs if len(best["dice"]) > 1]
    except (KeyError, TypeError, AttributeError, ValueError):
        return ""
    more = ", ..." if len(texts) > CLASSES_ON_A_LINE + 1 else ""
    figures = "; ".join(texts[: CLASSES_ON_A_LINE + 1]) + more
    return _("Dice on the same held-out cases: {figures}").format(figures=figures)


def _changed_text(before: float | None, now: float) -> str:
    return f"{now:.2f}" if before is None else _("{now:.2f}, was {before:.2f}").format(now=now, before=before)


def progress_text(watch: JobWatch) -> str:
    """What the job is doing, how far it is, and how long it will take."""
    if watch.state == "starting":
        return _("Starting: PyTorch is being loaded ...")
    if watch.working and watch.stage["name"] == "train":
        words = [_("epoch {epoch}").format(epoch=watch.epochs[-1]["epoch"]) if watch.epochs else _("first epoch")]
        eta = watch.eta_seconds
        if has_no_end(watch.document):
            words.append(_("until you stop it"))
        elif eta is not None:
            words.append(_("{time} left").format(time=time_text(eta)))
        return ", ".join(words)
    if watch.working:
        return f"{watch.stage['message'] or _('Working')} ..."
    epoch = watch.epochs[-1]["epoch"] if watch.epochs else watch.status.epoch
    after = _(", after {epoch} epochs").format(epoch=epoch) if epoch else ""
    return f"{state_word(watch.state).capitalize()}{after}"


def ending(watch: JobWatch) -> tuple[str, str]:
    """What the user should know of a job that does not work any more: text and severity; '' where there is nothing."""
    state = watch.state
    if state == "died" and watch.status.state == "created":
        ended_text = _("{name} could not be started. Last words: {words}")
        return ended_text.format(name=watch.name, words=last_printed(watch)), "error"
    if state == "died":
        ended_text = _("{name} broke off without a word: perhaps the computer was switched off, or memory ran out.")
        kept = watch.folder.checkpoint_file.exists()
        further = _("What it had learned is kept: press Resume.") if kept else _("Press Resume to start it again.")
        return f"{ended_text.format(name=watch.name)} {further}", "warning"
    if state == "created":
        return _("{name} was prepared and never started. Press Resume to start it.").format(name=watch.name), "note"
    if state == "failed":
        return str((watch.outcome or {}).get("message") or watch.status.message), "error"
    return "", "note"


def last_printed(watch: JobWatch) -> str:
    """The last line that the process printed, and not logged, into ``log.txt``."""
    lines = [line for line in log_tail(watch, 4000).splitlines() if line.strip() and not is_log_line(line)]
    return lines[-1].strip() if lines else _("none")


def log_tail(watch: JobWatch, size: int) -> str:
    """The last bytes of ``log.txt`` from the beginning of a line."""
    try:
        with watch.folder.log_file.open("rb") as stream:
            end = stream.seek(0, 2)
            stream.seek(max(0, end - size))
            text = stream.read(size).decode("utf-8", errors="replace")
    except OSError:
        return ""
    return text if end <= size else text.partition("\n")[2]


def plan_sentence(choices: Mapping[str, Mapping[str, Any]], weights: int | None = None) -> str:
    """``A 3D U-Net (1.4 M weights) at 1.5 mm on NVIDIA RTX 4070. 2 of 3 cases train, 1 validates.``"""

    def value(name: str) -> Any:
        return choices.get(name, {}).get("value", "")

    network = NETWORKS.get(str(value("network")), str(value("network")))
    count = _(" ({millions:.1f} M weights)").format(millions=weights / 1e6) if weights else ""
    spacing = value("spacing")
    sizes = [f"{part:.2g}" for part in reversed(spacing)] if isinstance(spacing, list) else []
    size = sizes[0] if len(set(sizes)) == 1 else " x ".join(sizes)
    at = _(" at {size} mm").format(size=size) if sizes else ""
    split = str(value("split")).partition(";")[0]
    return _("A {dims} {network}{count}{at} on {device}.").format(
        dims=value("dims"), network=network, count=count, at=at, device=value("device")
    ) + (f" {split[:1].upper()}{split[1:]}." if split else "")


def reasons_table(choices: Mapping[str, Mapping[str, Any]]) -> str:
    """All choices with their reasons, as rich text."""
    rows = []
    for name, choice in choices.items():
        value = choice.get("value")
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        reason = str(choice.get("reason") or "")
        label = escape(name.replace("_", " "))
        rows.append(
            f"<tr><td><b>{label}</b></td><td>{escape(text)}{'<br>' if reason else ''}<i>{escape(reason)}</i></td></tr>"
        )
    return f"<table cellspacing='0' cellpadding='3'>{''.join(rows)}</table>"
