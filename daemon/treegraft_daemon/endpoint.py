"""Where an engine is reached: names of its socket, lock and log, and its token. Opens no socket.

The engine and its clients derive the same names from the same settings; that is how they find each other.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import tempfile
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from treegraft_daemon.config import Settings, runtime_dir
from treegraft_daemon.errors import AccessDenied, ConfigError, EngineError, os_reason

if TYPE_CHECKING:
    import ssl

# sun_path holds 108 bytes on Linux and 104 on macOS, with the closing NUL.
MAX_SOCKET_PATH_BYTES = 103


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`socket` is where clients on this machine connect; with `host`, the engine listens there as well."""

    socket: Path
    host: str = ""
    port: int = 0

    @property
    def lock(self) -> Path:
        return self.socket.with_suffix(".lock")

    @property
    def log(self) -> Path:
        return self.socket.with_suffix(".log")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.host else str(self.socket)


def endpoint_of(settings: Settings) -> Endpoint:
    """The endpoint of these settings. Raises ConfigError for an address that is none.

    `engine_address` is empty (the socket of this user and model), a path (holds a slash), or HOST:PORT.
    """
    address = settings.engine_address
    if "/" in address:
        return Endpoint(Path(address).expanduser().absolute())
    own = _default_socket(settings.model)
    if not address:
        return Endpoint(own)
    found = host_and_port(address)
    if found is None:
        raise ConfigError(f"engine address {address!r} is not HOST:PORT, nor the path of a socket")
    return Endpoint(own, *found)


def host_and_port(address: str) -> tuple[str, int] | None:
    """The parts of HOST:PORT, of this machine when HOST is empty; None for what is none."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
        return None
    return host.strip("[]") or "127.0.0.1", int(port)


def resolved_model(model: str) -> str:
    """The model's name, or its absolute path when it is a directory here: an engine runs in another folder."""
    path = Path(model).expanduser()
    return str(path.resolve()) if model != "embedded" and path.is_dir() else model


def prepare_folder(folder: Path) -> None:
    """Make the folder of sockets and locks, for the owner only. Raises EngineError when it cannot be, or be trusted."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(
            f"cannot make {folder} for the engine's socket: {os_reason(error)}; {_OTHER_FOLDER}"
        ) from error
    check_folder(folder)


def check_folder(folder: Path) -> None:
    """Raises EngineError when somebody else could have put a socket into `folder`; a missing folder is fine."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise EngineError(f"cannot look into {folder}: {os_reason(error)}") from error
    if found.st_uid not in (os.getuid(), 0):
        raise EngineError(f"{folder} belongs to another user; {_OTHER_FOLDER}")
    # Writable by all and sticky (/tmp): others may add names there, but not take ours; the socket's owner is checked.
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX:
        raise EngineError(f"others may write to {folder}: chmod go-w it, or {_OTHER_FOLDER}")


def read_token(settings: Settings) -> str:
    """The token of an engine on the network. Raises ConfigError or AccessDenied, saying what to do."""
    if not settings.token_file:
        raise ConfigError(f"an engine at {settings.engine_address} needs a token: set --token-file FILE")
    path = Path(settings.token_file).expanduser()
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise AccessDenied(f"others may read the token in {path}: chmod 600 it")
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"cannot read the token in {path}: {reason.lower()}") from error
    if len(token) < 16:
        raise ConfigError(f"the token in {path} is shorter than 16 characters")
    return token


def make_token(settings: Settings) -> bool:
    """Write a new token, for the owner only, unless the file exists; True when it was written."""
    path = Path(settings.token_file).expanduser()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    except OSError as error:
        raise ConfigError(f"cannot write a token to {path}: {os_reason(error)}") from error
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    return True


def server_tls(settings: Settings) -> ssl.SSLContext | None:
    """What an engine on the network shows its clients; None without `tls_cert`. Raises ConfigError for unusable files."""
    if not settings.tls_cert:
        return None
    import ssl  # 10 ms that an editor's server does without

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(
            Path(settings.tls_cert).expanduser(), Path(settings.tls_key or settings.tls_cert).expanduser()
        )
    except OSError as error:  # SSLError is one
        raise ConfigError(f"cannot use the certificate in {settings.tls_cert}: {os_reason(error)}") from error
    return context


def client_tls(settings: Settings) -> ssl.SSLContext | None:
    """Whom a client trusts to be its engine; None without `tls_ca`. Raises ConfigError for an unusable file."""
    if not settings.tls_ca:
        return None
    import ssl

    try:
        return ssl.create_default_context(cafile=str(Path(settings.tls_ca).expanduser()))
    except OSError as error:
        raise ConfigError(f"cannot use the authority in {settings.tls_ca}: {os_reason(error)}") from error


_OTHER_FOLDER = "set TREEGRAFT_RUNTIME_DIR to a folder of yours"


def _default_socket(model: str) -> Path:
    name = f"engine-{_slug(resolved_model(model))}.sock"
    path = runtime_dir().absolute() / name
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    short = blake2b(os.fsencode(path), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"treegraft-{os.getuid()}" / f"{short}.sock"


def _slug(model: str) -> str:
    """A short file name that is the same for one model and different for two."""
    if model == "embedded":
        return model
    digest = blake2b(model.encode(), digest_size=4).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9.]+', '-', Path(model).name)[:24]}-{digest}"
