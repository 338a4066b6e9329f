/** What each row of a trace is to the last row of its logits, when K and V are taken as given. */
import type { SceneRole } from "../scene.js";
import { ancestors, lastLogits, type Trace, type TracedTensor } from "../trace.js";

/** K and V: what attention reads of all rows. */
export function isKeysOrValues({ operation }: TracedTensor): boolean {
  return operation === "keys" || operation === "values";
}

/** The role of a row, read from the trace: its own way back from the last logits stops at K and V. */
export function rowRoles(trace: Trace): (tensor: TracedTensor, row: number) => SceneRole {
  const { tensor: logits, row: lastRow } = lastLogits(trace);
  const needed = ancestors(trace, logits, lastRow, isKeysOrValues);
  const lastPosition = trace.tokens.length - 1;
  return (tensor, row) => {
    if (!needed.has(tensor.id, row)) return isGone(tensor, row) ? "absent" : "row";
    if ((tensor.firstPosition ?? 0) + row === lastPosition) return "lastRow";
    return isFromCache(trace, tensor, row) ? "cached" : "needed";
  };
}

function isFromCache(trace: Trace, { sources }: TracedTensor, row: number): boolean {
  return sources.some(({ tensor, from, to }) => {
    const { operation } = trace.tensors[tensor];
    return to[row] > from[row] && (operation === "cachedKeys" || operation === "cachedValues");
  });
}

/** A row of K or V that is neither new nor read from the cache: no row of the pass sees it, and its block may be gone. */
function isGone(tensor: TracedTensor, row: number): boolean {
  return isKeysOrValues(tensor) && tensor.sources.every(({ from, to }) => to[row] === from[row]);
}
