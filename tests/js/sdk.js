// The published JavaScript SDK in a process of its own: does what lines on stdin say.
//
// Used as its users use it: `url` and `fetchApi` are documented options, nothing is replaced. Each
// line is a JSON object {"do": …}; each line that comes out is an answer, or what a listener was
// given.
"use strict";

const readline = require("node:readline");
const { Alpaca, marketDataShapes } = require("@alpacahq/alpaca-trade-api");

const HOST = "https://data.alpaca.markets"; // where the SDK's REST client would go

const say = (line) =>
    process.stdout.write(
        JSON.stringify(line, (_, value) => (typeof value === "bigint" ? `${value}` : value)) + "\n",
    );

class Client {
    constructor({ http, ws, key, secret }) {
        this.ws = ws;
        this.streams = new Map();
        this.alpaca = new Alpaca({
            keyId: key,
            secret,
            retry: false,
            rateLimit: false,
            // Its calls for crypto show no key of their own.
            headers: { "APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret },
            fetchApi: (url, options) => fetch(String(url).replace(HOST, http), options),
        });
        this.data = this.alpaca.marketData;
    }

    stream({ name, kind, ...channels }) {
        const options = { initialReconnectMs: 100, pingIntervalMs: 200, pongWaitMs: 3000 };
        const stream =
            kind === "stocks"
                ? this.data.stockStream({ ...options, url: `${this.ws}/v2/iex` })
                : this.data.cryptoStream({ ...options, url: `${this.ws}/v1beta3/crypto/us` });
        const tell = (event) => (value) => say({ stream: name, event, value });
        stream.onTrade(tell("trade"));
        stream.onBar(tell("bar"));
        stream.onUpdatedBar(tell("updated_bar"));
        stream.onCorrection(tell("correction"));
        stream.onCancelError(tell("cancel"));
        stream.on("subscription", tell("subscription"));
        stream.on("error", tell("error"));
        stream.on("reconnected", tell("reconnected"));
        this.streams.set(name, stream);
        this.subscribe({ name, ...channels });
        stream.connect();
    }

    subscribe({ name, trades, bars, updatedBars, quotes }) {
        const stream = this.streams.get(name);
        if (trades) stream.subscribeForTrades(trades);
        if (bars) stream.subscribeForBars(bars);
        if (updatedBars) stream.subscribeForUpdatedBars(updatedBars);
        if (quotes) stream.subscribeForQuotes(quotes);
    }

    unsubscribe({ name, trades }) {
        this.streams.get(name).unsubscribeFromTrades(trades);
    }

    async authenticated({ name }) {
        const { status, code } = await this.streams.get(name).waitForAuthenticationResult(10_000);
        return { status, code };
    }

    stop({ name }) {
        this.streams.get(name).disconnect();
        this.streams.delete(name);
    }

    async bars({ kind, symbols, timeframe = [1, "Min"], ...query }) {
        const asked = { symbols, timeframe: timeframe.join(""), ...times(query) };
        return kind === "stocks"
            ? this.data.getStockBars(asked)
            : this.data.getCryptoBars({ loc: "us", ...asked });
    }

    async trades({ kind, symbols, ...query }) {
        const asked = { symbols, ...times(query) };
        return kind === "stocks"
            ? this.data.getStockTrades(asked)
            : this.data.getCryptoTrades({ loc: "us", ...asked });
    }

    async latest_bars({ kind, symbols }) {
        const asked = { symbols: symbols.join(",") };
        const answer =
            kind === "stocks"
                ? await this.data.stocks.stockLatestBars(asked)
                : await this.data.crypto.cryptoLatestBars({ loc: "us", ...asked });
        return shaped(answer.bars, marketDataShapes.toBar);
    }

    async latest_trades({ kind, symbols }) {
        const asked = { symbols: symbols.join(",") };
        if (kind === "stocks") {
            const { trades } = await this.data.stocks.stockLatestTrades(asked);
            return shaped(trades, marketDataShapes.toStockTrade);
        }
        const { trades } = await this.data.crypto.cryptoLatestTrades({ loc: "us", ...asked });
        return shaped(trades, marketDataShapes.toCryptoTrade);
    }

    async latest_quotes({ symbols }) {
        return (await this.data.stocks.stockLatestQuotes({ symbols: symbols.join(",") })).quotes;
    }

    async latest_price({ symbol }) {
        return this.data.getLatestPrice(symbol);
    }

    async single({ symbol, ...query }) {
        const asked = { symbol, timeframe: "1Min", ...times(query) };
        return {
            bars: (await this.data.stocks.stockBarSingle(asked)).bars,
            bar: (await this.data.stocks.stockLatestBarSingle({ symbol })).bar,
            snapshot: await this.data.stocks.stockSnapshotSingle({ symbol }),
        };
    }

    async snapshots({ kind, symbols }) {
        const asked = { symbols: symbols.join(",") };
        return kind === "stocks"
            ? this.data.stocks.stockSnapshots(asked)
            : (await this.data.crypto.cryptoSnapshots({ loc: "us", ...asked })).snapshots;
    }
}

const times = ({ start, end, ...query }) => ({
    ...query,
    ...(start && { start: new Date(start) }),
    ...(end && { end: new Date(end) }),
});

const shaped = (found, shape) =>
    Object.fromEntries(Object.entries(found).map(([name, one]) => [name, shape(one, name)]));

const clients = new Map();

async function act({ id, do: action, client, ...options }) {
    try {
        if (action === "client") {
            clients.set(client, new Client(options));
            say({ id, found: null });
        } else {
            say({ id, found: (await clients.get(client)[action](options)) ?? null });
        }
    } catch (error) {
        say({ id, error: { status: error.status, code: error.code, message: error.message } });
    }
}

readline.createInterface({ input: process.stdin }).on("line", (line) => act(JSON.parse(line)));
say({ event: "ready" });
