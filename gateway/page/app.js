/** The page, put together. */

import { Api, ApiError } from "./api.js";
import { Overlay, showCountdown, showHeading, showLegend, showUnknown } from "./board.js";
import { PriceChart } from "./chart.js";
import { askForKey, storedKey } from "./credentials.js";
import { formatPrice } from "./format.js";
import { byId, perFrame, setText } from "./frames.js";
import { History } from "./history.js";
import { makeHash, parseHash } from "./route.js";
import { Session } from "./session.js";
import { ConnectionChip, FeedPanel, showLatency } from "./status.js";
import { Store } from "./store.js";
import { Theme } from "./theme.js";
import { isTimeframe } from "./timeframes.js";
import { Watchlist } from "./watchlist.js";

const TICK_MS = 250; // clocks and count-downs
const STATUS_MS = 5000;
const DAY_MS = 5000; // the day's volume of the symbol on the chart
const DECIMALS_FROM_BARS = 300; // newest bars that tell with how many digits prices come

class App {
  #store = new Store();
  #theme = new Theme();
  #api = new Api({ credentials: storedKey });
  #overlay = new Overlay(() => this.#reload());
  #feeds = new FeedPanel();
  #chip = new ConnectionChip(() => this.#session.stream.connect());
  #list = new Watchlist(this.#store, (symbol) => this.#go(symbol, this.#timeframe));
  #chart = new PriceChart(byId("chart"), {
    onNeedHistory: () => this.#history?.older(),
    onCrosshair: (time) => {
      this.#hovered = time;
      this.#draw();
    },
    onFollow: (atEnd) => {
      byId("follow").hidden = atEnd || !this.#history?.bars.length;
    },
  });
  #session = new Session({
    api: this.#api,
    store: this.#store,
    url: `${location.origin.replace(/^http/, "ws")}/v1/stream`,
    credentials: storedKey,
    events: {
      onQuote: (symbol) => this.#list.touch(symbol),
      onState: (state) => this.#connection(state),
      onSubscribed: () => this.#heal(),
      onBar: (message) => this.#history?.takeBar(message),
      onTrade: (trade) => this.#history?.takeTrade(Date.parse(trade.t), trade.p, trade.s),
      onData: () => this.#draw(),
      onStatus: (status) => this.#feeds.show(status),
      onStatusError: (error) => this.#feeds.fail(error.message),
      onRefused: (message) => this.#refuse(message),
      onKeyWanted: askForKey,
    },
  });
  /** @type {History | null} */
  #history = null;
  /** @type {string | null} as typed or as known */
  #symbol = null;
  /** @type {import("./timeframes.js").Timeframe} */
  #timeframe = "1Min";
  /** @type {number | null} */
  #hovered = null;
  /** @type {Set<number>} bars to be drawn again */
  #changed = new Set();
  #isReset = false;
  #isFirstDraw = true;
  #problem = "";
  #draw = perFrame(() => this.#frame());

  start() {
    this.#listen();
    this.#route();
    this.#session.start();
    this.#session.loadStatus();
    setInterval(() => this.#tick(), TICK_MS);
    setInterval(() => this.#session.checkPace(), 1000);
    setInterval(() => this.#session.loadStatus(), STATUS_MS);
    setInterval(() => this.#loadDay(), DAY_MS);
    this.#draw();
  }

  #listen() {
    addEventListener("hashchange", () => this.#route());
    addEventListener("online", () => this.#session.stream.connect());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#session.stream.connect(); // do not wait out a long back-off
    });
    byId("theme").addEventListener("click", () => this.#theme.toggle());
    this.#theme.onChange(() => this.#paint());
    this.#paint();
    byId("follow").addEventListener("click", () => this.#chart.follow(true));
    byId("timeframes").addEventListener("change", (event) => {
      const { value } = /** @type {HTMLInputElement} */ (event.target);
      if (isTimeframe(value) && this.#symbol) this.#go(this.#symbol, value);
      else if (isTimeframe(value)) this.#timeframe = value;
    });
  }

  #paint() {
    this.#chart.applyTheme(this.#history?.bars ?? []);
    const other = this.#theme.name === "dark" ? "light" : "dark";
    byId("theme").setAttribute("aria-label", `Switch to the ${other} theme`);
  }

  /** Show what the address asks for. */
  #route() {
    const { symbol, timeframe } = parseHash(location.hash);
    this.#timeframe = timeframe;
    this.#checkRadio();
    const wanted = symbol ?? this.#symbol;
    if (wanted) this.#open(this.#store.resolve(wanted) ?? wanted, timeframe);
  }

  /** Change the address; what it asks for is shown then. @param {string} symbol @param {import("./timeframes.js").Timeframe} timeframe */
  #go(symbol, timeframe) {
    const hash = makeHash(symbol, timeframe);
    if (location.hash !== hash) location.hash = hash;
  }

  #checkRadio() {
    const radios = /** @type {NodeListOf<HTMLInputElement>} */ (
      byId("timeframes").querySelectorAll("input")
    );
    for (const radio of radios) radio.checked = radio.value === this.#timeframe;
  }

  /** @param {string} symbol @param {import("./timeframes.js").Timeframe} timeframe */
  #open(symbol, timeframe) {
    if (this.#history?.symbol === symbol && this.#history.timeframe === timeframe) return;
    this.#history?.dispose();
    this.#symbol = symbol;
    this.#problem = "";
    this.#hovered = null;
    this.#isFirstDraw = true;
    this.#history = this.#makeHistory(symbol, timeframe);
    this.#markReset();
    this.#list.select(symbol);
    byId("chart").setAttribute("aria-label", `Candles and volume of ${symbol}, ${timeframe}`);
    this.#session.watch(symbol, timeframe);
    // Bars published since are in the stream only, so history is read after the subscription
    // stands; without a connection it is better than nothing.
    if (this.#session.stream.state.phase === "lost") this.#history.refresh();
    this.#loadDay();
  }

  /** @param {string} symbol @param {import("./timeframes.js").Timeframe} timeframe */
  #makeHistory(symbol, timeframe) {
    return new History(this.#api, symbol, timeframe, {
      onReset: () => this.#markReset(),
      onBar: (time) => this.#changed.add(time),
      onError: (error) => {
        this.#problem = error?.message ?? "";
        if (error instanceof ApiError && error.status === 401) askForKey(error.message);
        this.#draw();
      },
    });
  }

  #markReset() {
    this.#isReset = true;
    this.#draw();
  }

  /** @param {import("./stream.js").StreamState} state */
  #connection(state) {
    this.#chip.show(state);
    // What happened meanwhile; and while there is no stream, HTTP may still work.
    if (state.phase === "live" || !this.#store.size) this.#loadQuotes();
    this.#draw();
  }

  /** The stream stands (again): fetch what was missed. */
  #heal() {
    this.#history?.refresh();
  }

  #loadQuotes() {
    this.#session.loadQuotes().catch((error) => {
      if (!(error instanceof ApiError)) throw error;
      setText(byId("list-note"), error.message);
    });
  }

  #reload() {
    this.#problem = "";
    this.#history?.refresh();
    this.#session.stream.connect();
    this.#draw();
  }

  /** @param {string} message */
  #refuse(message) {
    this.#problem = message;
    this.#draw();
  }

  #loadDay() {
    const quote = this.#store.get(this.#symbol);
    if (quote && this.#session.stream.isSubscribed && !document.hidden) {
      this.#session.loadSnapshots([quote.symbol]).catch(() => undefined); // shown by the status
    }
  }

  #frame() {
    this.#session.apply();
    this.#adopt();
    this.#drawBars();
    this.#drawWords();
  }

  /** A first symbol is known, or the one typed is known under its full name now. */
  #adopt() {
    const known = this.#symbol === null ? this.#store.symbols()[0] : this.#store.resolve(this.#symbol);
    if (!known || known === this.#symbol) return;
    this.#open(known, this.#timeframe);
    history.replaceState(null, "", makeHash(known, this.#timeframe));
  }

  #drawBars() {
    const loaded = this.#history;
    if (!loaded) return;
    if (this.#isReset) {
      this.#drawAll(loaded);
    } else if (this.#changed.size) {
      const times = [...this.#changed].sort((a, b) => a - b);
      const bars = times.map((time) => loaded.series.at(time)).filter((bar) => bar !== undefined);
      this.#chart.patch(/** @type {import("./bars.js").Bar[]} */ (bars), loaded.bars);
    }
    this.#changed.clear();
  }

  /** @param {History} loaded */
  #drawAll(loaded) {
    this.#isReset = false;
    for (const bar of loaded.bars.slice(-DECIMALS_FROM_BARS)) {
      this.#store.widen(loaded.symbol, bar.open, bar.high, bar.low, bar.close);
    }
    this.#chart.set(loaded.bars);
    if (!loaded.bars.length) return;
    if (this.#isFirstDraw) this.#chart.resetView();
    this.#isFirstDraw = false;
    if (this.#chart.wantsHistory()) loaded.older();
  }

  #drawWords() {
    const quote = this.#store.get(this.#symbol);
    const loaded = this.#history;
    if (quote) {
      showHeading(quote, this.#store.change(quote));
      this.#chart.setDecimals(quote.decimals);
    } else if (this.#symbol) {
      showUnknown(this.#symbol);
    }
    const bar = this.#hovered === null ? undefined : loaded?.series.at(this.#hovered);
    const shown = bar ?? loaded?.series.last;
    showLegend(shown, shown && loaded?.series.before(shown.time), quote?.decimals ?? 2);
    this.#cover();
  }

  /** Say why there is no chart, or in the foot why there is no more of it. */
  #cover() {
    const isEmpty = !this.#history?.bars.length;
    setText(byId("history-note"), isEmpty ? "" : this.#problem);
    if (!isEmpty) this.#overlay.hide();
    else if (this.#problem) this.#overlay.problem("This chart cannot be shown", this.#problem);
    else if (!this.#symbol && this.#session.stream.state.phase === "lost") {
      this.#overlay.wait("Not connected", "The page goes on by itself once the gateway is there.");
    } else if (!this.#symbol) {
      this.#overlay.wait("Waiting for the first trade", "Symbols appear here as soon as a feed delivers.");
    } else if (!this.#history?.isLoaded) this.#overlay.wait("Loading", this.#symbol);
    else {
      this.#overlay.wait("Waiting for the first trade", `${this.#symbol} has not traded yet.`);
    }
  }

  #tick() {
    const isLive = this.#session.stream.state.phase === "live";
    this.#chip.tick();
    showLatency(this.#session.meter, isLive);
    showCountdown(this.#history?.series.last, this.#timeframe, this.#session.serverMs());
    const quote = this.#store.get(this.#symbol);
    document.title = quote
      ? `${formatPrice(quote.price, quote.decimals)} ${quote.ticker} · tickgate`
      : "tickgate";
  }

  /** What the page shows, for tests and for the curious. */
  state() {
    const { stream } = this.#session;
    return {
      connection: stream.state.phase,
      subscribed: stream.isSubscribed,
      symbol: this.#symbol,
      timeframe: this.#timeframe,
      symbols: this.#store.size,
      shown: this.#list.shown(),
      bars: this.#history?.bars.length ?? 0,
      loaded: !this.#isReset && (this.#history?.isLoaded ?? false), // and drawn
      loading: this.#isReset || (this.#history?.isLoading ?? false),
      hasMore: this.#history?.hasMore ?? true,
      problem: this.#problem,
      theme: this.#theme.name,
      latencyMs: this.#session.meter.median(performance.now()),
      light: this.#session.isLight,
    };
  }

  /** The bars as drawn, read back from the chart, with what the page knows beyond them. */
  series() {
    const drawn = this.#chart.read();
    const bars = drawn.candles.map((/** @type {any} */ candle, /** @type {number} */ index) => ({
      time: candle.time, open: candle.open, high: candle.high, low: candle.low, close: candle.close,
      volume: drawn.volume[index].value,
      trades: this.#history?.series.at(candle.time)?.trades,
      vwap: this.#history?.series.at(candle.time)?.vwap,
      rev: this.#history?.series.at(candle.time)?.rev,
      final: this.#history?.series.at(candle.time)?.final,
    }));
    return { symbol: this.#history?.symbol, timeframe: this.#history?.timeframe, bars };
  }

  /** Move the view as a drag does. @param {number} bars negative goes back in time */
  scrollBy(bars) {
    this.#chart.scrollBy(bars);
  }
}

const app = new App();
app.start();
Object.defineProperty(window, "tickgate", {
  value: Object.freeze({
    state: () => app.state(),
    series: () => app.series(),
    scrollBy: (/** @type {number} */ bars) => app.scrollBy(bars),
  }),
});
