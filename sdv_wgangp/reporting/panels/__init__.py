"""Sections of the report's page that have a file each."""

from sdv_wgangp.reporting.panels import missing, plane

PANELS = (plane.PANEL, missing.PANEL)
