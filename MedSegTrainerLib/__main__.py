"""``python -m MedSegTrainerLib`` is the ``medsegtrainer`` command."""

from MedSegTrainerLib.cli.main import main

if __name__ == "__main__":  # worker processes import this file again when they are spawned
    main()
