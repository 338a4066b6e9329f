/** What a model is made of, read from its decoder: for words that are true of any family. */
import type { ModelConfig } from "lastrow";
import { type Trace, traceForward } from "lastrow/explain";

/** What families differ in. */
export interface Structure {
  readonly norm: "layer" | "rms";
  readonly positions: "learned" | "rotary";
  readonly isGated: boolean;
  readonly isParallel: boolean;
  readonly activation: string;
  /** Heads of K and V, where they are fewer than heads of queries. */
  readonly groups: { readonly heads: number; readonly kvHeads: number } | null;
  /** Each window, and how many layers have it. */
  readonly windows: readonly { readonly window: number; readonly layers: number }[];
}

export function structureOf({ decoder, numHeads, numKvHeads, activation }: ModelConfig): Structure {
  const [{ mlp, residual }] = decoder.layers;
  const windows = new Map<number, number>();
  for (const { attention } of decoder.layers) {
    if (attention.window !== null) windows.set(attention.window, (windows.get(attention.window) ?? 0) + 1);
  }
  return {
    norm: decoder.finalNorm.kind,
    positions: decoder.learnedPositions > 0 ? "learned" : "rotary",
    isGated: mlp.gated,
    isParallel: residual === "parallel",
    activation,
    groups: numKvHeads < numHeads ? { heads: numHeads, kvHeads: numKvHeads } : null,
    windows: [...windows].map(([window, layers]) => ({ window, layers })),
  };
}

/** What the checkpoint calls its parts, for sentences that speak of them. */
export interface PartNames {
  /** What looks tokens up, and positions where they are looked up. */
  readonly embedding: readonly string[];
  /** What makes queries, keys and values: one product, or one each. */
  readonly qkv: readonly string[];
  /** The product behind attention. */
  readonly attentionOut: string;
  readonly head: string;
}

/** From a trace of one row. */
export function partNames(config: ModelConfig): PartNames {
  const { tensors } = traceForward(config, { tokens: [0] });
  const last = (name: string) => name.replace(/^.*\./, "");
  const modulesOf = (...weights: string[]) => [
    ...new Set(
      tensors
        .filter(({ weight, sources }) => weight !== null && weights.includes(weight) && sources.length > 0)
        .flatMap(({ modules }) => modules.map(last)),
    ),
  ];
  return {
    embedding: modulesOf("embedding", "positions"),
    qkv: [...new Set([...modulesOf("layers.0.q"), ...modulesOf("layers.0.kv")])],
    attentionOut: modulesOf("layers.0.o").join(", "),
    head: modulesOf("head").join(", "),
  };
}

/** What the checkpoint calls a layer: `h.3`, `layers.3`. */
export function layerName(trace: Trace | null, layer: number): string {
  const found = trace?.tensors.find((tensor) => tensor.layer === layer);
  const at = found?.name.indexOf(`.${layer}.`) ?? -1;
  return found === undefined || at === -1 ? String(layer) : found.name.slice(0, at + `.${layer}`.length);
}
