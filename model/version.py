"""The version of this project, written here alone: --help, --version and exported files have it."""
__version__ = '0.2.0'
