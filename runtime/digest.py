"""SHA-256 of files."""
import hashlib

from runtime.errors import InputError


def sha256_of(*paths):
    """Hex string of the bytes of all these files, one after the other; InputError if one cannot be read."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            with open(path, 'rb') as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise InputError(f'{path}: cannot be read: {error.strerror or error}') from None
    return digest.hexdigest()
