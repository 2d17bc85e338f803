/** Whose fault a refused subscription is. Pure. */

const MAX_QUOTED = 60; // characters of a symbol that an error repeats

/** Errors quote the symbol that they are about. @param {string} symbol @param {string} message */
export function isNamed(symbol, message) {
  const [given, said] = [symbol.slice(0, MAX_QUOTED), message].map((text) => text.toUpperCase());
  return said.includes(`'${given}'`) || said.includes(`"${given}"`);
}

/**
 * The charts to go on without: those of the symbol that is named. Where none is (too many symbols,
 * perhaps), the active one; if that is not asked for, the last one that is, so that each refusal
 * leaves less to ask for.
 * @template {{symbol: string | null, watched: unknown}} Pane
 * @param {readonly Pane[]} panes
 * @param {Pane} active
 * @param {string} message
 * @returns {Pane[]}
 */
export function blamed(panes, active, message) {
  const named = panes.filter((pane) => pane.symbol && isNamed(pane.symbol, message));
  if (named.length) return named;
  return active.watched ? [active] : panes.filter((pane) => pane.watched).slice(-1);
}
