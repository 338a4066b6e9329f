/**
 * The tensors of a GGUF file. Their names are the same in all architectures, and which ones there are follows from the
 * decoder: a norm where it has one, a bias where it has one. Matrices lie as (out, in) in all of them.
 */
import type { DecoderSpec, LayerSpec, NormSpec, TensorRow } from "../../model/decoder-spec.js";
import { linearTensors, normTensors } from "../tensor-rows.js";

/** How an architecture's files store what others store otherwise. */
export interface GgufTensorLayout {
  /** Q, K and V are one tensor. */
  readonly fusedQkv?: boolean | undefined;
  /** Gate and up are one tensor. */
  readonly fusedGateUp?: boolean;
  /** Rows of Q and K lie so that neighbouring values of a head turn together. */
  readonly interleaved?: boolean | undefined;
}

/** C is `hiddenSize`, V `vocabSize`, Q the width of all queries, K that of all keys. */
export function ggufTensors(layout: GgufTensorLayout): (decoder: DecoderSpec) => TensorRow[] {
  return ({ hiddenSize: C, vocabSize: V, learnedPositions, layers, finalNorm, tied }) => {
    const rows: TensorRow[] = [
      { name: "token_embd.weight", shape: [V, C], to: "embedding", order: "out-in" },
      ...layers.flatMap((layer, i) => layerTensors(C, layer, i, layout)),
      ...normTensors("output_norm", C, finalNorm, "finalNorm"),
    ];
    if (learnedPositions > 0) {
      rows.push({ name: "position_embd.weight", shape: [learnedPositions, C], to: "positions" });
    }
    if (!tied) rows.push({ name: "output.weight", shape: [V, C], to: "head", order: "out-in" });
    return rows;
  };
}

function layerTensors(
  C: number,
  { attention, mlp }: LayerSpec,
  i: number,
  { fusedQkv, fusedGateUp, interleaved }: GgufTensorLayout,
): TensorRow[] {
  const at = `layers.${i}` as const;
  const stored = (name: string) => `blk.${i}.${name}`;
  const rows: TensorRow[] = [];
  const norm = (name: string, spec: NormSpec | null, place: NormPlace) => {
    if (spec !== null) rows.push(...normTensors(stored(name), C, spec, `${at}.${place}`));
  };
  norm("attn_norm", attention.norm, "attentionNorm");
  rows.push(...queryKeyValueTensors(C, attention, i, { fusedQkv, interleaved }));
  const Q = attention.numHeads * attention.headDim;
  const K = attention.numKvHeads * attention.headDim;
  if (attention.qkNorm !== null) {
    const { over, norm: spec } = attention.qkNorm;
    const [q, k] = over === "head" ? [attention.headDim, attention.headDim] : [Q, K];
    rows.push(...normTensors(stored("attn_q_norm"), q, spec, `${at}.queryNorm`));
    rows.push(...normTensors(stored("attn_k_norm"), k, spec, `${at}.keyNorm`));
  }
  rows.push(...linearTensors(stored("attn_output"), C, Q, attention.bias.o, `${at}.o`));
  norm("post_attention_norm", attention.normAfter, "attentionNormAfter");
  norm("ffn_norm", mlp.norm, "mlpNorm");
  const { innerSize: I, bias } = mlp;
  if (!mlp.gated) rows.push(...linearTensors(stored("ffn_up"), I, C, bias, `${at}.up`));
  else if (fusedGateUp) rows.push(...linearTensors(stored("ffn_up"), 2 * I, C, bias, `${at}.gateUp`));
  else {
    rows.push(...linearTensors(stored("ffn_gate"), I, C, bias, `${at}.gateUp`, { at: 0 }));
    rows.push(...linearTensors(stored("ffn_up"), I, C, bias, `${at}.gateUp`, { at: I }));
  }
  rows.push(...linearTensors(stored("ffn_down"), C, I, bias, `${at}.down`));
  norm("post_ffw_norm", mlp.normAfter, "mlpNormAfter");
  return rows;
}

type NormPlace = "attentionNorm" | "attentionNormAfter" | "mlpNorm" | "mlpNormAfter";

function queryKeyValueTensors(
  C: number,
  { numHeads, numKvHeads, headDim, bias }: LayerSpec["attention"],
  i: number,
  { fusedQkv, interleaved }: GgufTensorLayout,
): TensorRow[] {
  const Q = numHeads * headDim;
  const K = numKvHeads * headDim;
  const [q, kv] = [`layers.${i}.q`, `layers.${i}.kv`] as const;
  if (fusedQkv) {
    const name = `blk.${i}.attn_qkv`;
    return [
      ...linearTensors(name, Q + 2 * K, C, bias.qkv, q, { outputs: { from: 0, count: Q } }),
      ...linearTensors(name, Q + 2 * K, C, bias.qkv, kv, { outputs: { from: Q, count: 2 * K } }),
    ];
  }
  const turned = interleaved ? { interleaved: headDim } : {};
  return [
    ...linearTensors(`blk.${i}.attn_q`, Q, C, bias.qkv, q, turned),
    ...linearTensors(`blk.${i}.attn_k`, K, C, bias.qkv, kv, { at: 0, ...turned }),
    ...linearTensors(`blk.${i}.attn_v`, K, C, bias.qkv, kv, { at: K }),
  ];
}
