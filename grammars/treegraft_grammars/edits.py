"""What two texts have in common."""

from __future__ import annotations


def common_prefix(old: bytes, new: bytes) -> int:
    """How many bytes both begin with; by halving, since comparing slices runs at memory speed."""
    low, high = 0, min(len(old), len(new))
    if old[:high] == new[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle
    return low


def common_ends(old: bytes, new: bytes) -> tuple[int, int]:
    """How many bytes both begin with and how many of the rest they end in: between lies the smallest edit."""
    start = common_prefix(old, new)
    return start, common_prefix(old[start:][::-1], new[start:][::-1])
