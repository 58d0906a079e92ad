"""An application that cannot even be imported."""

import sys

sys.exit("not today")
