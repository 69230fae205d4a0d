"""`python -m cxrjax`, which is the command `cxrjax`."""

from cxrjax.console import main

if __name__ == "__main__":
    main()
