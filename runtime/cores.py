"""The number of processor cores. Not in device.py, because loading data needs no Paddle."""
import os


def cores():
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
