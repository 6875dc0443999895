"""The version of this project, said here alone: --version, exported files and CITATION.cff have it."""
__version__ = '0.2.0'
