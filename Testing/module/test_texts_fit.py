from __future__ import annotations
from typing import Any
import fake_panel as fake, json
import numpy as np
import pytest, qt, slicer
from text_fit import cut_texts
from MedSegTrainerLib.events import Advised, EventLog
from MedSegTrainer import TRANSLATIONS

@pytest.fixture(autouse=True)
def home(scene, tmp_path):
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path))

@pytest.fixture(params=["en_US","de_DE"])
def language(request, medsegtrainer):
    slicer.app.set_language(request.param)
    slicer.app.loadTranslations(str(TRANSLATIONS))
    yield request.param
    slicer.app.set_language("en_US")

@pytest.fixture(params=[1.0,1.25,1.5])
def scale(request):
    before = slicer.app.font()
    f = qt.QFont(before)
    f.setPointSizeF(before.pointSizeF()*request.param)
    slicer.app.setFont(f)
    yield request.param
    slicer.app.setFont(before)

def test_x(language, scale, module_widget, make_job, make_model, screenshot):
    print("FONT", slicer.app.font().family(), slicer.app.font().pointSizeF())
    panel, parent = module_widget.panel, module_widget.parent
    def look(name):
        parent.setFixedWidth(380)
        for _a in range(3):
            slicer.app.processEvents()
            parent.setFixedHeight(max(parent.heightForWidth(380), parent.sizeHint.height()))
        slicer.app.processEvents()
        screenshot(parent, f"{name}-{language}-{scale}")
        print("==", name, language, scale, "min", panel.uiWidget.minimumSizeHint.width(), parent.width)
        print(*sorted(set(cut_texts(parent))), sep="\n")
    look("first")
    panel.ui.oneSectionCheckBox.click()
    for n in ("data","train","apply","evaluate","environment"): getattr(panel.ui, n+"Button").collapsed = False
    panel.ui.sampleButton.click()
    make_job("earlier", events=fake.training(9), state="finished", best=0.73)
    look("sample")
    folder = make_job("liver-tumor-spleen-kidneys", events=fake.training(9), state="running")
    EventLog(folder.events_file)(Advised(epoch=2, finding="unstable", message="The training is unstable.", remedies=[fake.RATE]))
    panel.train.job.follow(folder)
    panel.parameters.model = str(make_model())
    for b in (panel.train.job.ui.jobsButton, panel.train.job.ui.logButton, panel.train.ui.advancedButton): b.collapsed=False
    panel.apply.shown.add(panel.rows()[0].segmentation)
    panel.onTimer(); panel.refresh()
    look("full")
