/**
 * Random models as GGUF files: the shape of a model that people use, its matrices in blocks of random bits under scales of
 * sensible size, in the mixtures of types that llama.cpp's quantiser makes, or in BF16; and a byte-level vocabulary of as many tokens.
 * Nothing is rounded from anything: for measuring, and for loading in other programs.
 */
import { ggufArchitectures } from "../src/architectures/gguf/gguf-architectures.js";
import { ggufTensors } from "../src/architectures/gguf/gguf-tensors.js";
import { architectureOf } from "../src/architectures/known-architectures.js";
import type { GgufValue } from "../src/formats/gguf/gguf-metadata.js";
import { STORED_TYPES, storedBytes } from "../src/kernels/weight-types.js";
import { ggufValue, type NewGgufFile, type NewGgufTensor } from "./gguf-writer.js";
import { hfToGguf } from "./hf-to-gguf.js";
import { type BlockDtype, type Mixture, mixtureType } from "./mixtures.js";
import { PRESETS, type Preset, type PresetName } from "./presets.js";
import { drawTensor, invalid, randomIntegers, toF16 } from "./random-checkpoint.js";

/** Standard deviation of the weights. */
const STD = 0.02;
/** Bytes of blocks that are made at a time. */
const PIECE_BYTES = 1024 * 1024;

type PlannedGgufTensor = NewGgufTensor & { readonly data: () => Iterable<Uint8Array> };

/**
 * Plans a file; nothing is drawn before a tensor's data are asked for.
 * @throws LastrowError `invalid_argument` for a preset whose vocabulary is of another kind
 */
export function planRandomGguf(name: PresetName, mixture: Mixture, seed = 1): NewGgufFile<PlannedGgufTensor> {
  const { config, pre, model } = PRESETS[name] as Preset;
  if (pre === undefined) invalid(`${name} has a vocabulary of another kind than this script makes`);
  const { rope_theta, rope_scaling } = config;
  const rotation = { rope_parameters: { rope_theta, ...(rope_scaling as object | null) } };
  const { metadata, tensors: rotary } = hfToGguf({ ...config, ...rotation }, new Map());
  const named = metadata["general.architecture"];
  const architecture = ggufArchitectures.find(({ id }) => named?.type === "string" && id === named.value)!;
  const { decoder } = architectureOf(config.model_type)!.config({ ...config }, "config.json", {});
  const quantised = { layers: decoder.layers.length, tied: decoder.tied };
  const shapes = new Map(ggufTensors(architecture.layout)(decoder).map((row) => [row.name, row]));
  const tensors = [...shapes.values()].map(({ name: tensor, shape, to }): PlannedGgufTensor => {
    const dtype = shape.length === 1 ? "F32" : mixtureType(mixture, tensor, shape.at(-1)!, quantised);
    const values = shape.reduce((product, size) => product * size, 1);
    const key = `${seed}:${tensor}`;
    const draw = { key, mean: to.endsWith(".gain") ? 1 : 0, std: STD };
    const data = () =>
      dtype === "F32" || dtype === "BF16"
        ? drawTensor(values, dtype, draw)
        : randomBlocks(dtype, values, key);
    return { name: tensor, dtype, shape, data };
  });
  return {
    metadata: {
      ...metadata,
      "general.name": ggufValue.text(`random weights in the shape of ${model}`),
      "general.file_type": ggufValue.u32(FILE_TYPES[mixture]),
      ...vocabulary(config as unknown as VocabularyConfig, pre),
    },
    tensors: [...rotary.map(({ data, ...tensor }) => ({ ...tensor, data: () => [data] })), ...tensors],
  };
}

/** llama.cpp's numbers of mixtures, which `general.file_type` tells. */
const FILE_TYPES: Readonly<Record<Mixture, number>> = { q4_0: 2, q8_0: 7, q4_k_m: 15, bf16: 32 };

/** Where a block's f16 scales are, and how large they are for values of standard deviation 1. */
const SCALES: Readonly<Record<BlockDtype, readonly (readonly [offset: number, scale: number])[]>> = {
  Q8_0: [[0, 1 / 73.9]],
  Q4_0: [[0, 1 / 4.64]],
  Q5_0: [[0, 1 / 9.24]],
  Q5_1: [
    [0, 1 / 9.24],
    [2, -15.5 / 9.24],
  ],
  // Scales and minimums of groups are from 0 to 63: with minimums that are 7.5 times as large values have a mean of 0.
  Q4_K: [
    [0, 1 / 225],
    [2, 7.5 / 225],
  ],
  Q5_K: [
    [0, 1 / 460],
    [2, 15.5 / 460],
  ],
  Q6_K: [[208, 1 / 1366]],
};

/** Blocks of random bits, each under scales of about the same size. */
function* randomBlocks(dtype: BlockDtype, values: number, key: string): Iterable<Uint8Array> {
  const next = randomIntegers(key);
  const blockBytes = STORED_TYPES[dtype].bytes;
  const total = storedBytes(dtype, values);
  const most = blockBytes * Math.floor(PIECE_BYTES / blockBytes);
  for (let done = 0; done < total; done += most) {
    const bytes = Math.min(most, total - done);
    const words = new Int32Array(Math.ceil(bytes / 4));
    for (let i = 0; i < words.length; i++) words[i] = next();
    const view = new DataView(words.buffer, 0, bytes);
    for (let block = 0; block < bytes; block += blockBytes) {
      const size = 0.75 + (next() >>> 0) / 2 ** 33;
      for (const [offset, scale] of SCALES[dtype]) {
        view.setUint16(block + offset, toF16(STD * scale * size), true);
      }
    }
    yield new Uint8Array(words.buffer, 0, bytes);
  }
}

interface VocabularyConfig {
  readonly vocab_size: number;
  readonly bos_token_id: number;
  readonly eos_token_id: number;
}

/** Control tokens at the ids where the model has its own: from the first that the config names on, or up to the end. */
const MOST_CONTROLS = 256;

/**
 * A byte-level vocabulary of which every token can be reached: the bytes, and words that grow by a letter with each merge.
 * @param pre the name of the splitter
 */
function vocabulary(config: VocabularyConfig, pre: string): Record<string, GgufValue> {
  const { vocab_size: size, bos_token_id: bos, eos_token_id: eos } = config;
  const first = Math.min(bos, eos);
  const controls = first === 0 ? 17 : Math.min(size - first, MOST_CONTROLS);
  const words = wordsAndMerges(size - controls);
  const tokens = [...words.tokens];
  tokens.splice(first, 0, ...Array.from({ length: controls }, (_, i) => `<|control_${i}|>`));
  const types = tokens.map((_, id) => (id >= first && id < first + controls ? 3 : 1));
  const { text, texts, i32s, u32, flag } = ggufValue;
  return {
    "tokenizer.ggml.model": text("gpt2"),
    "tokenizer.ggml.pre": text(pre),
    "tokenizer.ggml.tokens": texts(tokens),
    "tokenizer.ggml.token_type": i32s(types),
    "tokenizer.ggml.merges": texts(words.merges),
    "tokenizer.ggml.bos_token_id": u32(bos),
    "tokenizer.ggml.eos_token_id": u32(eos),
    "tokenizer.ggml.add_bos_token": flag(bos !== eos),
  };
}

function wordsAndMerges(count: number): { tokens: string[]; merges: string[] } {
  const letters = Array.from("abcdefghijklmnopqrstuvwxyz");
  // GPT-2's characters for bytes: those that show stand for themselves, the others are moved up.
  let moved = 0;
  const tokens = Array.from({ length: 256 }, (_, byte) => {
    const shows = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCodePoint(shows ? byte : 256 + moved++);
  });
  const merges: string[] = [];
  // A space, or a letter, and then a letter more each time.
  let words = [tokens[32]!, ...letters];
  while (tokens.length < count) {
    const longer: string[] = [];
    for (const word of words) {
      for (const letter of letters) {
        if (tokens.length === count) break;
        tokens.push(word + letter);
        merges.push(`${word} ${letter}`);
        longer.push(word + letter);
      }
    }
    words = longer;
  }
  return { tokens, merges };
}
