"""Values that cannot be, though they are known elsewhere: refused with the reason."""

from __future__ import annotations

STAYS = "but here checkpoints stay with their trial and Tune is passed its metrics only"
SCHEDULERS = {
    "pbt": f"Population Based Training lets a trial go on from a better one's checkpoint, {STAYS}",
    "pb2": f"Population Based Bandits let a trial go on from a better one's checkpoint, {STAYS}",
    "hyperband": f"HyperBand pauses trials and goes on with them from Tune's checkpoint, {STAYS}",
    "bohb": f"BOHB pauses trials and goes on with them from Tune's checkpoint, {STAYS}",
}


def never_pausing(value: object) -> object:
    """Refuse the schedulers that pause a trial or let it go on from another's checkpoint. Raises ValueError."""
    reason = SCHEDULERS.get(str(value).lower())
    if reason:
        raise ValueError(f"{reason}; use none, asha or median")
    return value
