/** The charts side by side: one, two or four, one of them active. */

import { byId } from "./frames.js";
import { ChartPane } from "./pane.js";
import { COUNTS } from "./layout.js";

/** @typedef {import("./layout.js").Plan} Plan */

export class Panes {
  #make;
  #onActive;
  #host = byId("panes");
  /** @type {ChartPane[]} */
  #panes = [];
  #active = 0;

  /**
   * @param {{client: import("./tickgate.js").Client, store: import("./store.js").Store,
   *   events: (index: number) => import("./pane.js").PaneEvents, onActive: () => void}} options
   */
  constructor({ client, store, events, onActive }) {
    const template = /** @type {HTMLTemplateElement} */ (byId("pane"));
    this.#onActive = onActive;
    this.#make = (/** @type {number} */ index) =>
      new ChartPane(index, { client, store, host: this.#host, template, events: events(index) });
  }

  /** @returns {readonly ChartPane[]} */
  get all() {
    return this.#panes;
  }

  get active() {
    return this.#panes[this.#active];
  }

  get activeIndex() {
    return this.#active;
  }

  /** @returns {Plan[]} */
  get plans() {
    return this.#panes.map(({ symbol, timeframe }) => ({ symbol, timeframe }));
  }

  /** Show these charts and no others. @param {readonly Plan[]} plans as many as a layout has room for */
  show(plans) {
    while (this.#panes.length > plans.length) this.#panes.pop()?.dispose();
    for (const [index, { symbol, timeframe }] of plans.entries()) {
      if (index === this.#panes.length) this.#panes.push(this.#make(index));
      this.#panes[index].open(symbol, timeframe);
    }
    this.#host.dataset.count = String(plans.length);
    for (const radio of this.#radios()) radio.checked = Number(radio.value) === plans.length;
    this.activate(Math.min(this.#active, plans.length - 1));
  }

  /** @param {number} index */
  activate(index) {
    const isOther = index !== this.#active;
    this.#active = index;
    this.#host.dataset.active = String(index);
    for (const [at, pane] of this.#panes.entries()) {
      pane.place(at, this.#panes.length, at === index);
      pane.root.classList.toggle("front", at === index);
    }
    if (isOther) this.#onActive();
  }

  /** Make the next chart the active one, and give it the focus. */
  next() {
    this.activate((this.#active + 1) % this.#panes.length);
    this.active.focus();
  }

  /** The number of charts that comes after this one. */
  nextCount() {
    const at = COUNTS.indexOf(this.#panes.length);
    return COUNTS[(at + 1) % COUNTS.length];
  }

  /** @returns {HTMLInputElement[]} */
  #radios() {
    return [...byId("layouts").querySelectorAll("input")];
  }
}
