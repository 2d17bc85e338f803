-- A request may bring the bars that are to be stored, instead of having them folded from the log.
ALTER TABLE rebuilds ADD COLUMN given bytea;
