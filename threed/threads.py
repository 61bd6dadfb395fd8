"""How long a thread waits at full speed for the others before it sleeps."""

from collections.abc import MutableMapping

VARIABLE, COUNT = "GOMP_SPINCOUNT", "2000"


def sleep_soon(environment: MutableMapping[str, str]) -> None:
    """Tell GNU OpenMP, which torch has, to let its threads sleep soon when they wait.

    By default they burn a core while the thread that they wait for is kept from running by other
    work, and a fit takes several times as long as on one core; with so short a wait it loses next
    to nothing where it has the machine to itself. What is set about it already stands.

    Args:
        environment: Of a process that has not loaded torch yet.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault(VARIABLE, COUNT)
