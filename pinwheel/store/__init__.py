"""Where jobs, data sets and models are kept: records and events in Redis, files in the artifact folder."""
