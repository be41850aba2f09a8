"""What is measured between two label maps, with definitions and units."""
