/**
 * The tensors of the families whose layer is Llama's, as transformers names them. Which ones a checkpoint has follows from
 * the decoder: a bias where it has one, a norm where it has one.
 */
import type { DecoderSpec, LayerSpec, NormSpec, TensorRow } from "../model/decoder-spec.js";
import { linearTensors, normTensors } from "./tensor-rows.js";

export interface LlamaStyleNames {
  /** What the family calls the norms of its layers, those that it has. */
  readonly norms: Readonly<
    Partial<Record<"attentionNorm" | "attentionNormAfter" | "mlpNorm" | "mlpNormAfter", string>>
  >;
  /** Gains of norms are stored less 1 (Gemma). */
  readonly gainsLess1?: boolean;
  /** Q, K and V are one tensor, gate and up another (Phi-3). */
  readonly fused?: boolean;
}

/** C is `hiddenSize`, V `vocabSize`, Q the width of all queries, K that of all keys. */
export function llamaStyleTensors(names: LlamaStyleNames): (decoder: DecoderSpec) => TensorRow[] {
  return ({ hiddenSize: C, vocabSize: V, layers, finalNorm, tied }) => {
    const rows: TensorRow[] = [
      { name: "embed_tokens.weight", shape: [V, C], to: "embedding", order: "out-in" },
      ...layers.flatMap((layer, i) => layerTensors(C, layer, i, names)),
      ...normTensors("norm", C, finalNorm, "finalNorm", { less1: names.gainsLess1 }),
    ];
    if (!tied) rows.push({ name: "lm_head.weight", shape: [V, C], to: "head", order: "out-in" });
    return rows;
  };
}

function layerTensors(
  C: number,
  { attention, mlp }: LayerSpec,
  i: number,
  names: LlamaStyleNames,
): TensorRow[] {
  const at = `layers.${i}` as const;
  const { norms, gainsLess1: less1 } = names;
  const Q = attention.numHeads * attention.headDim;
  const K = attention.numKvHeads * attention.headDim;
  const { innerSize } = mlp;
  const rows: TensorRow[] = [];
  const norm = (place: keyof typeof norms, spec: NormSpec | null) => {
    if (spec === null) return;
    rows.push(...normTensors(`${at}.${norms[place]}`, C, spec, `${at}.${place}`, { less1 }));
  };
  norm("attentionNorm", attention.norm);
  const { qkv, o } = attention.bias;
  const kv = { traceName: `${at}.self_attn.kv` };
  if (names.fused) {
    const stored = [`${at}.self_attn.qkv_proj`, Q + 2 * K, C, qkv] as const;
    const q = { outputs: { from: 0, count: Q }, traceName: `${at}.self_attn.q` };
    rows.push(...linearTensors(...stored, `${at}.q`, q));
    rows.push(...linearTensors(...stored, `${at}.kv`, { outputs: { from: Q, count: 2 * K }, ...kv }));
  } else {
    rows.push(...linearTensors(`${at}.self_attn.q_proj`, Q, C, qkv, `${at}.q`));
    rows.push(...linearTensors(`${at}.self_attn.k_proj`, K, C, qkv, `${at}.kv`, { at: 0, ...kv }));
    rows.push(...linearTensors(`${at}.self_attn.v_proj`, K, C, qkv, `${at}.kv`, { at: K, ...kv }));
  }
  if (attention.qkNorm !== null) {
    const { over, norm: spec } = attention.qkNorm;
    const widths = over === "head" ? [attention.headDim, attention.headDim] : [Q, K];
    rows.push(...normTensors(`${at}.self_attn.q_norm`, widths[0]!, spec, `${at}.queryNorm`, { less1 }));
    rows.push(...normTensors(`${at}.self_attn.k_norm`, widths[1]!, spec, `${at}.keyNorm`, { less1 }));
  }
  rows.push(...linearTensors(`${at}.self_attn.o_proj`, C, Q, o, `${at}.o`));
  norm("attentionNormAfter", attention.normAfter);
  norm("mlpNorm", mlp.norm);
  const gateUp = { traceName: `${at}.mlp.gate_up` };
  if (names.fused) {
    rows.push(...linearTensors(`${at}.mlp.gate_up_proj`, 2 * innerSize, C, mlp.bias, `${at}.gateUp`, gateUp));
  } else {
    const [gate, up] = [
      { at: 0, ...gateUp },
      { at: innerSize, ...gateUp },
    ];
    rows.push(...linearTensors(`${at}.mlp.gate_proj`, innerSize, C, mlp.bias, `${at}.gateUp`, gate));
    rows.push(...linearTensors(`${at}.mlp.up_proj`, innerSize, C, mlp.bias, `${at}.gateUp`, up));
  }
  rows.push(...linearTensors(`${at}.mlp.down_proj`, C, innerSize, mlp.bias, `${at}.down`));
  norm("mlpNormAfter", mlp.normAfter);
  return rows;
}
