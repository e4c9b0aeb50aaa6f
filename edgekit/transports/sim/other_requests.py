"""Requests about settings, the lease and jobs, as the agent answers them (docs/agent-protocol.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from edgekit.agent.failures import EEXIST, EINVAL, ESRCH
from edgekit.agent.protocol import Packer, Type, Unpacker
from edgekit.transports.sim.device import Lease, SimDevice
from edgekit.transports.sim.files import FileError, Folder
from edgekit.transports.sim.processes import read_launch
from edgekit.transports.sim.programs import run_there

_LEASE_MS = (300, 3_600_000)


@dataclass(frozen=True)
class Agent:
    """Whose request it is. `token` tells agents of one device apart."""

    device: SimDevice
    root: str
    token: str


Request = Callable[[Agent, Unpacker], bytes]


def _knob_set(agent: Agent, u: Unpacker) -> bytes:
    path, value, other, restore = u.text(), u.blob(), u.u8(), u.blob()
    if not path.startswith("/"):
        raise FileError(EINVAL, "knob", path)
    old, actual = agent.device.set_knob(agent.token, path, value, restore if other else None)
    return Packer().blob(old).blob(actual).done()


def _knob_restore(agent: Agent, _u: Unpacker) -> bytes:
    report = agent.device.restore_knobs(agent.token)
    packer = Packer().u32(len(report))
    for path, errno, actual in report:
        packer.text(path).u32(errno).blob(actual)
    return packer.done()


def _lease_acquire(agent: Agent, u: Unpacker) -> bytes:
    holder, ttl_ms = u.text(), u.u32()
    low, high = _LEASE_MS
    ttl_ns = min(max(ttl_ms, low), high) * 1_000_000
    return _leased(agent.device.acquire_lease(agent.token, holder, ttl_ns))


def _lease_renew(agent: Agent, _u: Unpacker) -> bytes:
    return _leased(agent.device.renew_lease(agent.token))


def _lease_release(agent: Agent, _u: Unpacker) -> bytes:
    agent.device.release_lease(agent.token)
    return b""


def _job_start(agent: Agent, u: Unpacker) -> bytes:
    """It has ended when this is answered: device time has passed meanwhile."""
    job_id = u.text()
    launch = read_launch(u)
    launch = replace(launch, deadline_us=u.u64() * 1000.0)
    folder = f"{agent.root}/jobs/{job_id}"
    if not job_id or "/" in job_id or job_id.startswith("."):
        raise FileError(EINVAL, "job", job_id)
    if agent.device.files.look(folder) is not None:
        raise FileError(EEXIST, "job", job_id)
    ended = run_there(agent.device, launch)
    agent.device.files.mkdir(folder, 0o755)
    contents = {"stdout": ended.stdout, "stderr": ended.stderr, "status": ended.status().encode()}
    for name, data in contents.items():
        agent.device.files.write(f"{folder}/{name}", data, 0o644, "job")
    return Packer().text(folder).done()


def _job_status(agent: Agent, u: Unpacker) -> bytes:
    job_id = u.text()
    folder = f"{agent.root}/jobs/{job_id}"
    agent.device.files.find(folder, "job")
    return Packer().u8(1).text(folder).blob(agent.device.files.read(f"{folder}/status", "job")).done()


def _job_list(agent: Agent, _u: Unpacker) -> bytes:
    jobs = agent.device.files.look(f"{agent.root}/jobs")
    return Packer().texts(jobs.children if isinstance(jobs, Folder) else ()).done()


def _job_kill(agent: Agent, u: Unpacker) -> bytes:
    job_id = u.text()
    agent.device.files.find(f"{agent.root}/jobs/{job_id}", "job")
    raise FileError(ESRCH, "job", job_id)


def _leased(lease: Lease) -> bytes:
    return Packer().text(lease.token).u64(lease.expires_ns).done()


OTHER_REQUESTS: Mapping[Type, Request] = {
    Type.KNOB_SET: _knob_set,
    Type.KNOB_RESTORE: _knob_restore,
    Type.LEASE_ACQUIRE: _lease_acquire,
    Type.LEASE_RENEW: _lease_renew,
    Type.LEASE_RELEASE: _lease_release,
    Type.JOB_START: _job_start,
    Type.JOB_STATUS: _job_status,
    Type.JOB_LIST: _job_list,
    Type.JOB_KILL: _job_kill,
}
