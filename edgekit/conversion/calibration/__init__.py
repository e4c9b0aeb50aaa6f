"""Calibration data, streamed one sample at a time: an .npz file, a folder of images, a function of the user's."""

from edgekit.conversion.calibration.data import CalibrationData, load_calibration

__all__ = ["CalibrationData", "load_calibration"]
