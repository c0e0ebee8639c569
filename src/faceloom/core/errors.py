"""The exception tree. A message says what is wrong, where, and what to do, in one line."""


class FaceloomError(Exception):
    """Anything a user can be told in one line; the command line exits with 1."""


class InputError(FaceloomError):
    """A path, option or setting that cannot be used."""


class UsageError(InputError):
    """Options of the command line that are wrong or do not go together; it exits with 2."""


class MediaError(FaceloomError):
    """A video or picture that cannot be read or written."""


class FormatError(FaceloomError):
    """A file of a known kind whose content breaks its format, or is hostile."""


class WeightsError(FaceloomError):
    """A face network's file that is missing, altered or cannot be fetched."""


class ModelError(FaceloomError):
    """A model folder, checkpoint or training state that cannot be used."""


class RightsError(FaceloomError):
    """A step that the workspace's rights record does not allow."""


class CancelledError(FaceloomError):
    """The user asked to stop; what was done is saved. The command line exits with 130."""
