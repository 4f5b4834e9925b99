"""Deep learning applications: helpers that read like the papers they implement, and a report that runs."""
