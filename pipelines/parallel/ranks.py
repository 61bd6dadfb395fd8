"""The processes of one clip, as torchrun starts them: rank 0 leads and the others serve it.

The leader runs the whole chain as a single process would. Where a spread module is called it
scatters a record to every rank, itself included, each computes its part, and the leader gathers the
parts. Between two calls the followers wait, so the leader may cancel, fail or fit a field for
minutes, and they need to know nothing of it.

Records travel through the CPU by gloo: latents are small beside what the blocks exchange, and that
goes over the default group (NCCL where there are GPUs). The records are pickled, so the rendezvous
port of torchrun must be reachable by the job's own machines alone.
"""

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from pipelines.errors import RequestError
from pipelines.parallel.environment import local_rank, local_size

PATIENCE = timedelta(days=7)
"""How long followers wait for the next call: as long as anything the leader may do between."""


class Ranks:
    """This process's place among all, and the two ways in which records pass."""

    def __init__(self, device: torch.device, num_cores: int = 1, num_local: int = 1) -> None:
        """Take the place in the process group that is open.

        Args:
            device: Where this rank computes.
            num_cores: Cores that the ranks of this machine share while all compute. Between calls
                the leader has them alone.
            num_local: Ranks on this machine.
        """
        self.device = device
        self._num_cores = num_cores
        self._share = max(1, num_cores // num_local)
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        control = dist.new_group(backend="gloo", timeout=PATIENCE)
        assert isinstance(control, dist.ProcessGroup)
        self.control: dist.ProcessGroup = control
        """All ranks, through the CPU."""

    @classmethod
    def join(cls) -> "Ranks":
        """Open the process group that torchrun's environment describes, on a GPU each if any.

        Raises:
            RequestError: This machine runs more processes than it has GPUs.
        """
        device = torch.device("cpu")
        if torch.cuda.is_available():
            if local_size() > torch.cuda.device_count():
                raise RequestError(
                    f"{local_size()} processes were started and this machine has "
                    f"{torch.cuda.device_count()} GPUs; one process a GPU is of use"
                )
            device = torch.device("cuda", local_rank())
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(device, len(os.sched_getaffinity(0)), local_size())

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def scatter(self, name: str, parts: list[Any]) -> Any:
        """On the leader: send each rank its part of a call, and return the leader's own."""
        assert self.leads and len(parts) == self.size
        torch.set_num_threads(self._share)
        return self._receive([(name, part) for part in parts])[1]

    def gather(self, result: Any) -> list[Any]:
        """Return every rank's result on the leader, and an empty list elsewhere."""
        results: list[Any] = [None] * self.size if self.leads else []
        dist.gather_object(result, results if self.leads else None, dst=0, group=self.control)
        if self.leads:
            torch.set_num_threads(self._num_cores)
        return results

    def serve(self, handlers: Mapping[str, Callable[[Any], Any]]) -> None:
        """On a follower: answer the leader's calls by name until it dismisses this rank."""
        assert not self.leads
        torch.set_num_threads(self._share)
        while True:
            name, part = self._receive(None)
            if name == "":
                return
            self.gather(handlers[name](part))

    def dismiss(self) -> None:
        """On the leader: let the followers end."""
        self.scatter("", [None] * self.size)

    def leave(self) -> None:
        """Dismiss the followers where this rank leads, and close the process group."""
        try:
            if self.leads:
                self.dismiss()
        except RuntimeError:
            # A follower is gone already, as after an interrupt, and has nothing more to do.
            return
        dist.destroy_process_group()

    def _receive(self, parts: list[Any] | None) -> tuple[str, Any]:
        received: list[Any] = [None]
        dist.scatter_object_list(received, parts, src=0, group=self.control)
        return received[0]
