/** What flows between the gateway and the page's state: snapshots, trades, bars, status. */

import { LatencyMeter, ServerClock } from "./clock.js";
import { TradeFlow } from "./flow.js";
import { ofReadable } from "./readable.js";
import { Recent } from "./recent.js";
import { Stream } from "./stream.js";
import { AuthFailed, ClientError } from "./tickgate.js";
import { barChannels } from "./timeframes.js";

const SAID_OF_TRADES = ["c", "x", "gap"]; // corrections, cancels, missing trades
const SNAPSHOT_MS = 300; // after a subscription last trades arrive, which may be old: no latency
const SLOW_CLIENT = 407;
const KEY_CODES = [401, 402, 404]; // not authenticated, auth failed, auth timeout
const INTERNAL = 500; // no fault of what was asked for

/** @typedef {import("./tickgate.js").Refused} Refused */

/**
 * A chart's symbol, and the streamed timeframe that it is made of.
 * @typedef {{symbol: string, timeframe: import("./timeframes.js").Timeframe}} Watched
 */

/**
 * @typedef {object} SessionEvents
 * @property {(symbol: string) => void} onQuote a symbol is new or has new values
 * @property {(state: import("./stream.js").StreamState) => void} onState
 * @property {() => void} onSubscribed
 * @property {(message: any) => void} onBar a bar of a chart that is watched
 * @property {(message: any) => void} onTrade a trade of a symbol that is watched
 * @property {(trade: any) => void} onLastTrade as it was asked for, of a symbol that is watched: it may be newer
 * @property {(message: any) => void} onSaid what is said of trades later, of any symbol
 * @property {() => void} onData something arrived: a frame should be drawn
 * @property {(status: any) => void} onStatus
 * @property {(error: Error) => void} onStatusError
 * @property {(error: Refused) => void} onRefused the server refused to stream a chart's symbol
 * @property {(message: string) => void} onNote the server said something else of the stream
 * @property {(message: string, isAsked?: boolean) => void} onKeyWanted `isAsked`: a person wants to give one
 */

export class Session {
  #client;
  #store;
  #events;
  #stream;
  #flow = new TradeFlow();
  #recent = new Recent();
  /** @type {readonly Watched[]} */
  #watched = [];
  /** @type {Set<string>} */
  #symbols = new Set();
  /** Channels that the key does not permit on this connection. @type {Set<string>} */
  #denied = new Set();
  #liveFromMs = Infinity;
  /** Trades came faster than this browser reads them: from then on there are fewer. */
  isOverrun = false;
  clock = new ServerClock();
  meter = new LatencyMeter();

  /**
   * @param {{client: import("./tickgate.js").Client, store: import("./store.js").Store, url: string,
   *   credentials: () => {key?: string, secret?: string}, events: SessionEvents}} options
   */
  constructor({ client, store, url, credentials, events }) {
    this.#client = client;
    this.#store = store;
    this.#events = events;
    this.#stream = new Stream(
      url,
      {
        onMessages: (messages) => this.#take(messages),
        onState: (state) => {
          if (state.phase !== "live") this.#lose();
          events.onState(state);
        },
        onSubscribed: () => this.#subscribed(),
        onRefused: (error, asked) => this.#refused(error, asked),
        onError: (error) => this.#refused(error, error.symbols),
        onFeedNews: () => this.loadStatus(),
      },
      credentials,
    );
  }

  get stream() {
    return this.#stream;
  }

  /** Prices of the list come once a second instead of trade by trade: running bars have them, too. */
  get isLight() {
    return this.isOverrun || this.#denied.has("trades");
  }

  start() {
    this.#subscribe();
    this.#stream.connect();
  }

  /** Connect now, as a person wants it: with another key where this one is not accepted. */
  reconnect() {
    const { isOver, reason } = this.#stream.state;
    if (isOver) this.#events.onKeyWanted(reason, true);
    else this.#stream.connect();
  }

  /** Let the bars of these charts come, and of no others. @param {readonly Watched[]} charts */
  watch(charts) {
    if (this.isLight) this.#recent.clear(); // trades of other symbols did not come
    this.#watched = charts;
    this.#symbols = new Set(charts.map((chart) => chart.symbol));
    this.#subscribe();
  }

  /** What came of a symbol's trades lately, oldest first. @param {string | null} symbol */
  recent(symbol) {
    return this.#recent.of(symbol);
  }

  /** The server's time now, as well as we know it. */
  serverMs() {
    return Date.now() + this.clock.offsetMs;
  }

  /** Learn which symbols there are. @returns {Promise<void>} */
  async loadSymbols() {
    for (const { symbol } of await this.#client.symbols()) this.#store.add(symbol);
    this.#events.onData();
  }

  /** Load last trade and day of these. @param {readonly string[]} symbols */
  async loadSnapshots(symbols) {
    const ask = (/** @type {string[]} */ some) => this.#client.snapshots(some);
    const snapshots = await ofReadable(this.#client, symbols, ask);
    for (const symbol of symbols) {
      const snapshot = snapshots[symbol];
      this.#store.snapshot(symbol, snapshot);
      this.#events.onQuote(symbol);
      const trade = snapshot?.latestTrade;
      if (trade && this.#symbols.has(symbol)) this.#events.onLastTrade({ ...trade, S: symbol });
    }
    this.#events.onData();
  }

  /** Ask for the system's state, and by the way for the server's clock; whether it answered. */
  async loadStatus() {
    const sentMs = Date.now();
    try {
      const status = await this.#client.status();
      this.clock.probe(sentMs, Date.now(), status.time_ns / 1e6);
      this.#stream.heartbeatMs = status.heartbeat_s * 1000;
      this.#events.onStatus(status);
      return true;
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      if (error instanceof AuthFailed) this.#events.onKeyWanted(error.message);
      this.#events.onStatusError(error);
      return false;
    }
  }

  /** Show the newest trades in the store; to be called once per frame. */
  apply() {
    const nowMs = performance.now();
    for (const [symbol, trade] of this.#flow.take()) {
      const timeMs = Date.parse(trade.t);
      this.#store.add(symbol);
      if (!this.#store.trade(symbol, trade.p, timeMs)) continue;
      if (trade.isLive) this.meter.add(nowMs, this.serverMs() - timeMs);
      this.#events.onQuote(symbol);
    }
  }

  /** To be called once a second. */
  checkPace() {
    if (this.#flow.isTooFast() && !this.isLight) this.#goLight();
  }

  #goLight() {
    this.isOverrun = true;
    this.#recent.clear();
    this.#subscribe();
  }

  #subscribe() {
    /** @type {Record<string, Set<string>>} */
    const wanted = this.isLight
      ? { runningBars: new Set(["*"]), trades: new Set(this.#symbols) }
      : { trades: new Set(["*"]) };
    for (const { symbol, timeframe } of this.#watched) {
      for (const channel of barChannels(timeframe)) (wanted[channel] ??= new Set()).add(symbol);
    }
    const permitted = Object.entries(wanted).filter(([channel]) => !this.#denied.has(channel));
    const channels = permitted.map(([channel, symbols]) => [channel, [...symbols]]);
    this.#stream.subscribe({ channels: Object.fromEntries(channels) });
  }

  /** A key may permit some channels only: go on with the others. @param {string[]} channels */
  #goWithout(channels) {
    for (const channel of channels) this.#denied.add(channel);
    this.#subscribe();
  }

  /** The next connection may be another key's, or the same key permit more. */
  #lose() {
    this.#recent.clear();
    if (!this.#denied.size) return;
    this.#denied.clear();
    this.#subscribe();
  }

  #subscribed() {
    this.#liveFromMs = performance.now() + SNAPSHOT_MS;
    this.#events.onSubscribed();
  }

  /** @param {any[]} messages */
  #take(messages) {
    for (const message of messages) {
      const isWatched = this.#symbols.has(message.S);
      if (message.T === "t") {
        message.isLive = performance.now() > this.#liveFromMs;
        this.#flow.put(message);
        this.#recent.put(message);
        if (isWatched) this.#events.onTrade(message);
      } else if (message.T === "b" || message.T === "u" || message.T === "r") {
        if (isWatched) this.#events.onBar(message);
        if (this.isLight && message.T === "r") this.#takePrice(message);
      } else if (SAID_OF_TRADES.includes(message.T)) {
        this.#recent.put(message);
        this.#events.onSaid(message);
      }
    }
    this.#events.onData();
  }

  /** A running bar stands for the trades that are not asked for. @param {any} bar */
  #takePrice(bar) {
    const known = this.#store.get(bar.S)?.timeMs ?? 0;
    const timeMs = Math.max(known, Date.parse(bar.t));
    this.#store.add(bar.S);
    if (this.#store.trade(bar.S, bar.c, timeMs)) this.#events.onQuote(bar.S);
  }

  /** @param {Refused} error @param {string[]} asked symbols that it may be about */
  #refused(error, asked) {
    const { code, message, channels, symbols: [named] } = error;
    if (code === SLOW_CLIENT) this.#goLight();
    else if (channels.length) this.#goWithout(channels);
    else if (KEY_CODES.includes(code)) {
      this.#stream.stop();
      this.#events.onKeyWanted(message);
    } else if (named !== undefined && !this.#symbols.has(named)) {
      this.#subscribe(); // its chart is gone meanwhile: what was asked for beside it is wanted
    } else if (code !== INTERNAL && asked.some((symbol) => this.#symbols.has(symbol))) {
      this.#events.onRefused(error);
    } else this.#events.onNote(message);
  }
}
