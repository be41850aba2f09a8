"""A stand-in for the 3D Slicer application, over slicer-core (real MRML) and PySide6 (real Qt).

Module code meets here what it meets in Slicer: ``slicer.mrmlScene``, ``slicer.modules``, ``slicer.app``,
``qt`` and ``ctk`` as PythonQt shows them, qMRML widgets, ``.ui`` files and scripted modules. Where PythonQt is
strict, so is this; what PythonQt only prints is collected in ``failures`` so that a test can fail for it.

Nothing here runs in Slicer itself: ``Testing/module/conftest.py`` uses it only where ``slicer.app`` is absent.
"""
