// Drives tickgate.js: one JSON command a line in, one JSON event a line out.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [path, url, options, answers] = process.argv.slice(2);
const module = await import(pathToFileURL(path).href);
const say = (kind, value) => process.stdout.write(`${JSON.stringify({ kind, value })}\n`);
const words = (error) => ({ name: error.name, code: error.code, message: error.message });

const given = JSON.parse(options);
const tokens = JSON.parse(answers ?? "null");
if (tokens) given.token = async () => (tokens.length > 1 ? tokens.shift() : tokens[0]);
const stream = given.stream === false ? null : module.connect(url, given);
const kinds = ["trade", "bar", "updatedBar", "runningBar", "correction", "cancel", "gap",
  "heartbeat", "stale", "shutdown", "problem", "state"];
for (const kind of kinds) {
  stream?.on(kind, (value) => say(kind, value instanceof Error ? words(value) : value));
}
stream?.ready.then(() => say("ready", null), (error) => say("failed", words(error)));
const client = new module.Client(url, { ...given, retries: given.retries ?? 0 });

const commands = {
  subscribe: ({ channels, ...rest }) => stream.subscribe(channels, rest),
  unsubscribe: ({ channels }) => stream.unsubscribe(channels),
  cursor: async () => stream.cursor,
  close: async () => stream.close(),
  ask: ({ call, args }) => client[call](...args),
  pure: async ({ call, args }) => module[call](...args),
};

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { do: name, ...rest } = JSON.parse(line);
    commands[name](rest).then(
      (value) => say("answer", value ?? null),
      (error) => say("refused", words(error)),
    );
  })
  .on("close", () => process.exit(0));
