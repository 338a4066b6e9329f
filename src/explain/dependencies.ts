/**
 * What the last row of each stage needs, read from a trace: one row of what comes before, or all of them, or those that a
 * window lets it see.
 */
import { isKeysOrValues } from "./figures/marked-rows.js";
import type { Trace, TracedTensor } from "./trace.js";

/** Rows of one tensor that the last row of a stage is made from. */
export interface StageNeed {
  /**
   * Its name in the trace, without its layer's `h.0.`; `x` for the residual stream; `Q`, `K` and `V` for what attention
   * is given.
   */
  readonly tensor: string;
  /** Rows that are needed. */
  readonly rows: number;
  /** Rows that there are. */
  readonly of: number;
  /**
   * `all`: every row of the sequence; `window`: several, the last ones; `row`: one, its own last row or the one that is
   * looked up in a table.
   */
  readonly which: "row" | "window" | "all";
}

/** One stage of a pass, and what its last row needs. */
export interface Stage {
  /** Without its layer: `ln_1`, `attn.q`, `attn.scores`. */
  readonly name: string;
  /** What its layers are called: `h`, `layers`; empty outside of the layers. */
  readonly stack: string;
  /** The layers that it is the same in, ascending; empty outside of the layers. */
  readonly layers: readonly number[];
  /** (rows, columns) in a pass over the whole sequence; of scores and softmax for one head. */
  readonly shape: readonly [rows: number, cols: number];
  /** What its last row is made from. */
  readonly needs: readonly StageNeed[];
  /** Multiply-adds of the last row. */
  readonly multiplyAdds: number;
}

/** Stages of a pass; a stage that is the same in several layers is listed once, one that is not beside its like. */
export function stagesOf(trace: Trace): Stage[] {
  const aliases = aliasesOf(trace);
  const byName = new Map<string, Map<string, { stage: Stage; layers: number[] }>>();
  for (const tensor of trace.tensors) {
    if (tensor.sources.length === 0 || isView(tensor)) continue;
    const stage = stageOf(trace, tensor, aliases);
    const alike = byName.get(stage.name) ?? new Map<string, { stage: Stage; layers: number[] }>();
    byName.set(stage.name, alike);
    const key = JSON.stringify(stage);
    const known = alike.get(key) ?? { stage, layers: [] };
    alike.set(key, known);
    if (tensor.layer !== null) known.layers.push(tensor.layer);
  }
  return [...byName.values()].flatMap((alike) =>
    [...alike.values()].map(({ stage, layers }) => ({ ...stage, layers })),
  );
}

/** Which of Q, K and V have rows before the last that its stages ask for: those are worth keeping. */
export function keptTensors(trace: Trace): { readonly q: boolean; readonly k: boolean; readonly v: boolean } {
  const aliases = aliasesOf(trace);
  const isAskedFor = (name: string) =>
    trace.tensors.some(({ rows, sources }) =>
      sources.some(({ tensor, from, to }) => {
        const { rows: last } = trace.tensors[tensor];
        return aliases.get(tensor) === name && to[rows - 1] - from[rows - 1] > 0 && from[rows - 1] < last - 1;
      }),
    );
  return { q: isAskedFor("Q"), k: isAskedFor("K"), v: isAskedFor("V") };
}

/** Parts of other tensors: not a computation of its own. */
function isView(tensor: TracedTensor): boolean {
  return tensor.operation === "columns" || isKeysOrValues(tensor);
}

function stageOf(trace: Trace, tensor: TracedTensor, aliases: ReadonlyMap<number, string>): Stage {
  const last = tensor.rows - 1;
  const needs = tensor.sources
    .filter(({ from, to }) => to[last] > from[last])
    .map(({ tensor: id, from, to }): StageNeed => {
      const source = trace.tensors[id];
      const rows = to[last] - from[last];
      const which = rows === 1 ? "row" : rows === source.rows ? "all" : "window";
      return { tensor: aliases.get(id) ?? inLayer(source).name, rows, of: source.rows, which };
    });
  return {
    ...inLayer(tensor),
    layers: [],
    shape: [tensor.rows, tensor.cols],
    needs,
    multiplyAdds: tensor.multiplyAdds[last],
  };
}

/** What a tensor is called apart from its layer. */
function inLayer({ name, layer }: TracedTensor): { readonly name: string; readonly stack: string } {
  const number = `.${layer}.`;
  const at = layer === null ? -1 : name.indexOf(number);
  return at === -1 ? { name, stack: "" } : { name: name.slice(at + number.length), stack: name.slice(0, at) };
}

/** Names of what every layer has, so that layers compare as equal: the residual stream, and what attention is given. */
function aliasesOf(trace: Trace): Map<number, string> {
  const aliases = new Map<number, string>();
  for (const { id, operation, sources } of trace.tensors) {
    if (operation === "add" || operation === "addRowsAt") aliases.set(id, "x");
    // What a layer adds to is the stream, too, where nothing is added to the embedding.
    if (operation === "add") aliases.set(sources[0].tensor, "x");
    if (operation === "scores") aliases.set(sources[0].tensor, "Q");
    if (operation === "keys") aliases.set(id, "K");
    if (operation === "values") aliases.set(id, "V");
  }
  return aliases;
}
