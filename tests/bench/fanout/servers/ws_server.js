// npm `ws`, no compression: `send` to one client after the other.
// Protocol of the process: as in play.py; argument 2 is the folder that holds node_modules.
"use strict";
const fs = require("fs");
const http = require("http");
const readline = require("readline");
const { WebSocketServer } = require(require.resolve("ws", { paths: [process.argv[3]] }));

const asked = fs
  .readFileSync(process.argv[2], "utf8")
  .trim()
  .split("\n")
  .map((line) => line.split(",").map(Number));
const clients = new Array(asked.length);

function readScript(bytes) {
  const windows = [];
  let at = 8;
  for (let left = bytes.readUInt32LE(4); left > 0; left--) {
    const dueNs = bytes.readBigInt64LE(at);
    const count = bytes.readUInt32LE(at + 8);
    const size = bytes.readUInt32LE(at + 12);
    let index = at + 16;
    let text = index + 4 * count;
    const messages = new Map();
    for (let i = 0; i < count; i++, index += 4) {
      const symbol = bytes.readUInt16LE(index);
      const length = bytes.readUInt16LE(index + 2);
      if (!messages.has(symbol)) messages.set(symbol, []);
      messages.get(symbol).push(bytes.toString("latin1", text, text + length));
      text += length;
    }
    windows.push({ dueMs: Number(dueNs) / 1e6, messages });
    at += 16 + 4 * count + size;
  }
  return windows;
}

function sendToAll(message) {
  const bytes = Buffer.from(message);
  for (const client of clients) client.send(bytes, { binary: false });
}

function sendRouted(messages) {
  for (let number = 0; number < clients.length; number++) {
    const texts = [];
    for (const symbol of asked[number]) {
      const found = messages.get(symbol);
      if (found) texts.push(...found);
    }
    if (texts.length) clients[number].send("[" + texts.join(",") + "]");
  }
}

function play(windows) {
  const window = windows.shift();
  if (!window) return;
  const delayMs = window.dueMs - (performance.timeOrigin + performance.now());
  setTimeout(() => {
    if (asked[0].length === 1) sendToAll(window.messages.get(0)[0]);
    else sendRouted(window.messages);
    play(windows);
  }, Math.max(0, Math.ceil(delayMs)));
}

const server = http.createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on("connection", (client, request) => {
  clients[Number(request.url.slice(1))] = client;
});
server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => {
  console.log(`ready ${server.address().port}`);
});
const lines = readline.createInterface({ input: process.stdin });
lines.once("line", (path) => play(readScript(fs.readFileSync(path.trim()))));
lines.once("close", () => process.exit(0));
