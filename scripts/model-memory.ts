/**
 * What models that people use take in memory, from their shapes alone, as the engine plans it: the table in docs/models.md.
 * `npx tsx scripts/model-memory.ts` prints it; a test holds the two together.
 */
import { realpathSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { ggufArchitectures } from "../src/architectures/gguf/gguf-architectures.js";
import { ggufTensors } from "../src/architectures/gguf/gguf-tensors.js";
import { architectureOf } from "../src/architectures/known-architectures.js";
import { planEngine } from "../src/engine/engine-plan.js";
import { LastrowError } from "../src/errors.js";
import { kvLayout } from "../src/kernels/kv-layout.js";
import type { StoredDtype } from "../src/kernels/weight-types.js";
import { keptBytes, kvKinds } from "../src/kv-cache/block-needs.js";
import { formatMemorySize } from "../src/memory-size.js";
import { type DecoderSpec, kvShapeOf, widestRow } from "../src/model/decoder-spec.js";
import type { AskedDtype, StoredTensor } from "../src/model/weight-dtypes.js";
import type { EngineShape } from "../src/protocol/engine-setup.js";
import { type Mixture, mixtureType } from "./mixtures.js";

type Config = Readonly<Record<string, unknown>>;

/** A row of the table: its architecture in GGUF, and what its `config.json` says of its shape. */
interface SizedModel {
  readonly name: string;
  readonly architecture: string;
  readonly config: Config;
}

/** Layers, width, heads and KV heads, width of a head, width in the MLP, tokens, longest context. */
type Sizes = readonly [
  layers: number,
  width: number,
  heads: number,
  kvHeads: number,
  headDim: number,
  inner: number,
  vocab: number,
  context: number,
];

function model(name: string, architecture: string, sizes: Sizes, config: Config = {}): SizedModel {
  const [layers, width, heads, kvHeads, headDim, inner, vocab, context] = sizes;
  const common = {
    ...{
      model_type: architecture,
      num_hidden_layers: layers,
      hidden_size: width,
      num_attention_heads: heads,
    },
    ...{ num_key_value_heads: kvHeads, head_dim: headDim, intermediate_size: inner, vocab_size: vocab },
    ...{ max_position_embeddings: context, rms_norm_eps: 1e-5, rope_theta: 1e4, tie_word_embeddings: true },
  };
  return { name, architecture, config: { ...common, ...config } };
}

const GEMMA3 = {
  ...{ model_type: "gemma3_text", query_pre_attn_scalar: 256, sliding_window: 512 },
  hidden_activation: "gelu_pytorch_tanh",
};

const MODELS: readonly SizedModel[] = [
  model("SmolLM2 135M", "llama", [30, 576, 9, 3, 64, 1536, 49_152, 8192]),
  model("Gemma 3 270M", "gemma3", [18, 640, 4, 1, 256, 2048, 262_144, 32_768], GEMMA3),
  model("SmolLM2 360M", "llama", [32, 960, 15, 5, 64, 2560, 49_152, 8192]),
  model("Qwen2.5 0.5B", "qwen2", [24, 896, 14, 2, 64, 4864, 151_936, 32_768]),
  model("Qwen3 0.6B", "qwen3", [28, 1024, 16, 8, 128, 3072, 151_936, 40_960]),
  model("Gemma 3 1B", "gemma3", [26, 1152, 4, 1, 256, 6912, 262_144, 32_768], GEMMA3),
  model("TinyLlama 1.1B", "llama", [22, 2048, 32, 4, 64, 5632, 32_000, 2048], { tie_word_embeddings: false }),
  model("Llama 3.2 1B", "llama", [16, 2048, 32, 8, 64, 8192, 128_256, 131_072]),
  model("Qwen2.5 1.5B", "qwen2", [28, 1536, 12, 2, 128, 8960, 151_936, 32_768]),
  model("SmolLM2 1.7B", "llama", [24, 2048, 32, 32, 64, 8192, 49_152, 8192]),
  model("Qwen3 1.7B", "qwen3", [28, 2048, 16, 8, 128, 6144, 151_936, 40_960]),
  model("SmolLM3 3B", "smollm3", [36, 2048, 16, 4, 128, 11_008, 128_256, 65_536]),
  model("Llama 3.2 3B", "llama", [28, 3072, 24, 8, 128, 8192, 128_256, 131_072]),
  model("Qwen3 4B", "qwen3", [36, 2560, 32, 8, 128, 9728, 151_936, 40_960]),
  model("Llama 3.1 8B", "llama", [32, 4096, 32, 8, 128, 14_336, 128_256, 131_072], {
    tie_word_embeddings: false,
  }),
];

/** More memory than any of them takes, so that WebAssembly's is what counts. */
const MACHINE = { totalBytes: 2 ** 36, freeBytes: 2 ** 36 };

/** The table in Markdown. */
export function memoryTable(): string {
  const head = [
    "model",
    "Q4_K_M",
    "Q8_0",
    "`--dtype int4`",
    "BF16",
    "K and V, 1,000 tokens",
    "longest context, Q4_K_M",
  ];
  const rows = MODELS.map((sized) => {
    const { decoder, tensorsIn } = shapesOf(sized);
    const planned = (dtype: AskedDtype, tensors: readonly StoredTensor[]) =>
      plannedIn({ decoder, dtype, tensors });
    const mixture = planned("auto", tensorsIn("q4_k_m"));
    const kv = keptBytes(kvKinds(kvLayout(kvShapeOf(decoder), "f32", 0, 0)), 1000);
    return [
      sized.name,
      mixture.words,
      planned("auto", tensorsIn("q8_0")).words,
      planned("int4", tensorsIn("BF16")).words,
      planned("auto", tensorsIn("BF16")).words,
      formatMemorySize(kv),
      mixture.contextLength === null ? "–" : mixture.contextLength.toLocaleString("en-US"),
    ];
  });
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, column) => (column === 0 ? "---" : "---:"));
  return [head, rule, ...rows].map(line).join("\n");
}

/** The decoder, and its tensors in a mixture, or all in one type. */
function shapesOf({ architecture: id, config }: SizedModel) {
  const { decoder } = architectureOf(config.model_type)!.config({ ...config }, "config.json", {});
  const rows = ggufTensors(ggufArchitectures.find((known) => known.id === id)!.layout)(decoder);
  const names = [...new Set(rows.map(({ name }) => name))];
  const quantised = { layers: decoder.layers.length, tied: decoder.tied };
  const tensorsIn = (types: Mixture | StoredDtype): StoredTensor[] =>
    names.map((name) => {
      const ofTensor = rows.filter((row) => row.name === name);
      const [{ shape }] = ofTensor as [(typeof ofTensor)[number]];
      const isMixture = types === types.toLowerCase();
      const dtype: StoredDtype =
        shape.length === 1
          ? "F32"
          : isMixture
            ? mixtureType(types as Mixture, name, shape.at(-1)!, quantised)
            : (types as StoredDtype);
      return { entry: { dtype, shape }, rows: ofTensor };
    });
  return { decoder, tensorsIn };
}

/** What the weights take, and the longest context beside them; in words where they do not fit. */
function plannedIn({
  decoder,
  dtype,
  tensors,
}: Pick<EngineShape, "dtype"> & {
  readonly decoder: DecoderSpec;
  readonly tensors: readonly StoredTensor[];
}) {
  const shape: EngineShape = {
    ...{
      label: "model",
      decoder,
      isContextAsked: false,
      widestRow: widestRow(tensors.flatMap(({ rows }) => rows)),
    },
    ...{
      kernels: "wasm",
      threads: 1,
      vectors: "auto",
      dtype,
      tensors,
      kvDtype: "f32",
      kvMemory: null,
      tokenBudget: null,
    },
  };
  try {
    const { weightBytes, contextLength } = planEngine(shape, {
      availableThreads: () => 1,
      canShareMemory: () => true,
      memory: () => MACHINE,
      startHelper: () => Promise.reject(new Error("a plan starts no threads")),
      wideVectors: () => "a plan computes nothing",
    });
    return { words: formatMemorySize(weightBytes), contextLength };
  } catch (error) {
    if (!(error instanceof LastrowError) || error.code !== "memory_limit_exceeded") throw error;
    return { words: "too large", contextLength: null };
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  process.stdout.write(`${memoryTable()}\n`);
}
