"""The small invented sample corpus, and the script that generates it."""
