/**
 * Figures (b) and (c): attention inside, of one head. Every product stands in the corner between its two factors: the
 * scores right of Q and below K transposed, the result right of the weights and below V. Of a pass that recomputes
 * everything the last row is marked, and what it needs; of a pass with the cache there is nothing else.
 */
import type { Scene, SceneNode, SceneRole } from "../scene.js";
import type { Trace, TracedTensor } from "../trace.js";
import { attentionNotes, layerParts } from "./layer-parts.js";
import { absentWords, LEGEND_WIDTH, legend } from "./legend.js";
import { rowRoles } from "./marked-rows.js";
import {
  ellipsis,
  label,
  ROW,
  type RowAxis,
  type RowSlot,
  rowAxis,
  shapeLabel,
  tensorBox,
} from "./tensor-box.js";

/** What a figure of attention shows. */
export interface AttentionFigureOptions {
  /** Number of the layer, from 0; default 0. */
  readonly layer?: number | undefined;
  /** Texts of all tokens of the trace; ids without them. */
  readonly tokenTexts?: readonly string[] | undefined;
}

const MARGIN = 24;
const TITLE_HEIGHT = 40;
/** Names and shapes over a tensor. */
const ABOVE_ROWS = 36;
/** The side of a head's width. */
const HEAD = 44;
/** Between a factor and its product. */
const CORNER = 14;
const ARROW = 124;
/** Between the notes in the corner. */
const NOTE_LINE = 17;

/** Draws attention of one layer of a trace; any trace of `traceForward`. */
export function attentionFigure(trace: Trace, options: AttentionFigureOptions = {}): Scene {
  const { layer = 0 } = options;
  const { config, tokens, numCachedTokens } = trace;
  const { headDim, numHeads } = config;
  const parts = layerParts(trace, layer);
  const { q, keys, values, scores, softmax, attended: result, firstSeen } = parts;
  const { softcap } = config.decoder.layers[layer].attention;
  const roleOf = rowRoles(trace);
  const axis = rowAxis(tokens.length, firstSeen);
  const texts = options.tokenTexts ?? tokens.map(String);

  const queriesLeft = MARGIN + widestText(axis, texts) + 8;
  const scoresLeft = queriesLeft + HEAD + CORNER;
  const softmaxLeft = scoresLeft + axis.size + ARROW;
  const resultLeft = softmaxLeft + axis.size + CORNER + 6;
  const valuesTop = TITLE_HEIGHT + ABOVE_ROWS;
  const top = valuesTop + axis.size + CORNER + 4;
  const keysTop = top - CORNER - HEAD;
  const bottom = top + axis.size;
  const flowY = bottom - ROW / 2;

  const isCached = numCachedTokens > 0;
  // A single row sees all positions, or those that its window leaves.
  const hasMask = scores.rows > 1 || firstSeen > 0;
  const steps = [...(softcap === null ? [] : ["cap"]), ...(hasMask ? ["mask"] : []), "softmax"];
  const nodes: SceneNode[] = [];
  const tensor = (
    drawn: TracedTensor,
    place: { readonly x: number; readonly y: number; readonly direction?: "down" | "across" },
    title: string,
  ) =>
    nodes.push(
      tensorBox({
        ...{ tensor: drawn, axis, title, showsAbsent: true, width: HEAD },
        ...place,
        roleOf: (row) => roleOf(drawn, row),
      }),
    );
  const headed = (name: string, shape: string, x: number, y: number) =>
    nodes.push(label(name, x, y - 21, "name"), label(shape, x, y - 7, "shape"));

  tensor(q, { x: queriesLeft, y: top }, `${q.name}: the queries of one head`);
  headed("Q", shapeLabel(q.rows, headDim), queriesLeft + HEAD / 2, top);
  nodes.push(...queryTexts(q, axis, texts, queriesLeft - 8, top));
  tensor(keys, { x: scoresLeft, y: keysTop, direction: "across" }, `${keys.name}: the keys of one head`);
  headed("Kᵀ", shapeLabel(headDim, keys.rows), scoresLeft + axis.size / 2, keysTop);
  tensor(values, { x: resultLeft, y: valuesTop }, `${values.name}: the values of one head`);
  headed("V", shapeLabel(values.rows, headDim), resultLeft + HEAD / 2, valuesTop);
  tensor(result, { x: resultLeft, y: top }, `${result.name}: the result of one head`);

  const grid = (drawn: TracedTensor, x: number, name: string) => {
    nodes.push(scoreGrid(trace, drawn, { x, y: top, axis, roleOf }));
    nodes.push(label(name, x + axis.size / 2, bottom + 17, "name"));
    nodes.push(label(shapeLabel(drawn.rows, keys.rows), x + axis.size / 2, bottom + 31, "shape"));
  };
  grid(scores, scoresLeft, "scores");
  grid(softmax, softmaxLeft, "weights");
  nodes.push(label("output", resultLeft + HEAD / 2, bottom + 17, "name"));
  nodes.push(label(shapeLabel(result.rows, headDim), resultLeft + HEAD / 2, bottom + 31, "shape"));
  nodes.push({
    type: "path",
    d: `M${scoresLeft + axis.size + 5},${flowY}H${softmaxLeft - 4}`,
    role: "flow",
    isArrow: true,
  });
  nodes.push(label(steps.join(", "), softmaxLeft - ARROW / 2, flowY - 7, "operation"));

  const legendLeft = resultLeft + HEAD + 36;
  nodes.push(
    ...legend(legendLeft, valuesTop, [
      ["lastRow", isCached ? "the new row" : "the last row"],
      isCached ? ["cached", "rows of K and V from the cache"] : ["needed", "rows of K and V that it needs"],
      isCached ? ["absent", absentWords(firstSeen)] : ["row", "not needed once K and V are there"],
      ...(hasMask ? [["masked", maskWords(scores, firstSeen)] as const] : []),
    ]),
    ...[
      `${parts.name}, one of ${numHeads} ${numHeads === 1 ? "head" : "heads"}`,
      ...attentionNotes(parts, trace),
    ].map((note, i) => label(note, legendLeft, bottom - 3 + NOTE_LINE * i, "note", "start")),
  );
  const seenRows = firstSeen === 0 ? "all rows" : `the last ${keys.rows - firstSeen} rows`;
  const title = isCached ? "Attention, with what the new row needs and nothing else" : "Attention inside";
  return {
    width: legendLeft + (firstSeen > 0 ? LEGEND_WIDTH : 236),
    height: bottom + 48,
    title,
    description: isCached
      ? `One row of Q meets ${keys.rows - firstSeen} rows of K; its weights meet ${values.rows - firstSeen} rows of V. No earlier row of Q is asked for.`
      : `The last row of the output is made from the last row of the scores and ${seenRows} of V; the last row of the scores from the last row of Q and ${seenRows} of K.`,
    nodes: [label(title, MARGIN, 24, "title", "start"), ...nodes],
  };
}

/** Which positions a query does not see. */
function maskWords(scores: TracedTensor, firstSeen: number): string {
  if (firstSeen === 0) return "masked: a later position";
  return scores.rows > 1 ? "masked: later, or out of the window" : "masked: out of the window";
}

/** The texts of the queries' tokens, left of them. */
function queryTexts(
  q: TracedTensor,
  axis: RowAxis,
  texts: readonly string[],
  right: number,
  top: number,
): SceneNode[] {
  const first = q.firstPosition ?? 0;
  return axis.slots
    .filter(({ isElided, from }) => !isElided && from >= first)
    .map(({ from, offset, size }) => label(texts[from], right, top + offset + size - 3.5, "tick", "end"));
}

function widestText({ slots }: RowAxis, texts: readonly string[]): number {
  return Math.max(
    ...slots.filter(({ isElided }) => !isElided).map(({ from }) => 5.8 * [...texts[from]].length),
  );
}

interface GridPlace {
  readonly x: number;
  readonly y: number;
  readonly axis: RowAxis;
  readonly roleOf: (tensor: TracedTensor, row: number) => SceneRole;
}

/** A row for each query, a column for each key; which keys a query sees, the trace says. */
function scoreGrid(trace: Trace, tensor: TracedTensor, { x, y, axis, roleOf }: GridPlace): SceneNode {
  const first = tensor.firstPosition ?? 0;
  const scores = tensor.operation === "scores" ? tensor : trace.tensors[tensor.sources[0].tensor];
  const seen = scores.sources.filter(({ tensor: id }) => trace.tensors[id].operation === "keys");
  const children: SceneNode[] = [];
  const absent = axis.slots.filter(({ to }) => to <= first);
  if (absent.length > 0) {
    const height = absent.reduce((sum, { size }) => sum + size, 0);
    children.push({ type: "rect", x, y, width: axis.size, height, role: "absent", radius: 1.5 });
  }
  for (const query of axis.slots) {
    if (query.to <= first) continue;
    const row = query.to - 1 - first;
    const rows = { tensor: tensor.id, name: tensor.name, from: Math.max(0, query.from - first), to: row + 1 };
    for (const key of axis.slots) {
      const isSeen = seen.some(({ from, to }) => key.to > from[row] && key.from < to[row]);
      const place = { x: x + key.offset, y: y + query.offset, width: key.size, height: query.size };
      const role = isSeen ? roleOf(tensor, row) : "masked";
      children.push({ type: "rect", ...place, role, rows });
      const dots = isSeen ? ellipsisDirection(query, key, axis) : null;
      if (dots !== null) children.push(ellipsis(place, dots, role));
    }
  }
  return {
    type: "group",
    id: tensor.name,
    title: `${tensor.name}: a row for each query, a column for each key`,
    children,
  };
}

/** Where rows or columns are left out: dots in the first column, and in the last row. */
function ellipsisDirection(query: RowSlot, key: RowSlot, axis: RowAxis): "down" | "across" | null {
  if (query.isElided && key.offset === 0) return "down";
  return key.isElided && query.offset + query.size === axis.size ? "across" : null;
}
