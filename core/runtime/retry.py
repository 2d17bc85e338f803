"""Retry policies: capped exponential back-off with full jitter.

Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from tenacity.wait import wait_random_exponential


def full_jitter(*, first_s: float, cap_s: float) -> wait_random_exponential:
    """Wait uniformly in ``[0, min(cap_s, first_s * 2**(attempt - 1))]`` seconds."""
    return wait_random_exponential(multiplier=first_s, max=cap_s)
