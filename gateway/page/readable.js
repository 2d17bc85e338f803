/** Requests for many symbols, of which the key may not read some (any more). */

import { Refused } from "./tickgate.js";

const FORBIDDEN = 403;

/**
 * What *ask* gives for all of these; where that is refused, for those that the gateway lists.
 * @template T
 * @param {import("./tickgate.js").Client} client
 * @param {readonly string[]} symbols
 * @param {(symbols: string[]) => Promise<T>} ask
 * @returns {Promise<T>}
 * @throws {ClientError} also where none of them may be read
 */
export async function ofReadable(client, symbols, ask) {
  try {
    return await ask([...symbols]);
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== FORBIDDEN) throw error;
    const listed = new Set((await client.symbols()).map(({ symbol }) => symbol));
    const readable = symbols.filter((symbol) => listed.has(symbol));
    if (!readable.length || readable.length === symbols.length) throw error;
    return ask(readable);
  }
}
