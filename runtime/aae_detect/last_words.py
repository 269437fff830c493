"""What is said when a run ends, and the code that it ends with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from aae_detect.detection import Verdict
from aae_detect.loop import Stream
from aae_detect.summary import Summary


def exit_code(summaries: Sequence[Summary]) -> int:
    """Return the code of all streams added up: it must not depend on how the same frames were shared out."""
    whole = Summary(
        verdicts=sum((summary.verdicts for summary in summaries), Counter[Verdict]()),
        unreadable=sum(summary.unreadable for summary in summaries),
        failure=next((summary.failure for summary in summaries if summary.failure is not None), None),
    )
    return whole.exit_code


def last_words(streams: Sequence[Stream], summaries: Sequence[Summary]) -> Iterator[str]:
    """Say what happened, stream by stream."""
    for stream, summary in zip(streams, summaries, strict=True):
        name = f"{stream.source.name}: " if len(streams) > 1 else ""
        yield from (f"{name}{line}" for line in _of_stream(stream, summary))


def _of_stream(stream: Stream, summary: Summary) -> Iterator[str]:
    counts = ", ".join(f"{summary.verdicts[verdict]} {verdict}" for verdict in Verdict)
    rate = summary.frames / summary.seconds if summary.seconds else 0.0
    yield f"{summary.frames} frames in {summary.seconds:.1f} s ({rate:.0f} per second): {counts}"
    if summary.total_ms:
        yield f"time per verdict: {_percentiles(summary.total_ms)}"
    if summary.age_ms and stream.source.live:
        yield f"age of a frame at its verdict: {_percentiles(summary.age_ms)}"
    if summary.dropped:
        faster = "" if stream.most_fps is None else f", or faster than the {stream.most_fps:g} per second asked for"
        were = "frame was dropped: it" if summary.dropped == 1 else "frames were dropped: they"
        yield f"{summary.dropped} {were} came while others were judged{faster}"
    if summary.outages:
        yield f"the camera was lost {summary.outages} time{'' if summary.outages == 1 else 's'}"
    for output in stream.outputs:
        if output.dropped:
            were = "frame was" if output.dropped == 1 else "frames were"
            yield f"{output.dropped} {were} too many for {getattr(output, 'name', type(output).__name__)}"


def _percentiles(values_ms: Sequence[float]) -> str:
    p50, p95 = np.percentile(values_ms, (50, 95))
    return f"{p50:.1f} ms median, {p95:.1f} ms at the 95th percentile"
