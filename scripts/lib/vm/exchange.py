# SPDX-License-Identifier: GPL-2.0
"""A folder that all machines of a cluster have in common, apart from the network between them, which tests break.

  go          all machines are up: join each other
  ready       all have joined
  end         COMMAND has ended: switch yourselves off
  N/life      how often machine N was started; not there while it is not
  N/...       what guest/remote asks machine N for, and what guest/machines there answers
"""

import os
import shutil
import tempfile


class Exchange:
    def __init__(self, machines):
        self.path = tempfile.mkdtemp(prefix="popcorn-exchange-")
        for number in range(machines):
            os.mkdir(f"{self.path}/{number}")

    def tell(self, name, text=""):
        """Once and for all. Nobody sees half of it."""
        with open(f"{self.path}/.{os.path.basename(name)}", "w") as f:
            f.write(text)
        os.rename(f.name, f"{self.path}/{name}")

    def begin(self, number, life):
        """A life of a machine begins, with nothing that was asked of the last."""
        # The folder itself stays: another machine may just look into it.
        for entry in os.scandir(f"{self.path}/{number}"):
            os.unlink(entry)
        self.tell(f"{number}/life", f"{life}\n")

    def end(self, number):
        """It has ended; who waits for an answer sees that."""
        if os.path.exists(f"{self.path}/{number}/life"):
            os.unlink(f"{self.path}/{number}/life")

    def close(self):
        shutil.rmtree(self.path, ignore_errors=True)
