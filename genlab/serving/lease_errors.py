"""What went wrong with a lease of a GPU, as one sentence that says what to do. No `spaces`.

What is raised is `gradio.Error` with a title and a message, of `spaces` 0.51; both are read without
importing either, and whatever is unknown has a sentence too.
"""

from __future__ import annotations

import re

WITHOUT = "use Toybox, which needs no GPU"
LOG_IN = "log in to Hugging Face for a share of your own"
ABORTED = (
    "The GPU was taken back before the pictures were finished: please try again, with fewer "
    f"pictures or steps, or {WITHOUT}."
)
NO_GPU = f"No GPU is free at the moment: please try again in a minute, or {WITHOUT}."
TOO_LONG = (
    "This would take more seconds of a GPU than one visit may have: ask for fewer pictures or "
    f"steps, or {WITHOUT}."
)
UNKNOWN = f"The GPU could not finish this; the log says why. Please try again, or {WITHOUT}."
LEFT = re.compile(r"\((\d+)s requested vs\. (-?\d+)s left\)")
WAIT = re.compile(r"[Tt]ry again in ((?:\d+ days?, )?\d+:\d\d:\d\d)")


def sentence_of(error: BaseException) -> str:
    """What a visitor is told of an error that ended a lease, or kept it from beginning."""
    title = str(getattr(error, "title", "")).lower()
    message = str(getattr(error, "message", error))
    if "quota exceeded" in title:
        return _quota(message)
    if "pending credits" in title:
        return (
            "Your GPU time is taken by pictures that are still being drawn: wait until they are "
            f"finished, or {WITHOUT}."
        )
    if "illegal duration" in title:
        return TOO_LONG
    if "queue timeout" in title or "no gpu was available" in message.lower():
        return NO_GPU
    if "expired" in message.lower():
        return "Your visit here has expired: please load the page again."
    if "aborted" in message.lower():
        return ABORTED
    return UNKNOWN


def is_aborted(error: BaseException) -> bool:
    """Whether the GPU was taken back in the middle, or its process died."""
    return "aborted" in str(getattr(error, "message", error)).lower()


def _quota(message: str) -> str:
    """Of a share of GPU time that is used up, with what is known of it."""
    if "No GPU was available" in message:
        return f"No GPU became free within a minute: please try again, {LOG_IN}, or {WITHOUT}."
    if "GPU limit" in message:  # nobody is known to be logged in
        return f"This Space's share of GPU time is used up: {LOG_IN}, or {WITHOUT}."
    left, wait = LEFT.search(message), WAIT.search(message)
    known = f" ({left[1]} s are needed, {left[2]} s are left)" if left else ""
    when = f"try again in {wait[1]}" if wait else "try again later"
    anonymous = "free ZeroGPU" not in message and "Pro ZeroGPU" not in message
    also = f"{LOG_IN}, " if anonymous else ""
    fewer = "ask for fewer pictures or steps, " if left and int(left[2]) > 0 else ""
    return f"Your share of GPU time is used up{known}: {also}{fewer}{when}, or {WITHOUT}."
