"""Writes test/fixtures/tensorboard/events.json: records of event files by TensorBoard's own writer.

Run from the project root: python parity/event_files.py
"""

import io
import json
import platform
from pathlib import Path

import tensorboard.version
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "tensorboard" / "events.json"


class Buffer(io.BytesIO):
    def close(self):
        pass


def record(event):
    buffer = Buffer()
    RecordWriter(buffer).write(event.SerializeToString())
    return buffer.getvalue().hex()


def scalars(wall_time, step, values):
    summary = summary_pb2.Summary(
        value=[summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    )
    event = event_pb2.Event(wall_time=wall_time, step=step, summary=summary)
    return {"wallTime": wall_time, "step": step, "values": values, "record": record(event)}


def main():
    time = 1764000000.25
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    text = {
        "versions": {"python": platform.python_version(), "tensorboard": tensorboard.version.VERSION},
        "version": {"wallTime": time, "record": record(event_pb2.Event(wall_time=time, file_version="brain.Event:2"))},
        "restart": {
            "wallTime": time + 7,
            "step": 301,
            "record": record(event_pb2.Event(wall_time=time + 7, step=301, session_log=start)),
        },
        "scalars": [
            scalars(time, 0, {"eval/loss": 6.5}),
            scalars(time + 1, 1, {"train/loss": 2.25, "train/grad_norm": 0.1, "train/learning_rate": 2e-5}),
            scalars(time + 2, 300, {"train/loss/craft_sft": -1.5, "train/Verlust é": 0.0}),
            scalars(time + 3, 2**40 + 1, {f"train/metric_{i}": i / 7 for i in range(40)}),
        ],
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(text) + "\n")


main()
