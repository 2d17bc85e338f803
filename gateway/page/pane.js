/** One chart with its heading: a symbol and a timeframe, drawn and kept up to date. */

import { Backoff, mayPass } from "./backoff.js";
import { Board } from "./board.js";
import { PriceChart } from "./chart.js";
import { History } from "./history.js";
import { SECONDS, TIMEFRAMES, isTimeframe, wordsOf } from "./timeframes.js";

/** @typedef {import("./timeframes.js").Timeframe} Timeframe */

const DECIMALS_FROM_BARS = 300; // newest bars that tell with how many digits prices come
const FAR_BARS = 20; // of Shift and an arrow key

/**
 * @typedef {object} PaneEvents
 * @property {(timeframe: Timeframe) => void} onTimeframe another one was chosen
 * @property {() => void} onActive the pane was touched or has the focus
 * @property {() => void} onRetry
 * @property {() => void} onData something is to be drawn
 * @property {(error: Error) => void} onError
 */

/**
 * What the rest of the page knows, for the words of a pane. `note`: what the gateway said of the
 * stream, of no chart in particular.
 * @typedef {{isLost: boolean, isKnown: boolean, symbols: number, note: string}} Surroundings
 */

export class ChartPane {
  #client;
  #store;
  #events;
  #board;
  #chart;
  #fieldset;
  /** @type {History | null} */
  #history = null;
  /** @type {number | null} */
  #hovered = null;
  /** @type {Set<number>} bars to be drawn again */
  #changed = new Set();
  #isReset = false;
  #isFirstDraw = true;
  #name = "";
  /** Why bars could not be read. */
  #unread = "";
  /** Why the server does not stream this symbol, which then is not asked for again. */
  #refusal = "";
  /** @type {string | null} as typed or as known */
  symbol = null;
  /** @type {Timeframe} */
  timeframe = "1Min";
  /** Bars were missed, or none were asked for yet: once the stream stands, history is read. */
  #isBehind = true;
  /** Older bars were wanted and could not be read. */
  #isShort = false;
  #backoff = new Backoff();

  /**
   * @param {number} index
   * @param {{client: import("./tickgate.js").Client, store: import("./store.js").Store,
   *   host: HTMLElement, template: HTMLTemplateElement, events: PaneEvents}} options
   */
  constructor(index, { client, store, host, template, events }) {
    this.#client = client;
    this.#store = store;
    this.#events = events;
    const fragment = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
    this.root = /** @type {HTMLElement} */ (fragment.firstElementChild);
    host.append(this.root);
    this.#fieldset = /** @type {HTMLElement} */ (this.root.querySelector(".timeframes"));
    this.#addTimeframes(index);
    this.#board = new Board(this.root, events.onRetry);
    this.#chart = new PriceChart(this.#canvas, this.#legend, {
      onNeedHistory: () => this.#readOlder(),
      onCrosshair: (time) => {
        this.#hovered = time;
        events.onData();
      },
      onFollow: (atEnd) => {
        this.#followButton.hidden = atEnd || !this.bars.length;
      },
    });
    this.#listen();
  }

  get #canvas() {
    return /** @type {HTMLElement} */ (this.root.querySelector(".chart"));
  }

  get #legend() {
    return /** @type {HTMLElement} */ (this.root.querySelector(".legend"));
  }

  get #followButton() {
    return /** @type {HTMLElement} */ (this.root.querySelector(".follow"));
  }

  get bars() {
    return this.#history?.bars ?? [];
  }

  get history() {
    return this.#history;
  }

  /** Why there is no chart, or no more of it. */
  get problem() {
    return this.#refusal || this.#unread;
  }

  /** What the stream should bring for this chart; null: nothing. */
  get watched() {
    if (!this.#history || this.#refusal || !this.symbol) return null;
    return { symbol: this.symbol, timeframe: this.#history.streamed };
  }

  /** The radio buttons of one pane are a group of their own. @param {number} index */
  #addTimeframes(index) {
    for (const { name, label, words } of TIMEFRAMES) {
      const item = document.createElement("label");
      const radio = Object.assign(document.createElement("input"), {
        type: "radio", name: `timeframe-${index}`, value: name,
      });
      radio.setAttribute("aria-label", words);
      const text = document.createElement("span");
      text.textContent = label;
      text.title = words;
      item.append(radio, text);
      this.#fieldset.append(item);
    }
    this.#fieldset.addEventListener("change", (event) => {
      const { value } = /** @type {HTMLInputElement} */ (event.target);
      if (isTimeframe(value)) this.#events.onTimeframe(value);
    });
  }

  #listen() {
    this.#followButton.addEventListener("click", () => {
      this.#chart.follow(true);
      this.#canvas.focus({ preventScroll: true }); // the button goes away
    });
    this.root.addEventListener("pointerdown", () => this.#events.onActive(), { capture: true });
    this.root.addEventListener("focusin", () => this.#events.onActive());
    this.#canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? FAR_BARS : 1;
    if (event.key === "ArrowLeft") this.#chart.scrollBy(-step);
    else if (event.key === "ArrowRight") this.#chart.scrollBy(step);
    else if (event.key === "Home") this.#chart.toOldest();
    else if (event.key === "End") this.#chart.follow(false);
    else if (event.key === "+" || event.key === "=") this.#chart.zoom(1);
    else if (event.key === "-") this.#chart.zoom(-1);
    else return;
    event.preventDefault();
  }

  /** Show a symbol and timeframe; no effect while that is shown. @param {string | null} symbol @param {Timeframe} timeframe */
  open(symbol, timeframe) {
    const radio = this.#fieldset.querySelector(`[value="${timeframe}"]`);
    if (radio instanceof HTMLInputElement) radio.checked = true;
    if (this.symbol === symbol && this.timeframe === timeframe && this.#history) return;
    this.#history?.dispose();
    this.symbol = symbol;
    this.timeframe = timeframe;
    this.#forgive();
    this.fallBehind();
    this.#hovered = null;
    this.#isFirstDraw = true;
    this.#changed.clear();
    this.#history = symbol === null ? null : this.#makeHistory(symbol, timeframe);
    this.#reset();
  }

  /** @param {string} symbol @param {Timeframe} timeframe */
  #makeHistory(symbol, timeframe) {
    return new History(this.#client, symbol, timeframe, {
      onReset: () => this.#reset(),
      onBar: (time) => this.#changed.add(time),
      onError: (error) => {
        this.#unread = error?.message ?? "";
        if (error) this.#events.onError(error);
        else this.#backoff.reset();
        this.#events.onData();
      },
      onBehind: (error) => {
        if (!mayPass(error)) return;
        this.#isBehind = true;
        this.#backoff.failed();
      },
      onShort: () => {
        this.#isShort = true;
        this.#backoff.failed();
      },
    });
  }

  #reset() {
    this.#isReset = true;
    this.#events.onData();
  }

  /** Free the chart and stop its loads. */
  dispose() {
    this.#history?.dispose();
    this.#chart.dispose();
    this.root.remove();
  }

  /** Bars are being missed. */
  fallBehind() {
    this.#isBehind = true;
    this.#backoff.reset();
  }

  /** Read the bars that were missed, if any were; where that failed, not too soon after. */
  heal() {
    if (!this.#backoff.isDue) return;
    if (this.#isShort) {
      this.#isShort = false;
      this.#readOlder();
    }
    if (!this.#isBehind) return;
    this.#isBehind = false;
    this.#history?.refresh();
  }

  /** Where they could not be read it is not for each move of the chart to ask again. */
  #readOlder() {
    if (!this.#isShort) this.#history?.older();
  }

  /** The server does not stream this symbol. @param {string} words */
  refuse(words) {
    this.#refusal = words;
  }

  /** Try again what did not work. */
  retry() {
    this.#forgive();
    this.#history?.refresh();
  }

  #forgive() {
    this.#unread = this.#refusal = "";
    this.#isShort = false;
  }

  /** @param {any} message a bar of the stream, of any symbol and timeframe */
  takeBar(message) {
    const history = this.#history;
    if (!history || message.S !== history.symbol) return;
    if ((message.tf ?? "1Min") === history.streamed) history.takeBar(message);
  }

  /** @param {any} trade of any symbol */
  takeTrade(trade) {
    if (trade.S === this.#history?.symbol) {
      this.#history?.takeTrade(Date.parse(trade.t), trade.p, trade.s);
    }
  }

  /** Take the colours of the theme. */
  paint() {
    this.#chart.applyTheme(this.bars);
  }

  /** Draw what changed; to be called once per frame. @param {Surroundings} around */
  frame(around) {
    this.#drawBars();
    this.#drawWords(around);
  }

  #drawBars() {
    const history = this.#history;
    if (this.#isReset) this.#drawAll();
    else if (history && this.#changed.size) {
      const times = [...this.#changed].sort((a, b) => a - b);
      const bars = times.map((time) => history.series.at(time)).filter((bar) => bar !== undefined);
      this.#chart.patch(/** @type {import("./bars.js").Bar[]} */ (bars), history.bars);
    }
    this.#changed.clear();
  }

  #drawAll() {
    this.#isReset = false;
    const history = this.#history;
    for (const bar of this.bars.slice(-DECIMALS_FROM_BARS)) {
      this.#store.widen(this.symbol ?? "", bar.open, bar.high, bar.low, bar.close);
    }
    this.#chart.set(this.bars);
    if (!history?.bars.length) return;
    if (this.#isFirstDraw) this.#chart.resetView();
    this.#isFirstDraw = false;
    if (this.#chart.wantsHistory()) this.#readOlder();
  }

  /** @param {Surroundings} around */
  #drawWords(around) {
    const quote = this.#store.get(this.symbol);
    if (quote) {
      this.#board.heading(quote, this.#store.change(quote));
      this.#chart.setDecimals(quote.decimals);
    } else this.#board.unknown(this.symbol);
    const series = this.#history?.series;
    const bar = this.#hovered === null ? undefined : series?.at(this.#hovered);
    const shown = bar ?? series?.last;
    this.#board.legend(shown, shown && series?.before(shown.time), quote?.decimals ?? 2);
    this.#cover(around);
  }

  /** Say why there is no chart, or below it why there is no more of it. @param {Surroundings} around */
  #cover({ isLost, isKnown, symbols, note }) {
    const isEmpty = !this.bars.length;
    this.#board.note(isEmpty ? "" : this.problem || note);
    if (!isEmpty) this.#board.uncover();
    else if (this.problem) this.#board.problem("This chart cannot be shown", this.problem);
    else if (this.symbol === null && isLost) {
      this.#board.wait("Not connected", note || "The page goes on by itself once the gateway is there.");
    } else if (this.symbol === null) {
      this.#board.wait("Waiting for the first trade", "Symbols appear here as soon as a feed delivers.");
    } else if (!this.#history?.isLoaded && isLost) {
      this.#board.wait("Not connected", note || `${this.symbol} is shown once the gateway is there.`);
    } else if (!this.#history?.isLoaded) {
      this.#board.wait("Loading", note || this.symbol);
    } else if (isKnown || !symbols) {
      this.#board.wait("Waiting for the first trade", `${this.symbol} has not traded yet.`);
    } else {
      const many = symbols === 1 ? "the one symbol" : `the ${symbols.toLocaleString("en-US")} symbols`;
      this.#board.wait(
        "Unknown symbol",
        `${this.symbol} is not among ${many} of this gateway. Its chart begins when it trades.`,
      );
    }
  }

  /** Count down, fit; a few times a second. @param {number} serverMs */
  tick(serverMs) {
    this.#board.countdown(this.#history?.series.last, this.timeframe, serverMs);
    this.#chart.fit();
  }

  /** Say where the pane stands. @param {number} index @param {number} count @param {boolean} isActive */
  place(index, count, isActive) {
    this.root.classList.toggle("active", isActive && count > 1);
    const what = `${this.symbol ?? "no symbol"}, ${wordsOf(this.timeframe)}`;
    const name = count > 1 ? `Chart ${index + 1} of ${count}: ${what}` : `Chart: ${what}`;
    if (name === this.#name) return;
    this.#name = name;
    this.root.setAttribute("aria-label", name);
    this.#canvas.setAttribute("aria-label", `Candles and volume of ${what}`);
  }

  focus() {
    this.#canvas.focus({ preventScroll: true });
  }

  /** What the pane shows, for tests and for the curious. */
  state() {
    return {
      symbol: this.symbol,
      timeframe: this.timeframe,
      bars: this.bars.length,
      loaded: !this.#isReset && (this.#history?.isLoaded ?? false), // and drawn
      loading: this.#isReset || (this.#history?.isLoading ?? false),
      hasMore: this.#history?.hasMore ?? true,
      problem: this.problem,
    };
  }

  /** The bars as drawn, read back from the chart, with what the page knows beyond them. */
  series() {
    const drawn = this.#chart.read();
    const bars = drawn.candles.map((/** @type {any} */ candle, /** @type {number} */ index) => {
      const bar = this.#history?.series.at(candle.time);
      return {
        time: candle.time, open: candle.open, high: candle.high, low: candle.low,
        close: candle.close, volume: drawn.volume[index].value,
        trades: bar?.trades, vwap: bar?.vwap, rev: bar?.rev, final: bar?.final,
      };
    });
    const marks = drawn.marks.map((/** @type {any} */ mark) => mark.time);
    return { symbol: this.symbol, timeframe: this.timeframe, seconds: SECONDS[this.timeframe], bars, marks };
  }

  /** Move the view as a drag does. @param {number} bars negative goes back in time */
  scrollBy(bars) {
    this.#chart.scrollBy(bars);
  }
}
