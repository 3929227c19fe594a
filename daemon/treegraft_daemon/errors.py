"""What can go wrong, drawn as a tree.

* TreegraftError                 one clear line for the user; exit code 1 on the command line
  * BadInput                     the file, cursor or option given cannot be used
  * ConfigError                  a setting has a wrong type or value
  * EngineError
    * EngineUnreachable          no engine answers and none could be started
    * EngineBusy                 another engine already serves this user and model
    * EngineFailed               the engine died or refused while a request ran
    * ProtocolMismatch           the two ends speak different protocol versions
    * AccessDenied               wrong token
  * ModelError
    * ModelNotFound              no such directory, or not in the local cache
    * ModelBroken                files are missing, truncated or of an unknown architecture
    * OutOfMemory                the device has no room left for a request
    * ModelsNotInstalled         the extra `models` (torch, transformers) is not installed

Messages are lower case, say what was being done and what the user can do, and end without a full stop.
"""


class TreegraftError(Exception):
    """Base of all errors that are told to a person in one line."""


class BadInput(TreegraftError):
    """The file, cursor or option given cannot be used."""


class ConfigError(TreegraftError):
    """A setting has a wrong type or value."""


class EngineError(TreegraftError):
    """The model process could not do what was asked."""


class EngineUnreachable(EngineError):
    """No engine answers and none could be started."""


class EngineBusy(EngineError):
    """Another engine already serves this user and model."""


class EngineFailed(EngineError):
    """The engine died or refused while a request ran."""


class ProtocolMismatch(EngineError):
    """The two ends speak different protocol versions."""


class AccessDenied(EngineError):
    """The engine refused the token."""


class ModelError(TreegraftError):
    """The model cannot be used."""


class ModelNotFound(ModelError):
    """No such directory, or not in the local cache."""


class ModelBroken(ModelError):
    """Files are missing, truncated or of an unknown architecture."""


class OutOfMemory(ModelError):
    """The device has no room left for a request."""


class ModelsNotInstalled(ModelError):
    """The extra `models` (torch, transformers) is not installed."""


def os_reason(error: OSError) -> str:
    """What the system says about it, as the end of one of our sentences."""
    return (error.strerror or str(error)).lower()
