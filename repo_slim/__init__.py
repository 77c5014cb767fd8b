"""Makes a large git repository small once, with nothing lost. A library of its own: it never imports builder."""
