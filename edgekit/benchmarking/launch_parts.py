"""Parts of a record's launch that do not come from a runner's answer. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.records import Launch, LaunchMemory, Told, Usage
from edgekit.runtimes.tool import ToolResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.agent.answers import RunResult

    Floats = NDArray[np.float64]


def tool_part(
    index: int, order: int, started_us: float, result: ToolResult, process: RunResult, raw: Floats
) -> Launch:
    """A launch of a tool that ended well: with samples its median is of these, without it is the tool's own."""
    import numpy as np

    told = result.latency
    kernel = usage_part(process) if result.own_process else Usage()
    return Launch(
        index=index,
        order=order,
        exit_code=process.exit_code,
        start_us=started_us,
        load_us=result.init_us,
        first_inference_us=result.first_inference_us,
        median_us=float(np.median(raw)) if raw.size else told.median_us,
        mean_us=float(np.mean(raw)) if raw.size else told.avg_us,
        count=int(raw.size) or told.count or 0,
        warmup_iterations=result.warmup.count if result.warmup is not None else None,
        threads=result.threads,
        actual_accelerator=result.actual_accelerator,
        fully_accelerated=result.fully_accelerated,
        sampled=bool(raw.size),
        # the kernel's number is of the whole process, as a runner's is
        memory=LaunchMemory(peak_rss_bytes=result.peak_rss_bytes or kernel.max_rss_bytes),
        usage=kernel,
        told=Told(
            latency=told,
            warmup=result.warmup,
            init_footprint_bytes=result.init_footprint_bytes,
            overall_footprint_bytes=result.overall_footprint_bytes,
        ),
    )


def usage_part(process: RunResult) -> Usage:
    """What the kernel counted for the process."""
    return Usage(
        user_us=process.user_us,
        system_us=process.system_us,
        wall_us=process.wall_ns // 1000,
        max_rss_bytes=process.max_rss_bytes,
        minor_faults=process.minor_faults,
        major_faults=process.major_faults,
        voluntary_switches=process.voluntary_switches,
        involuntary_switches=process.involuntary_switches,
    )
