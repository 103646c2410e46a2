"""Why `pinwheel up` could not start. Not part of the error tree: nobody meets it over HTTP."""


class CannotStart(Exception):
    """`exit_code` is 2 where the command line is wrong, and 1 where the machine says no."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
