/** Whose fault a refused subscription is. Pure. */

/**
 * The charts to go on without: those of the symbol that the words of the refusal are about; others
 * that are refused are asked for again, and get words of their own. Where none is named (too many
 * symbols, perhaps), the active one; if that is not asked for, the last one that is, so that each
 * refusal leaves less to ask for.
 * @template {{symbol: string | null, watched: unknown}} Pane
 * @param {readonly Pane[]} panes
 * @param {Pane} active
 * @param {string | undefined} refused
 * @returns {Pane[]}
 */
export function blamed(panes, active, refused) {
  const named = panes.filter((pane) => pane.symbol && pane.symbol === refused);
  if (named.length) return named;
  return active.watched ? [active] : panes.filter((pane) => pane.watched).slice(-1);
}
