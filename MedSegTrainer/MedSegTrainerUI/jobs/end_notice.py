"""A notification of the desktop and a sound when a training ends: both by choice, and off at first."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from MedSegTrainerUI.shared.messages import allow
from MedSegTrainerUI.slicer_types import Ui, Widget

NOTIFY, SOUND = "MedSegTrainer/NotifyAtEnd", "MedSegTrainer/SoundAtEnd"
SHOWN_MILLISECONDS = 15_000  # an icon in the tray, without which some desktops show no message


class Desktop:
    """icon: the path of the picture beside a message."""

    def __init__(self, icon: str) -> None:
        self._icon = icon
        self._tray: Widget = None

    def can_notify(self) -> bool:
        return bool(qt.QSystemTrayIcon.isSystemTrayAvailable() and qt.QSystemTrayIcon.supportsMessages())

    def notify(self, title: str, text: str) -> None:
        if self._tray is None:
            self._tray = qt.QSystemTrayIcon(qt.QIcon(self._icon))
        self._tray.show()
        self._tray.showMessage(title, text)
        qt.QTimer.singleShot(SHOWN_MILLISECONDS, self.hide)

    def beep(self) -> None:
        slicer.app.beep()

    def hide(self) -> None:
        if self._tray is not None:
            self._tray.hide()


class EndNotice:
    """The two check boxes in ``ui``, the widgets of MedSegTrainer.ui."""

    def __init__(self, ui: Ui, desktop: Desktop) -> None:
        self._ui, self._desktop = ui, desktop
        for box, setting in ((ui.notifyCheckBox, NOTIFY), (ui.soundCheckBox, SOUND)):
            box.checked = slicer.util.settingsValue(setting, False, converter=slicer.util.toBool)
            box.connect("clicked(bool)", lambda wanted, setting=setting: qt.QSettings().setValue(setting, wanted))
        reason = "" if desktop.can_notify() else _("This desktop shows no notifications of programs.")
        allow(ui.notifyCheckBox, reason, _("Shows a notification of the desktop, whatever program you work in."))

    def tell(self, title: str, text: str) -> None:
        if self._ui.notifyCheckBox.checked and self._desktop.can_notify():
            self._desktop.notify(title, text)
        if self._ui.soundCheckBox.checked:
            self._desktop.beep()

    def cleanup(self) -> None:
        self._desktop.hide()
