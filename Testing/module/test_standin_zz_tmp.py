import numpy as np, slicer
def test_boot(module_widget, screenshot, panel, make_volume, make_segmentation):
    for n in "abc":
        v = make_volume("CT_"+n, np.random.rand(8,9,10).astype(np.float32))
        m = np.zeros((8,9,10),np.uint8); m[2:5,2:5,2:5]=1
        make_segmentation(v.GetName()+"-seg", v, {"liver":m,"tumor":m[::-1],"spleen":m[:,::-1],"k":m[:,:,::-1]})
    panel.data.ui.addAllButton.click() if hasattr(panel.data.ui,"addAllButton") else print(vars(panel.data.ui).keys())
    for k in range(6):
        slicer.app.processEvents()
    screenshot(module_widget.parent, "zz")
    t=panel.data.ui
    for n,w in vars(t).items():
        if w.isWidgetType(): print(n, w.geometry, w.minimumHeight, w.maximumHeight, w.minimumSizeHint)
    b=panel.ui.dataButton if hasattr(panel,"ui") else None
    print(panel.data.uiWidget.geometry, panel.data.uiWidget.minimumSizeHint)
    print(module_widget.parent.size, module_widget.parent.minimumSizeHint)
    assert 0
