/**
 * The parts of a layer, found in a trace by what each was made from, whatever its family calls them and whichever of them it
 * has; and the words for what made a tensor.
 */
import type { Trace, TracedTensor } from "../trace.js";

/** One layer of a pass. */
export interface LayerParts {
  /** `h.0`, `layers.0` */
  readonly name: string;
  /** The residual stream as it comes in. */
  readonly input: TracedTensor;
  /** What K and V are made of: the input's norm, or the input. */
  readonly attentionRead: TracedTensor;
  /** What attention is given, after norms and rotations. */
  readonly q: TracedTensor;
  /** Keys of the fed rows, as they go into the cache. */
  readonly newKeys: TracedTensor;
  /** As attention reads them, of all positions. */
  readonly keys: TracedTensor;
  readonly values: TracedTensor;
  readonly scores: TracedTensor;
  readonly softmax: TracedTensor;
  /** What attention gives, before its output's product. */
  readonly attended: TracedTensor;
  /** What attention adds to the stream, and the sum. */
  readonly attentionOut: TracedTensor;
  readonly attentionSum: TracedTensor;
  /** What the MLP reads: a norm, or what it would be of; of all rows, where only some go on. */
  readonly mlpRead: TracedTensor;
  /** What goes into the activation: one tensor, or gate and up. */
  readonly inner: readonly TracedTensor[];
  readonly activated: TracedTensor;
  /** What the MLP adds to the stream, and the sum: the layer's output. */
  readonly mlpOut: TracedTensor;
  readonly mlpSum: TracedTensor;
  /** The first position that the last row sees: above 0 with a window. */
  readonly firstSeen: number;
}

/**
 * @param layer from 0
 * @throws Error when the pass did not go through all of the layer, as one without logits does not through the last
 */
export function layerParts(trace: Trace, layer: number): LayerParts {
  const ofLayer = trace.tensors.filter((tensor) => tensor.layer === layer);
  const made = (operation: TracedTensor["operation"]) => {
    const found = ofLayer.find((tensor) => tensor.operation === operation);
    if (found === undefined) throw new Error(`the trace has no ${operation} of layer ${layer}`);
    return found;
  };
  const [keys, values, scores, softmax] = [made("keys"), made("values"), made("scores"), made("softmax")];
  const sum = made("add");
  const sums = ofLayer.filter(({ operation }) => operation === "add");
  const mlpSum = sums[sums.length - 1];
  const mlpOut = sourceOf(trace, mlpSum, 1);
  const activated = backTo(
    trace,
    mlpOut,
    ({ operation }) => operation === "activate" || operation === "gate",
  );
  const inner = activated.sources.map((_, i) => sourceOf(trace, activated, i));
  const up = backTo(trace, inner[0], ({ operation }) => operation === "linear");
  const read = sourceOf(trace, up);
  const newKeys = newRows(trace, keys);
  const keyProduct = backTo(trace, newKeys, ({ operation }) => operation === "linear");
  const attentionRead = sourceOf(trace, keyProduct);
  const last = scores.rows - 1;
  const seen = scores.sources.find(({ tensor }) => tensor === keys.id);
  return {
    name: keys.name.slice(0, keys.name.indexOf(`.${layer}.`) + `.${layer}`.length),
    input: isNorm(attentionRead) ? sourceOf(trace, attentionRead) : attentionRead,
    attentionRead,
    q: sourceOf(trace, scores),
    newKeys,
    keys,
    values,
    scores,
    softmax,
    attended: made("weightedValues"),
    attentionOut: sourceOf(trace, sum, 1),
    attentionSum: sum,
    mlpRead: read.operation === "gatherRows" ? sourceOf(trace, read) : read,
    inner,
    activated,
    mlpOut,
    mlpSum,
    firstSeen: seen?.from[last] ?? 0,
  };
}

/** Tensors from behind one to another, in the order in which they were made, each from the one before it. */
export function wayTo(trace: Trace, from: TracedTensor, to: TracedTensor): TracedTensor[] {
  const way: TracedTensor[] = [];
  for (let tensor = to; tensor.id !== from.id; tensor = sourceOf(trace, tensor)) way.unshift(tensor);
  return way;
}

/** The tensor that another was made from first, or as its source of some number. */
export function sourceOf(trace: Trace, { sources }: TracedTensor, source = 0): TracedTensor {
  return trace.tensors[sources[source].tensor];
}

export function isNorm({ operation }: TracedTensor): boolean {
  return operation === "layerNorm" || operation === "rmsNorm";
}

/** What made tensors, in words; one line for each operation, of those that stand side by side one for both. */
export function operationLines(trace: Trace, ...ways: readonly (readonly TracedTensor[])[]): string[] {
  const kinds: readonly [(tensor: TracedTensor) => boolean, (of: readonly TracedTensor[]) => string][] = [
    [
      ({ operation }) => operation === "embed" || operation === "addRowsAt",
      (of) => modulesOf(of).join(" + "),
    ],
    [({ operation }) => operation === "linear", (of) => joined(modulesOf(of))],
    [isNorm, (of) => joined(modulesOf(of))],
    [({ operation }) => operation === "rotate", () => "rotation"],
    [({ operation }) => operation === "scale", () => "scale"],
    [({ operation }) => operation === "softcap", () => "cap"],
    [({ operation }) => operation === "activate", () => trace.config.activation],
    [({ operation }) => operation === "gate", () => `${trace.config.activation}(gate) · up`],
  ];
  return kinds.flatMap(([isKind, words]) => {
    const tensors = ways.flat().filter(isKind);
    return tensors.length === 0 ? [] : [words(tensors)];
  });
}

/** What is not alike in all models: heads that share K and V, and a window that hides rows from the last one. */
export function attentionNotes({ q, keys, firstSeen }: LayerParts, { config }: Trace): string[] {
  const [heads, kvHeads] = [q.cols / config.headDim, keys.cols / config.headDim];
  const notes: string[] = [];
  if (kvHeads < heads) notes.push(`${heads} heads share ${kvHeads} of K and V`);
  if (firstSeen > 0) notes.push(`a window of ${keys.rows - firstSeen} rows`);
  return notes;
}

/** The last parts of the modules' names, each once. */
function modulesOf(tensors: readonly TracedTensor[]): string[] {
  const names = tensors.flatMap(({ modules }) => modules.map((name) => name.replace(/^.*\./, "")));
  return [...new Set(names)];
}

/** `q, k, v_proj` of q_proj, k_proj and v_proj. */
function joined(names: readonly string[]): string {
  const parts = names.map((name) => /^([^_]+)(_.+)$/.exec(name));
  const [ending] = parts.map((part) => part?.[2]);
  const isAlike = ending !== undefined && parts.every((part) => part?.[2] === ending);
  return isAlike ? `${parts.map((part) => part?.[1]).join(", ")}${ending}` : names.join(", ");
}

/** The tensor, or the first of those that it was made from, that is such a one. */
function backTo(trace: Trace, tensor: TracedTensor, isSuch: (tensor: TracedTensor) => boolean): TracedTensor {
  let at = tensor;
  while (!isSuch(at)) at = sourceOf(trace, at);
  return at;
}

/** Where the rows of K come from that were fed. */
function newRows(trace: Trace, keys: TracedTensor): TracedTensor {
  const found = keys.sources
    .map(({ tensor }) => trace.tensors[tensor])
    .find(({ operation }) => operation !== "cachedKeys");
  if (found === undefined) throw new Error(`${keys.name} has no new rows`);
  return found;
}
