/** The mixtures of types that llama.cpp's quantiser makes (its llama-quant.cpp), as GGUF files on the Hub have them. */

/** As the quantiser calls them, in small letters. */
export const MIXTURES = ["q4_k_m", "q4_0", "q8_0", "bf16"] as const;
export type Mixture = (typeof MIXTURES)[number];

/** Types of blocks that matrices have in them; vectors are F32. */
export type BlockDtype = "Q8_0" | "Q4_0" | "Q5_0" | "Q5_1" | "Q4_K" | "Q5_K" | "Q6_K";

/** What rows have that are no multiple of 256. */
const NARROW: Readonly<Partial<Record<BlockDtype, BlockDtype>>> = {
  Q4_K: "Q5_0",
  Q5_K: "Q5_1",
  Q6_K: "Q8_0",
};

export interface QuantisedModel {
  readonly layers: number;
  /** Whether the head is the embedding. */
  readonly tied: boolean;
}

/** The type of a matrix by its name in the file. */
export function mixtureType(
  mixture: Mixture,
  name: string,
  rowLength: number,
  model: QuantisedModel,
): BlockDtype | "BF16" {
  if (mixture === "bf16") return "BF16";
  const type = wideType(mixture, name, model);
  return rowLength % 256 === 0 ? type : (NARROW[type] ?? type);
}

function wideType(
  mixture: Exclude<Mixture, "bf16">,
  name: string,
  { layers, tied }: QuantisedModel,
): BlockDtype {
  if (mixture === "q8_0") return "Q8_0";
  if (name === (tied ? "token_embd.weight" : "output.weight")) return "Q6_K";
  if (mixture === "q4_0") return "Q4_0";
  if (name.endsWith(".attn_qkv.weight")) return "Q5_K";
  const layer = Number(/^blk\.(\d+)\.(?:attn_v|ffn_down)\.weight$/.exec(name)?.[1] ?? Number.NaN);
  const eighth = Math.floor(layers / 8);
  const hasMoreBits =
    layer < eighth ||
    layer >= Math.floor((7 * layers) / 8) ||
    (layer >= eighth && (layer - eighth) % 3 === 2);
  return hasMoreBits ? "Q6_K" : "Q4_K";
}
