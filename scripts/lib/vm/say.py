# SPDX-License-Identifier: GPL-2.0
"""How the run speaks to the user."""

import sys


def complain(text):
    print(f"popcorn-vm: {text}", file=sys.stderr, flush=True)
