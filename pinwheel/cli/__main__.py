"""`python -m pinwheel.cli`"""

from pinwheel.cli import main

main()
