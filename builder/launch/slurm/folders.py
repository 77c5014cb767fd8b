"""Folders below the root on the cluster, which who may write to the root may write to."""

from __future__ import annotations

SHARED = """shared() {
  [ -d "$1" ] && return
  above=$(dirname "$1"); mkdir -p "$above"; mode=$(stat -c %a "$above") || return
  said=$(umask "$(printf %04o $((0777 & ~0$mode)))"; mkdir "$1" 2>&1) && chmod --reference="$above" "$1" 2>/dev/null
  [ -d "$1" ] || { echo "$said" >&2; return 1; }
}"""
"""For sh: `shared FOLDER` makes it as open as what it is in, from its first moment: who comes just then finds it so. What mkdir cannot
give (setgid, the sticky bit) comes after, and there is nothing in it yet.
"""
