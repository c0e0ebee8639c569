"""The exceptions. A message says in one line what is wrong, where, and what to do."""


class FaceloomError(Exception):
    """Base of all errors that are reported in one line; the command exits with 1."""


class InputError(FaceloomError):
    """A path, option or setting that cannot be used."""


class UsageError(InputError):
    """Command-line options that are wrong or incompatible; the command exits with 2."""


class MediaError(FaceloomError):
    """A video or picture that cannot be read or written."""


class FormatError(FaceloomError):
    """A file whose content violates its format, or is hostile."""


class WeightsError(FaceloomError):
    """A network file that is missing, altered or cannot be downloaded."""


class ModelError(FaceloomError):
    """A model folder, checkpoint or training state that cannot be used."""


class RightsError(FaceloomError):
    """A step that the rights record of the workspace does not allow."""


class CancelledError(FaceloomError):
    """The user asked to stop; finished work is saved. The command exits with 130."""
