// Runs scripts, each in a thread of its own: a line of JSON in for each, a line of JSON out. Ends
// with its input. A process for each script takes three times as long.

import { createInterface } from "node:readline";
import { Worker } from "node:worker_threads";

const WAIT_MS = 30_000;

/** What a script tells, as JSON, or what is wrong with it. */
function run(script) {
  return new Promise((resolve) => {
    let told;
    let error = "it told nothing";
    const place = new URL(`data:text/javascript,${encodeURIComponent(script)}`);
    const worker = new Worker(place, { stdout: true }); // the lines of ours are answers
    const late = setTimeout(() => {
      error = `it has not ended within ${WAIT_MS / 1000} s`;
      told = undefined;
      worker.terminate();
    }, WAIT_MS);
    worker.on("message", (json) => { told = json; });
    worker.on("error", (thrown) => { error = thrown.stack; told = undefined; });
    worker.on("exit", () => {
      clearTimeout(late);
      resolve(told === undefined ? { error } : { told });
    });
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await run(JSON.parse(line)))}\n`);
}
