# SPDX-License-Identifier: GPL-2.0
import sys

from vm.run import main

sys.exit(main())
