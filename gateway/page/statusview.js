/** The status view: what runs, how far behind it is, what is missing and since when. */

import { formatAge } from "./format.js";
import { byId, setText } from "./frames.js";
import { WORDS, judged, toneOf, waits } from "./status.js";

const OLD_AFTER_MS = 15_000; // an answer older than this is no longer how things stand
const MAX_GAPS = 50; // the newest are kept

/** @typedef {[name: string, value: string]} Fact */

/** @param {number | null | undefined} value */
function count(value) {
  return Number.isFinite(value) ? /** @type {number} */ (value).toLocaleString("en-US") : "–";
}

/** Time since something in the server's time. @param {string} time RFC 3339 @param {number} nowNs */
function ago(time, nowNs) {
  return formatAge(nowNs / 1e9 - Date.parse(time) / 1000);
}

/** @param {string} tag @param {string} css @param {string} text */
function make(tag, css, text) {
  const element = document.createElement(tag);
  element.className = css;
  element.textContent = text;
  return element;
}

/**
 * One thing with its state and what is known of it.
 * @param {{name: string, state: string, tone: "ok" | "warn" | "bad", note: string, facts: Fact[]}} options
 */
function card({ name, state, tone, note, facts }) {
  const item = document.createElement("li");
  item.className = "card";
  item.dataset.state = tone;
  const head = make("p", "card-head", "");
  head.append(make("span", "dot", ""), make("b", "", name), make("span", "card-state", state));
  const list = make("dl", "facts", "");
  for (const [term, value] of facts) {
    const pair = document.createElement("div");
    pair.append(make("dt", "", term), make("dd", "num", value));
    list.append(pair);
  }
  item.append(head);
  if (note) item.append(make("p", "card-note", note));
  if (facts.length) item.append(list);
  return item;
}

/** @param {any} feed judged @param {number} nowNs */
function feedCard(feed, nowNs) {
  const refused = Object.entries(feed.quarantined ?? {});
  const facts = /** @type {Fact[]} */ ([
    ["Lag", feed.age_s === null ? "–" : formatAge(feed.age_s)],
    ["Trades", count(feed.ticks)],
    ["Symbols", count(feed.symbols)],
    ["Reconnects", count(feed.reconnects)],
    ["Duplicates", count(feed.duplicates)],
    ["Unreadable", count(feed.unreadable)],
    ["Quarantined", count(refused.reduce((sum, [, number]) => sum + number, 0))],
    ["In this state", ago(feed.since, nowNs)],
  ]);
  const notes = [
    feed.stale ? `no trade for ${feed.quiet}` : "",
    feed.detail,
    ...refused.map(([reason, number]) => `${reason.replaceAll("_", " ")}: ${count(number)}`),
  ];
  return card({
    name: feed.feed, state: WORDS[feed.state] ?? feed.state, tone: toneOf(feed.state),
    note: notes.filter(Boolean).join(" · "), facts,
  });
}

/** @param {string} name @param {any} state */
function dependencyCard(name, state) {
  const since = state.since_s === undefined ? "" : ` for ${formatAge(state.since_s)}`;
  return card({
    name, state: state.ok ? `Reached${since}` : `Away${since}`, tone: state.ok ? "ok" : "bad",
    note: state.reason ?? "", facts: [],
  });
}

/** @param {any} role @param {number} nowNs */
function roleCard(role, nowNs) {
  const waiting = Object.entries(role.waiting ?? {}).map(([name, why]) => `${name}: ${why}`);
  const facts = /** @type {Fact[]} */ ([
    ["Runs for", ago(role.started, nowNs)],
    ["Reported", `${ago(role.reported, nowNs)} ago`],
    ["Version", role.version],
    ["Process", String(role.pid)],
  ]);
  if (role.role === "gateway") {
    facts.push(["Clients", count(role.clients)], ["Subscribed", count(role.subscribers)]);
    facts.push(["Loop lag", `${role.loop_lag_ms.toFixed(0)} ms`]);
  }
  if (role.role === "aggregator") facts.push(["Shards", count(role.shards?.length)]);
  return card({
    name: `${role.role} ${role.name}`,
    state: role.draining ? "Going down" : waiting.length ? "Waiting" : "Runs",
    tone: role.draining || waiting.length ? "warn" : "ok",
    note: waiting.length ? `waits for ${waiting.join(" · ")}` : "", facts,
  });
}

export class StatusView {
  #view = byId("status-view");
  /** @type {any} */
  #status = null;
  #takenMs = -Infinity;
  #problem = "";
  /** Newest first. @type {any[]} */
  #gaps = [];

  /** @param {any} status the answer of /v1/status */
  show(status) {
    this.#status = status;
    this.#takenMs = performance.now();
    this.#problem = "";
    this.#write();
  }

  /** @param {string} reason why the state is not known */
  fail(reason) {
    this.#problem = reason;
    this.tick();
  }

  /** Trades of a symbol are missing, or came after all. @param {any} gap */
  takeGap(gap) {
    const same = this.#gaps.find((each) => each.S === gap.S && each.from === gap.from);
    if (same) Object.assign(same, gap);
    else this.#gaps = [{ ...gap }, ...this.#gaps].slice(0, MAX_GAPS);
    this.#write();
  }

  /** @param {boolean} isShown */
  toggle(isShown) {
    this.#view.hidden = !isShown;
    this.#write();
  }

  /** Say how old all of that is. */
  tick() {
    if (this.#view.hidden) return;
    const ageMs = performance.now() - this.#takenMs;
    const isOld = this.#problem !== "" || ageMs > OLD_AFTER_MS;
    const age = Number.isFinite(ageMs) ? `as of ${formatAge(ageMs / 1000)} ago` : "nothing is known yet";
    const words = isOld ? `Not up to date (${age}). ${this.#problem}` : "Refreshed every 5 s";
    setText(byId("status-age"), words.trim());
    byId("status-age").classList.toggle("warn", isOld);
    byId("status-body").classList.toggle("old", isOld);
  }

  #write() {
    if (this.#view.hidden) return;
    this.tick();
    const status = this.#status;
    byId("status-body").hidden = !status;
    if (!status) return;
    this.#totals(status);
    const now = status.time_ns;
    this.#cards("status-feeds", status.feeds.map((/** @type {any} */ feed) => feedCard(judged(feed, now), now)));
    this.#cards("status-dependencies", Object.entries(status.dependencies).map(([name, state]) => dependencyCard(name, state)));
    this.#cards("status-roles", status.roles.map((/** @type {any} */ role) => roleCard(role, now)));
    this.#cards("status-gaps", this.#gaps.map((gap) => this.#gapCard(gap)));
    byId("no-feeds").hidden = status.feeds.length > 0;
    byId("no-roles").hidden = status.roles.length > 0;
    setText(byId("no-roles"), status.roles_unknown ?? "No role has reported yet.");
    byId("no-gaps").hidden = this.#gaps.length > 0;
  }

  /** @param {any} status */
  #totals(status) {
    const waiting = waits(status);
    setText(byId("status-waits"), waiting.length ? waiting.join(" · ") : "Everything that is needed is there.");
    byId("status-waits").classList.toggle("warn", waiting.length > 0);
    const lag = status.aggregator;
    for (const [id, text] of [
      ["total-clients", count(status.clients)],
      ["total-subscribers", count(status.subscribers)],
      ["total-symbols", count(status.symbols)],
      ["total-lag", lag ? `${count(lag.lag_blocks)} blocks` : "no aggregator"],
      ["total-version", status.version],
      ["total-time", status.time.replace("T", " ").replace(/(\.\d+)?Z$/, "")],
    ]) setText(byId(id), text);
  }

  /** @param {any} gap */
  #gapCard(gap) {
    /** @type {Record<string, "ok" | "warn" | "bad">} */
    const tones = { open: "warn", filled: "ok", lost: "bad" };
    const ids = gap.first === undefined ? [] : [["Trades", `${gap.first} to ${gap.last}`]];
    return card({
      name: gap.S, state: gap.state, tone: tones[gap.state] ?? "warn", note: "",
      facts: /** @type {Fact[]} */ ([["From", gap.from], ["To", gap.to], ...ids]),
    });
  }

  /** @param {string} id @param {HTMLElement[]} cards */
  #cards(id, cards) {
    byId(id).replaceChildren(...cards);
  }
}
