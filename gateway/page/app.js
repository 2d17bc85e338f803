/** The page, put together. */

import { blamed } from "./blame.js";
import { askForKey, storedKey } from "./credentials.js";
import { Days } from "./days.js";
import { Desk } from "./desk.js";
import { Earlier } from "./earlier.js";
import { formatPrice } from "./format.js";
import { byId, perFrame } from "./frames.js";
import { Keys } from "./keys.js";
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
import { AuthFailed, Client, ClientError } from "./tickgate.js";
import { TIMEFRAMES } from "./timeframes.js";
import { Watched, parseWatched } from "./watched.js";
import { Watchlist } from "./watchlist.js";

const TICK_MS = 250; // clocks and count-downs
const SECOND_MS = 1000;
const STATUS_MS = 5000;
const DAY_MS = 5000; // the day's volume of the symbols on the charts
const WATCHED = "tickgate.watched";

class App {
  #store = new Store();
  #theme = new Theme();
  /** It asks once: what is not there is said at once, and asked for again in the page's own time. */
  #client = new Client(location.origin, { credentials: storedKey, retries: 0 });
  #chip = new ConnectionChip(() => this.#session.reconnect());
  #status = new StatusView();
  #tape = new TapeView();
  #earlier = new Earlier(this.#client, this.#tape);
  #sparks = new Sparks(this.#client);
  #watched = new Watched(parseWatched(load(WATCHED)), (symbols) => save(WATCHED, symbols));
  #list = new Watchlist({
    store: this.#store,
    watched: this.#watched,
    sparks: this.#sparks,
    onSelect: (symbol) => this.#desk.change({ symbol }),
  });
  #search = new Search(this.#store, {
    isWatched: (symbol) => this.#listed().includes(symbol),
    onChoose: (symbol) => this.#choose(symbol),
  });
  #desk = new Desk({
    client: this.#client,
    store: this.#store,
    status: this.#status,
    listed: () => this.#listed(),
    events: {
      ofPane: (index) => this.#paneEvents(index),
      onActive: () => this.#followActive(),
      onShown: () => this.#shown(),
    },
  });
  #session = new Session({
    client: this.#client,
    store: this.#store,
    url: `${location.origin.replace(/^http/, "ws")}/v1/stream`,
    credentials: storedKey,
    events: {
      onQuote: (symbol) => this.#list.touch(symbol),
      onState: (state) => this.#connection(state),
      onSubscribed: () => this.#stand(),
      onBar: (message) => this.#desk.panes.forEach((pane) => pane.takeBar(message)),
      onTrade: (trade) => this.#takeTrade(trade),
      onLastTrade: (trade) => this.#desk.panes.forEach((pane) => pane.takeTrade(trade)),
      onSaid: (message) => this.#takeSaid(message),
      onData: () => this.#draw(),
      onStatus: (status) => this.#showStatus(status),
      onStatusError: (error) => this.#failStatus(error),
      onRefused: (error) => this.#refuse(error),
      onNote: (message) => this.#notice(message),
      onKeyWanted: (message, isAsked) => this.#wantKey(message, isAsked),
    },
  });
  #poll = new Poll(STATUS_MS, () => this.#session.loadStatus());
  #days = new Days({
    session: this.#session,
    sparks: this.#sparks,
    listed: () => this.#listed(),
    charted: () => this.#desk.charted(),
    onLines: (symbols) => symbols.forEach((symbol) => this.#list.touch(symbol)),
    onError: (error) => this.#failed(error),
  });
  /** Symbols that the list was arranged with. */
  #known = 0;
  /** What is streamed for the charts, as it was asked for. */
  #streamed = "";
  /** What the gateway said last of the whole stream, until that stands again. */
  #note = "";
  #draw = perFrame((nowMs) => this.#frame(nowMs));

  start() {
    this.#listen();
    this.#desk.route();
    this.#paint();
    this.#session.start();
    this.#poll.start();
    setInterval(() => this.#tick(), TICK_MS);
    setInterval(() => this.#second(), SECOND_MS);
    setInterval(() => this.#days.renew(), DAY_MS);
    this.#draw();
  }

  #listen() {
    addEventListener("online", () => this.#session.stream.connect());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.#session.stream.connect(); // do not wait out a long back-off
      this.#poll.now();
    });
    addEventListener("storage", ({ key }) => {
      if (key !== WATCHED) return;
      this.#watched.follow(parseWatched(load(WATCHED))); // else this tab would undo the other's
      this.#list.arrange();
    });
    byId("theme").addEventListener("click", () => this.#theme.toggle());
    this.#theme.onChange(() => this.#paint());
    byId("sides").addEventListener("change", (event) => {
      this.#turnTo(/** @type {HTMLInputElement} */ (event.target).value);
    });
    for (const [link, target] of [["skip-chart", ".pane.front .chart"], ["skip-list", "#search"]]) {
      byId(link).addEventListener("click", (event) => {
        event.preventDefault(); // the address belongs to the charts
        this.#turnTo("watch");
        /** @type {HTMLElement | null} */ (document.querySelector(target))?.focus();
      });
    }
    new Keys(this.#actions());
  }

  /** Of watch-list and trades, a phone shows one: what is not shown takes no focus. @param {string} side */
  #turnTo(side) {
    byId("side").dataset.tab = side;
    for (const radio of byId("sides").querySelectorAll("input")) radio.checked = radio.value === side;
  }

  /** @returns {import("./keys.js").Actions} */
  #actions() {
    return {
      search: () => {
        if (this.#desk.isStatus) this.#desk.toggleStatus();
        this.#turnTo("watch");
        this.#search.focus();
      },
      list: () => {
        this.#turnTo("watch");
        this.#list.focus();
      },
      pause: () => this.#tape.togglePause(),
      nextChart: () => this.#desk.next(),
      layout: () => this.#desk.arrangeNext(),
      status: () => this.#desk.toggleStatus(),
      theme: () => this.#theme.toggle(),
      timeframe: (index) => this.#desk.change({ timeframe: TIMEFRAMES[index].name }),
      escape: () => this.#desk.isStatus && this.#desk.toggleStatus(),
    };
  }

  /** @param {number} index */
  #paneEvents(index) {
    return {
      onRetry: () => this.#retry(),
      onData: () => this.#draw(),
      onError: (/** @type {Error} */ error) => {
        if (error instanceof AuthFailed) askForKey(error.message);
        else say(`Chart ${index + 1}: ${error.message}`);
      },
    };
  }

  // --- what is shown ---

  #shown() {
    this.#stream();
    this.#followActive();
    this.#days.renew();
    this.#draw();
  }

  /** @param {string} symbol */
  #choose(symbol) {
    const outcome = this.#watched.add(symbol, this.#store.symbols());
    if (outcome === "full") say("The watch-list is full: remove a symbol first");
    else if (outcome === "added") say(`${symbol} added to the watch-list`);
    this.#list.arrange();
    this.#desk.change({ symbol });
  }

  /** List and tape go with the active chart. */
  #followActive() {
    const symbol = this.#desk.active?.symbol ?? null;
    this.#list.select(symbol);
    this.#tape.show(symbol, this.#session.recent(symbol));
    this.#earlier.complete();
    this.#draw();
  }

  #paint() {
    for (const pane of this.#desk.panes) pane.paint();
    const other = this.#theme.name === "dark" ? "light" : "dark";
    byId("theme").setAttribute("aria-label", `Switch to the ${other} theme`);
  }

  // --- what comes in ---

  /** Ask for the bars of the charts that are shown. */
  #stream() {
    const watched = this.#desk.panes.map((pane) => pane.watched).filter((each) => each !== null);
    const streamed = JSON.stringify(watched);
    if (streamed === this.#streamed) this.#heal();
    else {
      this.#streamed = streamed;
      this.#session.watch(/** @type {import("./session.js").Watched[]} */ (watched));
    }
    // Bars published since are in the stream only, so history is read after the subscription
    // stands; without a connection it is better than nothing.
    if (this.#session.stream.state.phase === "lost") {
      for (const pane of this.#desk.panes) if (!pane.bars.length) pane.retry();
    }
  }

  /** @param {import("./stream.js").StreamState} state */
  #connection(state) {
    this.#chip.show(state);
    if (state.phase !== "live") {
      for (const pane of this.#desk.panes) pane.fallBehind();
      this.#tape.interrupt();
    }
    // What happened meanwhile; and while there is no stream, HTTP may still work.
    if (state.phase === "live" || !this.#store.size) this.#learn();
    if (state.phase === "live") this.#poll.now();
    this.#draw();
  }

  /** The stream stands (again). */
  #stand() {
    this.#note = "";
    this.#heal();
    this.#draw();
  }

  /** Fetch what was missed, as far as the stream stands. */
  #heal() {
    if (!this.#session.stream.isSubscribed) return;
    for (const pane of this.#desk.panes) pane.heal();
  }

  /** Learn which symbols there are, and their days anew. */
  #learn() {
    this.#days.forget();
    this.#session.loadSymbols().then(() => this.#second(), (error) => this.#failed(error));
  }

  /** @param {any} trade */
  #takeTrade(trade) {
    for (const pane of this.#desk.panes) pane.takeTrade(trade);
    this.#tape.take(trade);
  }

  /** @param {any} message */
  #takeSaid(message) {
    this.#tape.take(message);
    if (message.T === "gap") this.#status.takeGap(message);
  }

  #retry() {
    for (const pane of this.#desk.panes) if (pane.problem) pane.retry();
    this.#stream();
    this.#session.stream.connect();
    this.#draw();
  }

  /** The stream refused a symbol; the others go on without it. @param {import("./tickgate.js").Refused} error */
  #refuse({ message, symbols: [refused] }) {
    for (const pane of blamed(this.#desk.panes, this.#desk.active, refused)) pane.refuse(message);
    this.#stream();
    this.#draw();
  }

  /** What is no chart's fault, and passes. @param {string} message */
  #notice(message) {
    this.#note = message;
    say(message);
    this.#draw();
  }

  /** Nothing comes without one, also where the dialog is closed. @param {string} message @param {boolean} [isAsked] */
  #wantKey(message, isAsked) {
    this.#note = message;
    askForKey(message, isAsked);
    this.#draw();
  }

  /** @param {unknown} error */
  #failed(error) {
    if (!(error instanceof ClientError)) throw error;
    if (error instanceof AuthFailed) askForKey(error.message);
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

  /** @returns {readonly string[]} */
  #listed() {
    return this.#watched.symbols(this.#store.symbols());
  }

  #second() {
    this.#session.checkPace();
    this.#heal(); // what could not be had before
    this.#days.complete();
    this.#earlier.complete();
  }

  // --- drawing ---

  /** @param {number} nowMs */
  #frame(nowMs) {
    this.#session.apply();
    if (this.#store.size !== this.#known) this.#list.arrange();
    this.#known = this.#store.size;
    this.#desk.adopt();
    const around = {
      isLost: this.#session.stream.state.phase === "lost", symbols: this.#store.size, note: this.#note,
    };
    for (const pane of this.#desk.panes) {
      pane.frame({ ...around, isKnown: this.#store.get(pane.symbol) !== undefined });
    }
    this.#tape.write(nowMs, this.#store.get(this.#tape.symbol)?.decimals ?? 2);
  }

  #tick() {
    if (document.hidden) this.#session.apply(); // there are no frames, and the title has the price
    const serverMs = this.#session.serverMs();
    this.#chip.tick();
    this.#status.tick();
    showLatency(this.#session.meter, this.#session.stream.state.phase === "live");
    for (const pane of this.#desk.panes) pane.tick(serverMs);
    this.#tape.write(performance.now(), this.#store.get(this.#tape.symbol)?.decimals ?? 2);
    const quote = this.#store.get(this.#desk.active?.symbol ?? null);
    document.title = quote
      ? `${formatPrice(quote.price, quote.decimals)} ${quote.ticker} · tickgate`
      : "tickgate";
  }

  /** What the page shows, for tests and for the curious. */
  state() {
    const { stream } = this.#session;
    return {
      ...this.#desk.active.state(),
      connection: stream.state.phase,
      subscribed: stream.isSubscribed,
      symbols: this.#store.size,
      shown: this.#list.shown(),
      found: this.#search.found,
      panes: this.#desk.panes.map((pane) => pane.state()),
      active: this.#desk.activeIndex,
      theme: this.#theme.name,
      latencyMs: this.#session.meter.median(performance.now()),
      light: this.#session.isLight,
    };
  }

  /** @param {number} [index] of the chart; the active one if left out */
  pane(index) {
    return index === undefined ? this.#desk.active : this.#desk.panes[index];
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
