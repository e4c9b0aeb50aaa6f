"""Calibration data, streamed one sample at a time: an .npz file, a folder of images, a function of the user's."""

from edgekit.conversion.calibration.data import CalibrationData, far_apart, load_calibration

__all__ = ["CalibrationData", "far_apart", "load_calibration"]
