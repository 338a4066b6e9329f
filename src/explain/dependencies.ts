/** What the last row of each stage needs, read from a trace: one row of what comes before, or all of them. */
import { isKeysOrValues } from "./figures/marked-rows.js";
import type { Trace, TracedTensor } from "./trace.js";

const LAYER = /^h\.\d+\./;

/** Rows of one tensor that the last row of a stage is made from. */
export interface StageNeed {
  /** Its name in the trace, without its layer's `h.0.`; `x` for the residual stream. */
  readonly tensor: string;
  /** Rows that are needed. */
  readonly rows: number;
  /** Rows that there are. */
  readonly of: number;
  /** `all`: every row of the sequence; `row`: one, its own last row or the one that is looked up in a table. */
  readonly which: "row" | "all";
}

/** One stage of a pass, and what its last row needs. */
export interface Stage {
  /** Without its layer: `ln_1`, `attn.q`, `attn.scores`. */
  readonly name: string;
  /** The layers that it is the same in; empty outside of the layers. */
  readonly layers: readonly number[];
  /** (rows, columns) in a pass over the whole sequence; of scores and softmax for one head. */
  readonly shape: readonly [rows: number, cols: number];
  /** What its last row is made from. */
  readonly needs: readonly StageNeed[];
  /** Multiply-adds of the last row. */
  readonly multiplyAdds: number;
}

/** Stages of a pass; a stage that is the same in several layers is listed once. */
export function stagesOf(trace: Trace): Stage[] {
  const stages = new Map<string, { stage: Stage; layers: number[] }>();
  for (const tensor of trace.tensors) {
    if (tensor.sources.length === 0 || isView(tensor)) continue;
    const stage = stageOf(trace, tensor);
    const key = JSON.stringify(stage);
    const known = stages.get(key) ?? { stage, layers: [] };
    stages.set(key, known);
    if (tensor.layer !== null) known.layers.push(tensor.layer);
  }
  return [...stages.values()].map(({ stage, layers }) => ({ ...stage, layers }));
}

/** Which of Q, K and V have rows before the last that its stages ask for: those are worth keeping. */
export function keptTensors(trace: Trace): { readonly q: boolean; readonly k: boolean; readonly v: boolean } {
  const isAskedFor = (name: string) =>
    trace.tensors.some(({ rows, sources }) =>
      sources.some(({ tensor, from, to }) => {
        const source = trace.tensors[tensor];
        return (
          source.name.endsWith(name) && to[rows - 1] - from[rows - 1] > 0 && from[rows - 1] < source.rows - 1
        );
      }),
    );
  return { q: isAskedFor(".attn.q"), k: isAskedFor(".attn.keys"), v: isAskedFor(".attn.values") };
}

/** Parts of other tensors: not a computation of its own. */
function isView(tensor: TracedTensor): boolean {
  return tensor.operation === "columns" || isKeysOrValues(tensor);
}

function stageOf(trace: Trace, tensor: TracedTensor): Stage {
  const last = tensor.rows - 1;
  const needs = tensor.sources
    .filter(({ from, to }) => to[last] > from[last])
    .map(({ tensor: id, from, to }): StageNeed => {
      const source = trace.tensors[id];
      const rows = to[last] - from[last];
      const which = rows > 1 && rows === source.rows ? "all" : "row";
      return { tensor: shortName(source), rows, of: source.rows, which };
    });
  return {
    name: tensor.name.replace(LAYER, ""),
    layers: [],
    shape: [tensor.rows, tensor.cols],
    needs,
    multiplyAdds: tensor.multiplyAdds[last],
  };
}

/** `x` for the residual stream, whichever sum it comes from: so layers compare as equal. */
function shortName({ name, operation }: TracedTensor): string {
  return operation === "add" || operation === "addRowsAt" ? "x" : name.replace(LAYER, "");
}
