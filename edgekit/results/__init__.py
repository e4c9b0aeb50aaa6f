"""What is kept of measurements, and how it is shown.

Nothing is imported here on purpose: `edgekit.results.store` loads SQLAlchemy, `edgekit.results.report`
Matplotlib. Import them where they are used.
"""
