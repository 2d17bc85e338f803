/** The charts that are shown, and the address that says which. */

import { byId } from "./frames.js";
import { COUNTS, makeHash, parseHash, parseStored, resize, roomFor, statusHash } from "./layout.js";
import { Panes } from "./panes.js";
import { say } from "./say.js";
import { load, save } from "./storage.js";

const KEPT = "tickgate.charts";

/** @typedef {import("./layout.js").Plan} Plan */

/**
 * @typedef {object} DeskEvents
 * @property {(index: number) => Omit<import("./pane.js").PaneEvents, "onTimeframe" | "onActive">} ofPane
 * @property {() => void} onActive another chart is the active one
 * @property {() => void} onShown other charts are shown, or other symbols on them
 */

export class Desk {
  #store;
  #listed;
  #status;
  #events;
  #panes;
  /** Whether the state of the system is shown instead. */
  isStatus = false;

  /**
   * @param {{client: import("./tickgate.js").Client, store: import("./store.js").Store,
   *   status: import("./statusview.js").StatusView, listed: () => readonly string[],
   *   events: DeskEvents}} options `listed`: the symbols to choose charts from
   */
  constructor({ client, store, status, listed, events }) {
    this.#store = store;
    this.#listed = listed;
    this.#status = status;
    this.#events = events;
    this.#panes = new Panes({
      client,
      store,
      events: (index) => ({
        ...events.ofPane(index),
        onTimeframe: (timeframe) => {
          this.#panes.activate(index);
          this.change({ timeframe });
        },
        onActive: () => this.#panes.activate(index),
      }),
      onActive: events.onActive,
    });
    addEventListener("hashchange", () => this.route());
    byId("layouts").addEventListener("change", (event) => {
      this.arrange(Number(/** @type {HTMLInputElement} */ (event.target).value));
    });
    byId("next-chart").addEventListener("click", () => this.#panes.next());
    byId("status-back").addEventListener("click", () => this.toggleStatus());
  }

  get panes() {
    return this.#panes.all;
  }

  get active() {
    return this.#panes.active;
  }

  get activeIndex() {
    return this.#panes.activeIndex;
  }

  /** The known symbols on the charts, each once. @returns {string[]} */
  charted() {
    const symbols = this.panes.map((pane) => this.#store.get(pane.symbol)?.symbol);
    return /** @type {string[]} */ ([...new Set(symbols.filter(Boolean))]);
  }

  /** Show what the address says. */
  route() {
    const { isStatus, plans } = parseHash(location.hash);
    this.isStatus = isStatus;
    byId("desk").hidden = isStatus;
    this.#status.toggle(isStatus);
    if (isStatus) byId("status-link").setAttribute("aria-current", "page");
    else byId("status-link").removeAttribute("aria-current");
    if (plans.length) this.#show(plans);
    else if (!this.panes.length) this.#show(parseStored(load(KEPT)));
  }

  /** @param {Plan[]} wanted */
  #show(wanted) {
    const named = wanted.map((plan) => ({ ...plan, symbol: this.#named(plan.symbol) }));
    const plans = resize(named, roomFor(Math.max(1, named.length)), this.#listed());
    this.#panes.show(plans);
    this.#events.onShown();
    if (plans.every((plan) => plan.symbol !== null)) save(KEPT, plans);
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
  change(change) {
    const plans = this.#panes.plans;
    plans[this.activeIndex] = { ...plans[this.activeIndex], ...change };
    if (plans.some((plan) => plan.symbol !== null)) this.#go(plans);
    else this.#show(plans);
  }

  /** @param {number} count of charts */
  arrange(count) {
    if (!COUNTS.includes(count)) return;
    const plans = resize(this.#panes.plans, count, this.#listed());
    this.#show(plans);
    this.#go(plans);
    say(count === 1 ? "One chart" : `${count} charts`);
  }

  /** One, two or four charts, in turn. */
  arrangeNext() {
    this.arrange(this.#panes.nextCount());
  }

  /** Make the next chart the active one. */
  next() {
    this.#panes.next();
  }

  toggleStatus() {
    if (this.isStatus) this.#go(this.#panes.plans);
    else location.hash = statusHash;
    this.route(); // now: what is hidden takes no focus
    if (this.isStatus) byId("status-title").focus();
    else this.active.focus();
  }

  /** Charts without a symbol take one that is known now, and typed ones their full names. */
  adopt() {
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
    if (!this.isStatus) history.replaceState(null, "", makeHash(known));
  }
}
