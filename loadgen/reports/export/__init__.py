"""Reports as files for other tools: Markdown, CSV, Prometheus, and the formats of other load generators."""
