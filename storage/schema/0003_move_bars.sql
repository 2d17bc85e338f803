-- Bars of an older installation move to the table of their timeframe, by now a hypertable where
-- there are any. The view is for people: tickgate reads and writes the tables.
INSERT INTO bars_1min (symbol, time, open, high, low, close, volume, trades, vwap, rev, gap,
    open_ns, open_seq, close_ns, close_seq, volume_parts, notional_parts)
SELECT symbol, time, open, high, low, close, volume, trades, vwap, rev, gap,
    open_ns, open_seq, close_ns, close_seq, volume_parts, notional_parts
FROM bars_unsplit WHERE timeframe = '1Min';

INSERT INTO bars_5min (symbol, time, open, high, low, close, volume, trades, vwap, rev, gap,
    open_ns, open_seq, close_ns, close_seq, volume_parts, notional_parts)
SELECT symbol, time, open, high, low, close, volume, trades, vwap, rev, gap,
    open_ns, open_seq, close_ns, close_seq, volume_parts, notional_parts
FROM bars_unsplit WHERE timeframe = '5Min';

INSERT INTO bars_15min (symbol, time, open, high, low, close, volume, trades, vwap, rev, gap,
    open_ns, open_seq, close_ns, close_seq, volume_parts, notional_parts)
SELECT symbol, time, open, high, low, close, volume, trades, vwap, rev, gap,
    open_ns, open_seq, close_ns, close_seq, volume_parts, notional_parts
FROM bars_unsplit WHERE timeframe = '15Min';

DROP TABLE bars_unsplit;

CREATE VIEW bars AS
SELECT symbol, '1Min'::text AS timeframe, time, open, high, low, close, volume, vwap, trades, rev,
    gap, open_ns, open_seq, close_ns, close_seq, volume_parts, notional_parts FROM bars_1min
UNION ALL
SELECT symbol, '5Min'::text, time, open, high, low, close, volume, vwap, trades, rev,
    gap, open_ns, open_seq, close_ns, close_seq, volume_parts, notional_parts FROM bars_5min
UNION ALL
SELECT symbol, '15Min'::text, time, open, high, low, close, volume, vwap, trades, rev,
    gap, open_ns, open_seq, close_ns, close_seq, volume_parts, notional_parts FROM bars_15min;
