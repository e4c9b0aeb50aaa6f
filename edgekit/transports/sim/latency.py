"""Latencies of a device that does not exist: drawn from a stated distribution, in the device's own time. Pure.

The simulated device and the truth tests of the statistics draw from here, so what the tests say of a method
holds for what a `sim:` device gives. Loads NumPy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LatencyShape:
    """How the latencies of one model on one device come about. A latency is the product of

    - `median_us`;
    - a factor of the launch: log-normal with the standard deviation `launch_sd` of its logarithm, times one of
      `launch_modes`, drawn once by `launch_mode_shares` (memory layout, page colours, core chosen);
    - noise of the iteration: log-normal with `within_sd`, an AR(1) process with the lag 1 autocorrelation
      `autocorrelation` in its logarithm;
    - one of `modes`, drawn by `mode_shares`: for each iteration anew, or, with `mode_seconds`, for each span of
      that many seconds of device time (a clock governor that wavers);
    - `outlier_factor`, for the share `outlier_share` of the iterations (an interrupt);
    - growth with device time: linear from 1 at 0 s to 1 + `drift` at `drift_seconds`, constant from there on;
    - `throttle_factor` from `throttle_at_s` seconds of device time on;
    - `first_factor` for the first inference of a launch; from `warmup_factor` linearly down to 1 within the
      next `warmup_iterations`.

    A clock that steps by `clock_step_us` reads the start and the end (0: exact). Shares are relative; none
    means equal shares. Raises ValueError for a value that no device can have.
    """

    median_us: float = 5000.0
    within_sd: float = 0.01
    launch_sd: float = 0.003
    autocorrelation: float = 0.0
    outlier_share: float = 0.002
    outlier_factor: float = 1.5
    drift: float = 0.0
    drift_seconds: float = 10.0
    throttle_at_s: float | None = None
    throttle_factor: float = 1.0
    modes: tuple[float, ...] = (1.0,)
    mode_shares: tuple[float, ...] = ()
    mode_seconds: float = 0.0
    launch_modes: tuple[float, ...] = (1.0,)
    launch_mode_shares: tuple[float, ...] = ()
    first_factor: float = 3.0
    warmup_iterations: int = 5
    warmup_factor: float = 1.2
    clock_step_us: float = 0.04

    def __post_init__(self) -> None:
        factors = (
            self.outlier_factor,
            self.throttle_factor,
            self.first_factor,
            self.warmup_factor,
            1 + self.drift,
        )
        positive = (self.median_us, self.drift_seconds, *factors, *self.modes, *self.launch_modes)
        not_negative = (self.within_sd, self.launch_sd, self.mode_seconds, self.clock_step_us)
        if not all(0 < value < math.inf for value in positive):
            raise ValueError("a latency, a factor or a time that must be above 0 is not")
        if not all(0 <= value < math.inf for value in not_negative) or self.warmup_iterations < 0:
            raise ValueError("a standard deviation, a time or a count is negative or not a number")
        if not -1 < self.autocorrelation < 1 or not 0 <= self.outlier_share <= 1:
            raise ValueError("autocorrelation must be inside -1 to 1, the share of outliers from 0 to 1")
        for modes, shares in ((self.modes, self.mode_shares), (self.launch_modes, self.launch_mode_shares)):
            if not modes or (shares and (len(shares) != len(modes) or min(shares) < 0 or sum(shares) <= 0)):
                raise ValueError("modes need one share each, of which one is above 0, or none")


@dataclass(frozen=True)
class LatencyDraw:
    """A device of this shape; the same seed gives the same numbers, whatever the order of the launches."""

    shape: LatencyShape
    seed: int

    def launch(self, index: int, start_s: float, stream: int = 0) -> LaunchDraw:
        """Launch number `index` (from 0), whose process starts at `start_s` seconds of device time. Streams of one launch
        share what is the launch's; their noise is their own."""
        children = np.random.SeedSequence((self.seed, index)).spawn(4)
        if stream:
            children[1:] = np.random.SeedSequence((self.seed, index, stream)).spawn(3)
        return LaunchDraw(self.shape, start_s * 1e6, *(np.random.default_rng(child) for child in children))


@dataclass
class LaunchDraw:
    """One launch: draws from where it was, so `take(5)` twice gives what `take(10)` gives.

    Noise, outliers and modes have a generator each, or the numbers would depend on how they are taken.
    `now_us`: device time, microseconds.
    """

    shape: LatencyShape
    now_us: float
    launch_rng: np.random.Generator
    noise_rng: np.random.Generator
    outlier_rng: np.random.Generator
    mode_rng: np.random.Generator
    factor: float = field(init=False)
    _log_noise: float = field(init=False)
    _iteration: int = field(init=False, default=0)
    _mode: float = field(init=False, default=1.0)
    _mode_until_us: float = field(init=False, default=-math.inf)

    def __post_init__(self) -> None:
        shape = self.shape
        mode = _pick(self.launch_rng, shape.launch_modes, shape.launch_mode_shares, 1)[0]
        self.factor = float(mode * math.exp(shape.launch_sd * self.launch_rng.standard_normal()))
        self._log_noise = float(self.launch_rng.standard_normal())  # AR(1) begins in its stationary state
        if shape.mode_seconds and len(shape.modes) > 1:
            self._next_mode()
            self._mode_until_us = self.now_us + shape.mode_seconds * 1e6 * float(self.launch_rng.random())

    def first_us(self) -> float:
        """The first inference of the process, microseconds; to be asked before any other."""
        return float(self._read(self._drawn(1) * self.shape.first_factor)[0])

    def take(self, count: int) -> Floats:
        """The next `count` latencies, float64 microseconds as the clock read them."""
        done = np.arange(self._iteration, self._iteration + count)
        self._iteration += count
        warmup = self.shape.warmup_iterations
        left = np.clip(1 - done / warmup, 0, None) if warmup else np.zeros(count)
        return self._read(self._drawn(count) * (1 + (self.shape.warmup_factor - 1) * left))

    def _drawn(self, count: int) -> Floats:
        """All but what depends on time."""
        shape = self.shape
        noise = self.noise_rng.standard_normal(count)
        if shape.autocorrelation:
            rho, innovation = shape.autocorrelation, math.sqrt(1 - shape.autocorrelation**2)
            steps = accumulate(
                noise * innovation, lambda last, new: rho * last + new, initial=self._log_noise
            )
            noise = np.fromiter(steps, np.float64, count + 1)[1:]
            self._log_noise = float(noise[-1]) if count else self._log_noise
        drawn = shape.median_us * self.factor * np.exp(shape.within_sd * noise)
        drawn[self.outlier_rng.random(count) < shape.outlier_share] *= shape.outlier_factor
        if not shape.mode_seconds:
            drawn *= _pick(self.mode_rng, shape.modes, shape.mode_shares, count)
        return drawn

    def _read(self, exact: Floats) -> Floats:
        """What a stepping clock reads, after the factors that depend on time."""
        if self.shape.drift or self.shape.throttle_at_s is not None or self._mode_until_us > -math.inf:
            exact = self._slowed(exact)
        edges = np.cumsum(np.concatenate(([self.now_us], exact)))
        self.now_us = float(edges[-1])
        step = self.shape.clock_step_us
        return np.diff(np.floor(edges / step)) * step if step else exact

    def _slowed(self, exact: Floats) -> Floats:
        """One after the other, as how long one takes decides when the next one starts."""
        shape, now = self.shape, self.now_us
        throttle_at = math.inf if shape.throttle_at_s is None else shape.throttle_at_s * 1e6
        slowed = exact.copy()
        for index in range(exact.size):
            factor = 1 + shape.drift * min(1.0, now / (shape.drift_seconds * 1e6))
            if now >= throttle_at:
                factor *= shape.throttle_factor
            while now >= self._mode_until_us > -math.inf:
                self._next_mode()
                self._mode_until_us += shape.mode_seconds * 1e6
            slowed[index] *= factor * self._mode
            now += float(slowed[index])
        return slowed

    def _next_mode(self) -> None:
        self._mode = float(_pick(self.mode_rng, self.shape.modes, self.shape.mode_shares, 1)[0])


def _pick(
    rng: np.random.Generator, modes: tuple[float, ...], shares: tuple[float, ...], count: int
) -> Floats:
    """`count` of the modes at random; one uniform number for each, so that it does not matter how many at once."""
    if len(modes) == 1:
        return np.full(count, modes[0])
    weights = np.cumsum(np.asarray(shares or (1.0,) * len(modes), dtype=np.float64))
    chosen = np.searchsorted(weights / weights[-1], rng.random(count), side="right")
    return np.asarray(modes, dtype=np.float64)[np.minimum(chosen, len(modes) - 1)]
