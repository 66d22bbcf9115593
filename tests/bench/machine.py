"""Machine of the measurements: its hardware and its load, as figures differ between machines."""

from __future__ import annotations

import datetime
import os
import platform
import resource
from pathlib import Path


def facts() -> dict:
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "kernel": platform.release(),
        "system": system(),
        "virtual": "hypervisor" in proc("cpuinfo"),
        "file_descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "load_before": round(os.getloadavg()[0], 2),
    }


def raise_descriptors() -> int:
    """Raises the limit of open files to the maximum; child processes inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def cpu() -> str:
    names = [
        line.split(":", 1)[1].strip()
        for line in proc("cpuinfo").splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.machine()


def system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def proc(name: str) -> str:
    try:
        return Path("/proc", name).read_text()
    except OSError:
        return ""
