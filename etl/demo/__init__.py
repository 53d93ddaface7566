"""The demo hospital: an invented hospital in Synthea's file layout, and the small vocabulary it needs."""

from etl.demo.hospital import DemoManifest, write_hospital
from etl.demo.places import demo_vocabulary_folder

__all__ = ["DemoManifest", "demo_vocabulary_folder", "write_hospital"]
