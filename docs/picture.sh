#!/usr/bin/env bash
# Make docs/assets/page.png again: two sentences read by a model, drawn by `tablert render`, photographed by headless Chromium.
#   docs/picture.sh [MODEL]     from the repository's root; MODEL is the quickstart's bundle unless given
set -euo pipefail
model=${1:-runs/quickstart/bundle}
python=${PYTHON:-.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/texts.txt" <<'TEXTS'
Peter Lindgren, born in Karsund, is an engineer at Acme Robotics.
The Walker 5 is made by Acme Robotics.
TEXTS
"$python" -m tablert_dist.cli predict --model "$model" --in "$work/texts.txt" --out "$work/results.jsonl"
"$python" -m tablert_dist.cli render --in "$work/results.jsonl" --out "$work/page.html"
chromium --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --hide-scrollbars \
    --user-data-dir="$work/profile" --blink-settings=preferredColorScheme=1 --force-device-scale-factor=1.5 \
    --window-size=920,500 --screenshot="$work/page.png" "file://$work/page.html" 2> "$work/log" || { cat "$work/log"; exit 1; }
cp "$work/page.png" docs/assets/page.png
du -k docs/assets/page.png
