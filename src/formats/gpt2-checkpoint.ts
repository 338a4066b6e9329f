/**
 * Which tensors a GPT-2 is made of, and where a checkpoint has them: every weight present, of a dtype that is read,
 * and of exactly the shape that the config asks for. Names and shapes as in Hugging Face transformers'
 * `GPT2LMHeadModel`; its `Conv1D` keeps weights as (in, out).
 */
import { LastrowError } from "../errors.js";
import type { Gpt2Config } from "../model/config.js";
import type { Checkpoint } from "./checkpoint.js";
import type { ModelFile } from "./model-files.js";
import { quoteValue } from "./quote-value.js";
import type { TensorEntry } from "./safetensors.js";

/** The element types that weights may be stored in. */
const WEIGHT_DTYPES = ["F32", "F16", "BF16"] as const;
export type WeightDtype = (typeof WEIGHT_DTYPES)[number];

/** Causal masks that older versions of transformers stored beside the weights. */
const MASK_BUFFER = /^h\.\d+\.attn\.(bias|masked_bias)$/;

const LM_HEAD = "lm_head.weight";

/** A weight of the model and the file that it is in. */
export interface PlannedTensor {
  readonly entry: TensorEntry & { readonly dtype: WeightDtype };
  readonly file: ModelFile;
}

export interface Gpt2TensorPlan {
  /** Every weight that the model uses, by canonical name (`h.0.attn.c_attn.weight`), in the checkpoint's order. */
  readonly tensors: ReadonlyMap<string, PlannedTensor>;
  /**
   * Whether `lm_head` is `wte`: the config ties them and the checkpoint has no `lm_head.weight` of its own. Use this
   * instead of the config's field of the same name.
   */
  readonly tieWordEmbeddings: boolean;
  /** Number of parameters: the elements of all `tensors`, so that a tied `lm_head` counts once. */
  readonly parameters: number;
}

/**
 * The weights of a GPT-2 and their shapes, by canonical name. C is `hiddenSize`, V `vocabSize`.
 * `lm_head.weight` is among them unless `tied`.
 */
export function gpt2WeightShapes(
  config: Pick<Gpt2Config, "numLayers" | "hiddenSize" | "innerSize" | "contextLength" | "vocabSize">,
  tied: boolean,
): Map<string, readonly number[]> {
  const { hiddenSize: C, innerSize, contextLength, vocabSize: V } = config;
  const shapes = new Map<string, readonly number[]>([
    ["wte.weight", [V, C]],
    ["wpe.weight", [contextLength, C]],
  ]);
  for (let layer = 0; layer < config.numLayers; layer++) {
    const h = `h.${layer}`;
    shapes.set(`${h}.ln_1.weight`, [C]);
    shapes.set(`${h}.ln_1.bias`, [C]);
    shapes.set(`${h}.attn.c_attn.weight`, [C, 3 * C]);
    shapes.set(`${h}.attn.c_attn.bias`, [3 * C]);
    shapes.set(`${h}.attn.c_proj.weight`, [C, C]);
    shapes.set(`${h}.attn.c_proj.bias`, [C]);
    shapes.set(`${h}.ln_2.weight`, [C]);
    shapes.set(`${h}.ln_2.bias`, [C]);
    shapes.set(`${h}.mlp.c_fc.weight`, [C, innerSize]);
    shapes.set(`${h}.mlp.c_fc.bias`, [innerSize]);
    shapes.set(`${h}.mlp.c_proj.weight`, [innerSize, C]);
    shapes.set(`${h}.mlp.c_proj.bias`, [C]);
  }
  shapes.set("ln_f.weight", [C]);
  shapes.set("ln_f.bias", [C]);
  if (!tied) shapes.set(LM_HEAD, [V, C]);
  return shapes;
}

/**
 * Finds and checks every weight. Reads nothing.
 *
 * An `lm_head.weight` that the checkpoint has is used even when the config ties it to `wte`: where the two are equal,
 * as in files converted from PyTorch's format, the logits are the same; where they differ, transformers 5 does not tie
 * them either. Mask buffers (`h.*.attn.bias`, `h.*.attn.masked_bias`) are ignored.
 *
 * @throws LastrowError `model_file_invalid` for a weight that is missing or has another shape than the config asks
 *   for, and for a tensor that is no part of GPT-2; `model_unsupported` for a dtype other than F32, F16 and BF16
 */
export function planGpt2Tensors(checkpoint: Checkpoint, config: Gpt2Config): Gpt2TensorPlan {
  const tieWordEmbeddings = config.tieWordEmbeddings && !checkpoint.tensors.has(LM_HEAD);
  const shapes = gpt2WeightShapes(config, tieWordEmbeddings);
  const fileNames = checkpoint.files.map((file) => file.name).join(", ");
  for (const [name, shape] of shapes) {
    if (!checkpoint.tensors.has(name)) {
      invalid(`${fileNames}: tensor ${quoteValue(name)} of shape ${quoteValue(shape)} is missing`);
    }
  }
  const tensors = new Map<string, PlannedTensor>();
  let parameters = 0;
  for (const [name, { entry, file }] of checkpoint.tensors) {
    if (MASK_BUFFER.test(name)) continue;
    const shape = shapes.get(name);
    if (shape === undefined) {
      invalid(
        `${file.name}: tensor ${quoteValue(entry.name)} is no part of a GPT-2 with ${config.numLayers} layers`,
      );
    }
    tensors.set(name, { entry: checkEntry(entry, shape, file), file });
    parameters += shape.reduce((product, size) => product * size, 1);
  }
  return { tensors, tieWordEmbeddings, parameters };
}

function checkEntry(entry: TensorEntry, shape: readonly number[], file: ModelFile): PlannedTensor["entry"] {
  const tensor = `${file.name}: tensor ${quoteValue(entry.name)}`;
  const { dtype } = entry;
  if (!isWeightDtype(dtype)) {
    throw new LastrowError(
      "model_unsupported",
      `${tensor} has dtype ${dtype}; weights are read as ${WEIGHT_DTYPES.join(", ")}.`,
    );
  }
  if (entry.shape.length !== shape.length || shape.some((size, i) => size !== entry.shape[i])) {
    invalid(`${tensor} has shape ${quoteValue(entry.shape)}, but the config asks for ${quoteValue(shape)}`);
  }
  return { ...entry, dtype };
}

function isWeightDtype(dtype: string): dtype is WeightDtype {
  return (WEIGHT_DTYPES as readonly string[]).includes(dtype);
}

function invalid(sentence: string): never {
  throw new LastrowError("model_file_invalid", `${sentence}.`);
}
