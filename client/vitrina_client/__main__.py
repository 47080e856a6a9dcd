"""`python -m vitrina_client` is the `vitrina` command."""

import sys

from vitrina_client._command import main

sys.exit(main())
