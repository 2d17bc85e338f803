/** Shows the API's description, and sends requests that a reader fills in. */

import { ambient } from "./client/access.js";
import { storedKey } from "./credentials.js";
import { Theme } from "./theme.js";

const MAX_SHOWN = 20_000; // characters of an answer
const MAX_DEPTH = 6; // of a shape: none refers to itself, but a later one might

/** @param {string} id */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/**
 * An element with its classes, text and children.
 * @param {string} name as `p.note`
 * @param {...(Node | string)} children texts are shown as they are, `literals` as code
 */
function make(name, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const child of children) {
    element.append(...(typeof child === "string" ? worded(child) : [child]));
  }
  return element;
}

/** @param {string} text with `literals` between backticks */
function worded(text) {
  return text.split("`").map((part, index) => {
    if (index % 2 === 0) return document.createTextNode(part);
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  });
}

/** What a parameter takes, in words. @param {any} schema */
function accepted(schema) {
  if (schema.enum) return `one of ${schema.enum.map((/** @type {any} */ one) => `\`${one}\``).join(", ")}`;
  if (schema.anyOf) return schema.anyOf.map((/** @type {any} */ one) => one.format ?? one.type).join(" or ");
  const words = [schema.type];
  if (schema.minimum !== undefined) words.push(`${schema.minimum} to ${schema.maximum}`);
  if (schema.maxLength !== undefined) words.push(`up to ${schema.maxLength} characters`);
  return words.join(", ");
}

/** A shape with what it refers to put in. @param {any} schema @param {any} document_ @returns {any} */
function resolved(schema, document_, depth = 0) {
  if (Array.isArray(schema)) return schema.map((one) => resolved(one, document_, depth));
  if (schema === null || typeof schema !== "object") return schema;
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    const found = document_.components.schemas[name];
    return depth < MAX_DEPTH ? resolved(found, document_, depth + 1) : name;
  }
  const kept = Object.entries(schema).filter(([name]) => name !== "title" && name !== "discriminator");
  return Object.fromEntries(kept.map(([name, value]) => [name, resolved(value, document_, depth)]));
}

/** A block of text that a keyboard can scroll. @param {string} text @param {string} label */
function block(text, label) {
  const pre = make("pre");
  pre.textContent = text;
  pre.tabIndex = 0;
  pre.setAttribute("role", "region");
  pre.setAttribute("aria-label", label);
  return pre;
}

/** Input for a parameter, with its label and rules. @param {any} parameter @param {string} id */
function field(parameter, id) {
  const label = /** @type {HTMLLabelElement} */ (make("label"));
  label.htmlFor = id;
  label.append(make("code", parameter.name));
  const head = make("div", label);
  if (parameter.required) head.append(make("span.needed", "required"));
  const { schema } = parameter;
  const input = schema.enum ? choices(schema) : document.createElement("input");
  input.id = id;
  input.name = parameter.name;
  input.value = parameter.required ? String(parameter.example ?? "") : "";
  if (input instanceof HTMLInputElement) {
    input.placeholder = parameter.example === undefined ? "" : `such as ${parameter.example}`;
    input.autocomplete = "off";
    input.spellcheck = false;
  }
  input.setAttribute("aria-describedby", `${id}-rules`);
  const fallback = schema.default === undefined ? "" : `; default \`${schema.default}\``;
  const rules = make("p.accepted", accepted(schema) + fallback);
  rules.id = `${id}-rules`;
  return make("div.parameter", make("div", head, make("p", parameter.description)), make("div", input, rules));
}

/** @param {any} schema */
function choices(schema) {
  const select = document.createElement("select");
  select.append(new Option(`– (${schema.default ?? "none"})`, ""));
  for (const one of schema.enum) select.append(new Option(one, one));
  return select;
}

/** The address that a form asks for. @param {string} path @param {any[]} parameters @param {FormData} values */
function address(path, parameters, values) {
  const query = new URLSearchParams();
  let filled = path;
  for (const { name, in: where } of parameters) {
    const value = String(values.get(name) ?? "");
    if (where === "path") filled = filled.replace(`{${name}}`, encodeURI(value));
    else if (value) query.set(name, value);
  }
  return query.size ? `${filled}?${query}` : filled;
}

function keyHeaders() {
  const value = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id)).value.trim();
  const id = value("key-id");
  return id ? { "APCA-API-KEY-ID": id, "APCA-API-SECRET-KEY": value("key-secret") } : {};
}

/** @param {string} text @param {string} type */
function shown(text, type) {
  let whole = text;
  if (type.includes("json")) {
    try {
      whole = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      whole = text; // what came is not what it says it is: shown as it is
    }
  }
  return whole.length > MAX_SHOWN ? `${whole.slice(0, MAX_SHOWN)}\n… ${whole.length - MAX_SHOWN} characters more` : whole;
}

/** @param {string} url */
async function send(url) {
  const started = performance.now();
  try {
    const answer = await fetch(url, { headers: keyHeaders(), cache: "no-store", credentials: ambient() });
    const text = await answer.text();
    const took = `${Math.round(performance.now() - started)} ms`;
    const type = answer.headers.get("Content-Type") ?? "";
    return { good: answer.ok, outcome: `${answer.status} · ${type || "no content"} · ${took}`, text: shown(text, type) };
  } catch {
    return { good: false, outcome: "No answer: is the gateway still there?", text: "" };
  }
}

/** @param {string} path @param {any} operation */
function requestForm(path, operation) {
  const form = document.createElement("form");
  const { parameters } = operation;
  if (parameters.length) {
    form.append(make("h4", "Parameters"));
    const fields = parameters.map((/** @type {any} */ one) => field(one, `${operation.operationId}-${one.name}`));
    form.append(make("div.parameters", ...fields));
  }
  const button = /** @type {HTMLButtonElement} */ (make("button.button", "Send"));
  button.type = "submit";
  button.setAttribute("aria-label", `Send a request to ${path}`);
  const url = make("span.url.path");
  const outcome = make("p.outcome");
  outcome.setAttribute("role", "status");
  const body = make("div");
  const refresh = () => {
    url.textContent = address(path, parameters, new FormData(form));
  };
  form.addEventListener("input", refresh);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    const result = await send(address(path, parameters, new FormData(form)));
    button.disabled = false;
    outcome.dataset.kind = result.good ? "good" : "bad";
    outcome.textContent = result.outcome;
    body.replaceChildren(...(result.text ? [block(result.text, `Answer of ${path}`)] : []));
  });
  form.append(make("div.send", button, url), outcome, body);
  refresh();
  return form;
}

/** @param {any} operation */
function answersOf(operation) {
  const list = make("dl.answers");
  for (const [status, response] of Object.entries(operation.responses)) {
    const types = Object.keys(/** @type {any} */ (response).content ?? {}).filter((type) => type !== "application/json");
    const also = types.length ? ` (${types.map((type) => `\`${type}\``).join(", ")})` : "";
    list.append(make("dt", status), make("dd", /** @type {any} */ (response).description + also));
  }
  return list;
}

/** @param {string} title @param {any} value */
function shape(title, value) {
  const details = make("details.shape", make("summary", title));
  details.append(block(JSON.stringify(value, null, 2), title));
  return details;
}

/** @param {string} path @param {any} operation @param {any} document_ */
function article(path, operation, document_) {
  const link = /** @type {HTMLAnchorElement} */ (make("a.path", path));
  link.href = `#${operation.operationId}`;
  const element = make("article.operation", make("h3", make("span.verb", "GET"), link), make("p.summary", operation.summary));
  element.id = operation.operationId;
  if (operation.description) element.append(make("p.text", operation.description));
  element.append(requestForm(path, operation), make("h4", "Answers"), answersOf(operation));
  const json = operation.responses["200"]?.content?.["application/json"];
  if (json?.example) element.append(shape("Example", json.example));
  if (json) element.append(shape("Shape", resolved(json.schema, document_)));
  return element;
}

/** @param {any} document_ */
function show(document_) {
  byId("version").textContent = document_.info.version;
  byId("about").replaceChildren(...worded(document_.info.description));
  const operations = Object.entries(document_.paths).map(([path, item]) => ({ path, operation: item.get }));
  for (const tag of document_.tags) {
    const heading = make("h2.tag", tag.description);
    heading.id = `tag-${tag.name}`;
    const list = make("ul");
    byId("operations").append(heading);
    for (const { path, operation } of operations.filter((one) => one.operation.tags[0] === tag.name)) {
      byId("operations").append(article(path, operation, document_));
      const link = /** @type {HTMLAnchorElement} */ (make("a.path", path));
      link.href = `#${operation.operationId}`;
      list.append(make("li", link));
    }
    byId("contents").append(make("section", make("h2", tag.name), list));
  }
}

/** Show only what holds the text. @param {string} text */
function filter(text) {
  const wanted = text.trim().toLowerCase();
  for (const section of byId("contents").children) {
    const items = [...section.querySelectorAll("li")];
    for (const item of items) item.hidden = !(item.textContent ?? "").toLowerCase().includes(wanted);
    /** @type {HTMLElement} */ (section).hidden = items.every((item) => item.hidden);
  }
}

async function start() {
  const theme = new Theme();
  byId("theme").addEventListener("click", () => theme.toggle());
  byId("key").addEventListener("submit", (event) => event.preventDefault());
  const { key, secret } = storedKey();
  if (key) {
    /** @type {HTMLInputElement} */ (byId("key-id")).value = key;
    /** @type {HTMLInputElement} */ (byId("key-secret")).value = secret ?? "";
  }
  const input = /** @type {HTMLInputElement} */ (byId("filter"));
  input.addEventListener("input", () => filter(input.value));
  try {
    const answer = await fetch("/openapi.json");
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    show(await answer.json());
    if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  } catch (error) {
    byId("problem").textContent = `The description could not be read: ${error}. Reload to try again.`;
    byId("problem").hidden = false;
  }
}

start();
