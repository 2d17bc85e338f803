/** The page, put together. */

import { Api, ApiError } from "./api.js";
import { askForKey, storedKey } from "./credentials.js";
import { Days } from "./days.js";
import { formatPrice } from "./format.js";
import { byId, perFrame } from "./frames.js";
import { Keys } from "./keys.js";
import { COUNTS, makeHash, parseHash, parseStored, resize, roomFor, statusHash } from "./layout.js";
import { Panes } from "./panes.js";
import { Poll } from "./poll.js";
import { say } from "./say.js";
import { Search } from "./search.js";
import { Session } from "./session.js";
import { Sparks } from "./sparks.js";
import { ConnectionChip, showFeeds, showLatency, showNoFeeds } from "./status.js";
import { StatusView } from "./statusview.js";
import { load, save } from "./storage.js";
import { Store } from "./store.js";
import { TapeView } from "./tape.js";
import { Theme } from "./theme.js";
import { TIMEFRAMES } from "./timeframes.js";
import { Watched, parseWatched } from "./watched.js";
import { Watchlist } from "./watchlist.js";

const TICK_MS = 250; // clocks and count-downs
const SECOND_MS = 1000;
const STATUS_MS = 5000;
const DAY_MS = 5000; // the day's volume of the symbols on the charts
const LAYOUT = "tickgate.charts";
const WATCHED = "tickgate.watched";

/** @typedef {import("./layout.js").Plan} Plan */

class App {
  #store = new Store();
  #theme = new Theme();
  #api = new Api({ credentials: storedKey });
  #chip = new ConnectionChip(() => this.#session.stream.connect());
  #status = new StatusView();
  #tape = new TapeView();
  #sparks = new Sparks(this.#api);
  #watched = new Watched(parseWatched(load(WATCHED)), (symbols) => save(WATCHED, symbols));
  #list = new Watchlist({
    store: this.#store,
    watched: this.#watched,
    sparks: this.#sparks,
    onSelect: (symbol) => this.#change({ symbol }),
  });
  #search = new Search(this.#store, {
    isWatched: (symbol) => this.#listed().includes(symbol),
    onChoose: (symbol) => this.#choose(symbol),
  });
  #panes = new Panes({
    api: this.#api,
    store: this.#store,
    events: (index) => this.#paneEvents(index),
    onActive: () => this.#followActive(),
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
      onBar: (message) => this.#panes.all.forEach((pane) => pane.takeBar(message)),
      onTrade: (trade) => this.#takeTrade(trade),
      onSaid: (message) => this.#takeSaid(message),
      onData: () => this.#draw(),
      onStatus: (status) => this.#showStatus(status),
      onStatusError: (error) => this.#failStatus(error),
      onRefused: (message) => this.#refuse(message),
      onKeyWanted: askForKey,
    },
  });
  #poll = new Poll(STATUS_MS, () => this.#session.loadStatus());
  #days = new Days({
    session: this.#session,
    sparks: this.#sparks,
    listed: () => this.#listed(),
    charted: () => this.#charted(),
    onLines: (symbols) => symbols.forEach((symbol) => this.#list.touch(symbol)),
    onError: (error) => this.#failed(error),
  });
  #isStatus = false;
  /** Symbols that the list was arranged with. */
  #known = 0;
  /** What is streamed for the charts, as it was asked for. */
  #streamed = "";
  #draw = perFrame((nowMs) => this.#frame(nowMs));

  start() {
    this.#listen();
    this.#route();
    this.#paint();
    this.#session.start();
    this.#poll.start();
    setInterval(() => this.#tick(), TICK_MS);
    setInterval(() => this.#second(), SECOND_MS);
    setInterval(() => this.#days.renew(), DAY_MS);
    this.#draw();
  }

  #listen() {
    addEventListener("hashchange", () => this.#route());
    addEventListener("online", () => this.#session.stream.connect());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.#session.stream.connect(); // do not wait out a long back-off
      this.#poll.now();
    });
    byId("theme").addEventListener("click", () => this.#theme.toggle());
    this.#theme.onChange(() => this.#paint());
    byId("layouts").addEventListener("change", (event) => {
      this.#arrange(Number(/** @type {HTMLInputElement} */ (event.target).value));
    });
    byId("next-chart").addEventListener("click", () => this.#panes.next());
    byId("sides").addEventListener("change", (event) => {
      byId("side").dataset.tab = /** @type {HTMLInputElement} */ (event.target).value;
    });
    byId("status-back").addEventListener("click", () => this.#toggleStatus());
    for (const [link, target] of [["skip-chart", ".pane.front .chart"], ["skip-list", "#search"]]) {
      byId(link).addEventListener("click", (event) => {
        event.preventDefault(); // the address belongs to the charts
        /** @type {HTMLElement | null} */ (document.querySelector(target))?.focus();
      });
    }
    new Keys(this.#actions());
  }

  /** @returns {import("./keys.js").Actions} */
  #actions() {
    return {
      search: () => {
        if (this.#isStatus) this.#toggleStatus();
        this.#search.focus();
      },
      list: () => this.#list.focus(),
      pause: () => this.#tape.togglePause(),
      nextChart: () => this.#panes.next(),
      layout: () => this.#arrange(this.#panes.nextCount()),
      status: () => this.#toggleStatus(),
      theme: () => this.#theme.toggle(),
      timeframe: (index) => this.#change({ timeframe: TIMEFRAMES[index].name }),
      escape: () => this.#isStatus && this.#toggleStatus(),
    };
  }

  /** @param {number} index @returns {import("./pane.js").PaneEvents} */
  #paneEvents(index) {
    return {
      onTimeframe: (timeframe) => {
        this.#panes.activate(index);
        this.#change({ timeframe });
      },
      onActive: () => this.#panes.activate(index),
      onRetry: () => this.#retry(),
      onData: () => this.#draw(),
      onError: (error) => {
        if (error instanceof ApiError && error.status === 401) askForKey(error.message);
        else say(`Chart ${index + 1}: ${error.message}`);
      },
    };
  }

  // --- what is shown: the address says it ---

  #route() {
    const { isStatus, plans } = parseHash(location.hash);
    this.#isStatus = isStatus;
    byId("desk").hidden = isStatus;
    this.#status.toggle(isStatus);
    if (isStatus) byId("status-link").setAttribute("aria-current", "page");
    else byId("status-link").removeAttribute("aria-current");
    if (plans.length) this.#show(plans);
    else if (!this.#panes.all.length) this.#show(parseStored(load(LAYOUT)));
  }

  /** @param {Plan[]} wanted */
  #show(wanted) {
    const named = wanted.map((plan) => ({ ...plan, symbol: this.#named(plan.symbol) }));
    const symbols = this.#listed();
    const plans = resize(named, roomFor(Math.max(1, named.length)), symbols);
    this.#panes.show(plans);
    this.#followActive();
    this.#stream();
    this.#days.renew();
    if (plans.every((plan) => plan.symbol !== null)) save(LAYOUT, plans);
    this.#draw();
  }

  /** A symbol under its full name where it is known. @param {string | null} symbol */
  #named(symbol) {
    return symbol === null ? null : (this.#store.resolve(symbol) ?? symbol);
  }

  /** Show these charts, and let the address say so. @param {readonly Plan[]} plans */
  #go(plans) {
    const hash = makeHash(plans);
    if (location.hash !== hash) location.hash = hash;
  }

  /** Change what the active chart shows. @param {Partial<Plan>} change */
  #change(change) {
    const plans = this.#panes.plans;
    plans[this.#panes.activeIndex] = { ...plans[this.#panes.activeIndex], ...change };
    if (plans.some((plan) => plan.symbol !== null)) this.#go(plans);
    else this.#show(plans);
  }

  /** @param {number} count of charts */
  #arrange(count) {
    if (!COUNTS.includes(count)) return;
    const plans = resize(this.#panes.plans, count, this.#listed());
    this.#show(plans);
    this.#go(plans);
    say(count === 1 ? "One chart" : `${count} charts`);
  }

  #toggleStatus() {
    if (this.#isStatus) this.#go(this.#panes.plans);
    else location.hash = statusHash;
    if (this.#isStatus) this.#panes.active.focus();
    else byId("status-title").focus();
  }

  /** @param {string} symbol */
  #choose(symbol) {
    const outcome = this.#watched.add(symbol, this.#store.symbols());
    if (outcome === "full") say("The watch-list is full: remove a symbol first");
    else if (outcome === "added") say(`${symbol} added to the watch-list`);
    this.#list.arrange();
    this.#change({ symbol });
  }

  /** List and tape go with the active chart. */
  #followActive() {
    const symbol = this.#panes.active?.symbol ?? null;
    this.#list.select(symbol);
    this.#tape.show(symbol);
    this.#draw();
  }

  #paint() {
    for (const pane of this.#panes.all) pane.paint();
    const other = this.#theme.name === "dark" ? "light" : "dark";
    byId("theme").setAttribute("aria-label", `Switch to the ${other} theme`);
  }

  // --- what comes in ---

  /** Ask for the bars of the charts that are shown. */
  #stream() {
    const watched = this.#panes.all.map((pane) => pane.watched).filter((each) => each !== null);
    const streamed = JSON.stringify(watched);
    if (streamed === this.#streamed) this.#heal();
    else {
      this.#streamed = streamed;
      this.#session.watch(/** @type {import("./session.js").Watched[]} */ (watched));
    }
    // Bars published since are in the stream only, so history is read after the subscription
    // stands; without a connection it is better than nothing.
    if (this.#session.stream.state.phase === "lost") {
      for (const pane of this.#panes.all) if (!pane.bars.length) pane.retry();
    }
  }

  /** @param {import("./stream.js").StreamState} state */
  #connection(state) {
    this.#chip.show(state);
    if (state.phase !== "live") {
      for (const pane of this.#panes.all) pane.isBehind = true;
    }
    // What happened meanwhile; and while there is no stream, HTTP may still work.
    if (state.phase === "live" || !this.#store.size) this.#learn();
    this.#draw();
  }

  /** The stream stands (again): fetch what was missed. */
  #heal() {
    if (!this.#session.stream.isSubscribed) return;
    for (const pane of this.#panes.all) pane.heal();
  }

  /** Learn which symbols there are, and their days anew. */
  #learn() {
    this.#days.forget();
    this.#session.loadSymbols().then(() => this.#second(), (error) => this.#failed(error));
  }

  /** @param {any} trade */
  #takeTrade(trade) {
    for (const pane of this.#panes.all) pane.takeTrade(trade);
    this.#tape.take(trade);
  }

  /** @param {any} message */
  #takeSaid(message) {
    this.#tape.take(message);
    if (message.T === "gap") this.#status.takeGap(message);
  }

  #retry() {
    for (const pane of this.#panes.all) if (pane.problem) pane.retry();
    this.#stream();
    this.#session.stream.connect();
    this.#draw();
  }

  /** The stream refused a symbol; the others go on without it. @param {string} message */
  #refuse(message) {
    const named = this.#panes.all.filter(
      (pane) => pane.symbol && message.toUpperCase().includes(pane.symbol.toUpperCase()),
    );
    for (const pane of named.length ? named : [this.#panes.active]) {
      pane.problem = message;
      pane.isRefused = true;
    }
    this.#stream();
    this.#draw();
  }

  /** @param {unknown} error */
  #failed(error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) askForKey(error.message);
    // Otherwise the connection says what is wrong, and the next try may work.
  }

  /** @param {any} status */
  #showStatus(status) {
    showFeeds(status);
    this.#status.show(status);
  }

  /** @param {Error} error */
  #failStatus(error) {
    showNoFeeds();
    this.#status.fail(error.message);
  }

  /** @returns {string[]} */
  #charted() {
    const symbols = this.#panes.all.map((pane) => this.#store.get(pane.symbol)?.symbol);
    return /** @type {string[]} */ ([...new Set(symbols.filter(Boolean))]);
  }

  /** @returns {readonly string[]} */
  #listed() {
    return this.#watched.symbols(this.#store.symbols());
  }

  #second() {
    this.#session.checkPace();
    this.#days.complete();
  }

  // --- drawing ---

  /** @param {number} nowMs */
  #frame(nowMs) {
    this.#session.apply();
    if (this.#store.size !== this.#known) this.#list.arrange();
    this.#known = this.#store.size;
    this.#adopt();
    const isLost = this.#session.stream.state.phase === "lost";
    for (const pane of this.#panes.all) {
      const isKnown = this.#store.get(pane.symbol) !== undefined;
      pane.frame({ isLost, isKnown, symbols: this.#store.size });
    }
    this.#tape.write(nowMs, this.#store.get(this.#tape.symbol)?.decimals ?? 2);
  }

  /** Charts without a symbol take one that is known now, and typed ones their full names. */
  #adopt() {
    const plans = this.#panes.plans;
    if (!this.#store.size) return;
    const listed = plans.some((plan) => plan.symbol === null) ? [...this.#listed()] : [];
    const known = plans.map((plan, index) => ({
      ...plan,
      symbol: plan.symbol === null
        ? (listed[index] ?? listed[0] ?? null)
        : this.#named(plan.symbol),
    }));
    if (known.every((plan, index) => plan.symbol === plans[index].symbol)) return;
    this.#show(known);
    if (!this.#isStatus) history.replaceState(null, "", makeHash(known));
  }

  #tick() {
    const serverMs = this.#session.serverMs();
    this.#chip.tick();
    this.#status.tick();
    showLatency(this.#session.meter, this.#session.stream.state.phase === "live");
    for (const pane of this.#panes.all) pane.tick(serverMs);
    this.#tape.write(performance.now(), this.#store.get(this.#tape.symbol)?.decimals ?? 2);
    const quote = this.#store.get(this.#panes.active?.symbol ?? null);
    document.title = quote
      ? `${formatPrice(quote.price, quote.decimals)} ${quote.ticker} · tickgate`
      : "tickgate";
  }

  /** What the page shows, for tests and for the curious. */
  state() {
    const { stream } = this.#session;
    return {
      ...this.#panes.active.state(),
      connection: stream.state.phase,
      subscribed: stream.isSubscribed,
      symbols: this.#store.size,
      shown: this.#list.shown(),
      found: this.#search.found,
      panes: this.#panes.all.map((pane) => pane.state()),
      active: this.#panes.activeIndex,
      theme: this.#theme.name,
      latencyMs: this.#session.meter.median(performance.now()),
      light: this.#session.isLight,
    };
  }

  /** @param {number} [index] of the chart; the active one if left out */
  pane(index) {
    return index === undefined ? this.#panes.active : this.#panes.all[index];
  }
}

const app = new App();
app.start();
Object.defineProperty(window, "tickgate", {
  value: Object.freeze({
    state: () => app.state(),
    series: (/** @type {number | undefined} */ index) => app.pane(index).series(),
    scrollBy: (/** @type {number} */ bars) => app.pane().scrollBy(bars),
  }),
});
