"""The version of this project, for --help, --version and exported files."""
__version__ = '0.3.0'
