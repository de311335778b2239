"""A run that is killed leaves what it had finished."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile

from napari_sam2.tracking.masklets import Masklets
from tests.tracking.toy import moving_disk

ROOT = Path(__file__).resolve().parents[1]
RUN = """
import sys, time
from pathlib import Path
from napari_sam2.batch import TrackJob, track
from tests.tracking.toy import toy_model
folder = Path(sys.argv[1])
job = TrackJob.open(folder / "stack.tif", folder / "prompts.json", folder / "out.tif", axes="TYX")
def report(done, total):
    print(done, flush=True)
    if done == 5:
        time.sleep(600)
track(job, toy_model(), report=report)
"""


def test_a_killed_run_leaves_the_frames_it_had_finished(tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", moving_disk(12), photometric="minisblack")
    prompts = [{"frame": 0, "box": [[18, 8], [42, 32]]}]
    (tmp_path / "prompts.json").write_text(
        json.dumps({"version": 1, "axis": 0, "objects": [{"id": 1, "prompts": prompts}]})
    )
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any(line.strip() == "5" for line in lines)
        process.kill()
    assert not (tmp_path / "out.tif").exists()
    (store,) = tmp_path.glob("*.zarr")
    left = np.asarray(Masklets.open(store))
    assert left.shape == (12, 64, 96)
    assert [bool(frame.any()) for frame in left[:5]] == [True] * 5
    assert not left[5:].any()
