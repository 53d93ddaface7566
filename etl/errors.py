"""Errors a user can act on: what happened, in which state things are, what to do."""


class CdmflowError(Exception):
    """Base of all expected errors; the command line prints it without a traceback.

    `what` names the thing and the place, `state` says what was and was not done, `todo` the next step.
    None of them may hold a patient's value: ids, record numbers and counts only.
    """

    exit_code = 1

    def __init__(self, what: str, *, state: str = "", todo: str = "") -> None:
        self.what = what
        self.state = state
        self.todo = todo
        super().__init__("\n".join(line for line in (what, state, todo) if line))


class UsageError(CdmflowError):
    """The command or its parameters make no sense."""

    exit_code = 2


class GateRefused(CdmflowError):
    """A critical check failed: the candidate is not published."""

    exit_code = 3


class Locked(CdmflowError):
    """Another run holds the publish lock."""

    exit_code = 4


class ContractError(CdmflowError):
    """An input breaks its contract (`tables.yml`, an Athena bundle, the CDM specification)."""


class DiskFull(CdmflowError):
    """A disk has no space left: the lake's or PostgreSQL's."""


class DatabaseUnavailable(CdmflowError):
    """The database cannot be reached; the only error worth a retry."""
