"""From files to labelled examples: scan, audit, twins, parts, sample sets."""
