"""Writes the JSON schemas of the job folder's files to ``Resources/``; to be run when a setting or an event changes."""

from __future__ import annotations

import environment


def main() -> int:
    environment.enter()
    from MedSegTrainerLib import atomic
    from MedSegTrainerLib.jobs.json_schema import schemas

    for name, schema in schemas().items():
        path = environment.ROOT / "Resources" / name
        path.parent.mkdir(exist_ok=True)
        atomic.write_json(path, schema)
        print(path.relative_to(environment.ROOT))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
