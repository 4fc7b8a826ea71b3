"""Reports: tables, curves and pages from results folders."""
