"""Where things lie: paths and packages, files written whole, folders at a URL."""
