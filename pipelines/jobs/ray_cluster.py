"""How the executor `ray` finds or makes its cluster, and who may talk to it.

    LATHE_RAY_ADDRESS    the head of a cluster that runs, HOST:PORT; else one is made on this
                         machine, which listens at the loopback address alone
    LATHE_RAY_CPUS       cores of a worker on machines without a GPU (2)

Whoever can speak to a Ray cluster can run code on it, so a token is asked for unless RAY_AUTH_MODE
says otherwise: a local cluster's is made anew with each start, a running cluster's comes from where
Ray looks for it. The token does not encrypt: several machines want a network of their own. Ray's
dashboard is not started, and no usage is reported to its makers.
"""

import importlib.util
import ipaddress
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import InstallationError, RequestError

ADDRESS_VARIABLE, CPUS_VARIABLE = "LATHE_RAY_ADDRESS", "LATHE_RAY_CPUS"
MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray has no setting for the address that a local cluster listens at. Where clusters of several
machines are off, as they are by default on other systems, every part of it listens at loopback."""
OBJECT_STORE_BYTES = 128 << 20
"""Nothing large travels through Ray; its own default is a third of the memory."""
NAMESPACE = "lathe"


@dataclass(frozen=True, kw_only=True)
class RayConfig:
    """Which cluster, and how its machines are shared out.

    Raises:
        ValueError: A worker has less than one core, or the address is of another kind.
    """

    address: str | None = None
    """HOST:PORT of a cluster's head; None makes a cluster on this machine."""
    cpus_per_worker: int = 2
    """Cores, on machines without a GPU."""

    def __post_init__(self) -> None:
        if self.cpus_per_worker < 1:
            raise ValueError(f"{CPUS_VARIABLE} is {self.cpus_per_worker}; at least 1 is allowed")
        if self.address and not re.fullmatch(r"[\w.-]+:\d+|\[[\da-fA-F:]+\]:\d+", self.address):
            raise ValueError(f"{ADDRESS_VARIABLE} is {self.address!r}; it has the form HOST:PORT")

    @staticmethod
    def from_environment() -> "RayConfig":
        """Return what the variables say.

        Raises:
            RequestError: A value cannot be used.
        """
        cpus = os.environ.get(CPUS_VARIABLE) or "2"
        if not cpus.isdecimal():
            raise RequestError(f"{CPUS_VARIABLE} is {cpus!r}; it is a number of cores")
        try:
            return RayConfig(
                address=os.environ.get(ADDRESS_VARIABLE) or None, cpus_per_worker=int(cpus)
            )
        except ValueError as error:
            raise RequestError(str(error)) from error


def check_ray(config: RayConfig) -> None:
    """Raise RequestError where Ray is absent, or a cluster's token is nowhere to be found."""
    if importlib.util.find_spec("ray") is None:
        raise RequestError(
            "LATHE_EXECUTOR is 'ray', and that package is not installed: "
            "pip install -r requirements-ray.txt"
        )
    if config.address and auth_mode() == "token" and not _token_is_known():
        raise RequestError(
            f"{ADDRESS_VARIABLE} names a cluster, and its token is nowhere to be found: set "
            f"{TOKEN} or {TOKEN_PATH}, or {MODE}=disabled where it asks for none"
        )


def auth_mode() -> str:
    """Return RAY_AUTH_MODE, `token` unless the host decided otherwise."""
    return os.environ.get(MODE) or "token"


def _token_is_known() -> bool:
    where = os.environ.get(TOKEN_PATH) or Path.home() / ".ray" / "auth_token"
    return bool(os.environ.get(TOKEN)) or Path(where).is_file()


def connect(config: RayConfig) -> None:
    """Join the cluster, or make one; to be called before anything else imports ray.

    Raises:
        InstallationError: The cluster that was made can be reached from elsewhere.
    """
    os.environ[MODE] = auth_mode()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if config.address is None:
        os.environ.update(LOOPBACK_ONLY)
        if not os.environ.get(TOKEN_PATH):
            os.environ.setdefault(TOKEN, secrets.token_hex(32))
    import ray

    if config.address is not None:
        ray.init(address=config.address, namespace=NAMESPACE)
        return
    ray.init(
        address="local",
        namespace=NAMESPACE,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
    )
    for node in ray.nodes():
        if not ipaddress.ip_address(node["NodeManagerAddress"]).is_loopback:
            ray.shutdown()
            raise InstallationError("this release of Ray does not keep to the loopback address")


@dataclass(frozen=True, kw_only=True)
class Slot:
    """Room for one worker."""

    node: str
    """Ray's id of the machine."""
    index: int
    num_cpus: int
    num_gpus: int


def plan_slots(nodes: Sequence[dict[str, Any]], cpus_per_worker: int) -> list[Slot]:
    """Return where workers belong: one a GPU; where no machine has any, one to so many cores.

    Args:
        nodes: The machines, as `ray.nodes()` describes them.
        cpus_per_worker: Cores of a worker without a GPU; fewer where the machine has fewer.
    """
    alive = [node for node in nodes if node["Alive"]]
    by_gpu = any(node["Resources"].get("GPU", 0) >= 1 for node in alive)
    slots = []
    for node in alive:
        cpus = int(node["Resources"].get("CPU", 0))
        gpus = int(node["Resources"].get("GPU", 0))
        count = gpus if by_gpu else max(cpus // cpus_per_worker, min(cpus, 1))
        share = max(1, cpus // gpus) if gpus else min(cpus, cpus_per_worker)
        slots += [
            Slot(node=node["NodeID"], index=index, num_cpus=share, num_gpus=min(gpus, 1))
            for index in range(count)
        ]
    return slots
