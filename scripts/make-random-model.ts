/**
 * Writes a model with seeded random weights as a Hugging Face folder, a GPT-2 of any size, one of the shape of a model that
 * people use, or one of any family by its `config.json`, or as a GGUF file, for measuring where no model can be downloaded:
 * `npx tsx scripts/make-random-model.ts --help`. It appears whole or not at all, and is written piece by piece.
 */
import { randomUUID } from "node:crypto";
import { realpathSync } from "node:fs";
import { access, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Command, InvalidArgumentError, Option } from "commander";
import { LastrowError } from "../src/errors.js";
import type { Activation } from "../src/kernels/kernels.js";
import type { StoredFloat } from "../src/kernels/weight-types.js";
import { ggufHeader, writeGgufFile } from "./gguf-writer.js";
import { MIXTURES, type Mixture } from "./mixtures.js";
import { PRESETS, type PresetName, planPreset } from "./presets.js";
import type { RandomModelFile } from "./random-checkpoint.js";
import { planRandomGguf } from "./random-gguf.js";
import { planRandomFamilyModel, planRandomModel } from "./random-model.js";

/** What a folder made by this script, or by transformers, has; all that `force` removes. */
const OWN_FILE =
  /^(config\.json|generation_config\.json|model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json)$/;

export interface WriteOptions {
  /** Replace the config and the weights of a folder that is there. Its other files stay. */
  readonly force?: boolean | undefined;
  readonly onProgress?: ((writtenBytes: number, totalBytes: number) => void) | undefined;
}

/**
 * Writes the files of a random model into `folder`.
 * @returns the bytes written
 * @throws LastrowError `invalid_argument` when the folder is there without `force`
 */
export async function makeRandomModel(
  folder: string,
  files: readonly RandomModelFile[],
  { force = false, onProgress }: WriteOptions = {},
): Promise<number> {
  const exists = await isThere(folder);
  if (exists && !force) {
    throw new LastrowError(
      "invalid_argument",
      `${folder} is there already; --force replaces the model in it.`,
    );
  }
  const target = resolve(folder);
  const unfinished = join(dirname(target), `.${basename(target)}-${randomUUID()}`);
  await mkdir(unfinished, { recursive: true });
  try {
    const total = files.reduce((sum, { size }) => sum + size, 0);
    let written = 0;
    for (const file of files) {
      for await (const bytes of writeFile(unfinished, file)) {
        written += bytes;
        onProgress?.(written, total);
      }
    }
    if (exists) await replaceModel(unfinished, target);
    else await rename(unfinished, target);
    return written;
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

/**
 * Writes a random model as a GGUF file.
 * @returns the bytes written
 * @throws LastrowError `invalid_argument` when the file is there without `force`
 */
export async function makeRandomGguf(
  path: string,
  file: ReturnType<typeof planRandomGguf>,
  { force = false, onProgress }: WriteOptions = {},
): Promise<number> {
  if (!force && (await isThere(path))) {
    throw new LastrowError("invalid_argument", `${path} is there already; --force replaces it.`);
  }
  await mkdir(dirname(resolve(path)), { recursive: true });
  const { header, places } = ggufHeader(file);
  const total = places.reduce((sum, { bytes }) => sum + bytes, header.length);
  let written = header.length;
  const counted = file.tensors.map((tensor) => ({
    ...tensor,
    *data() {
      for (const piece of tensor.data()) {
        yield piece;
        written += piece.length;
        onProgress?.(written, total);
      }
    },
  }));
  await writeGgufFile(path, { ...file, tensors: counted });
  return (await stat(path)).size;
}

async function* writeFile(folder: string, file: RandomModelFile): AsyncGenerator<number> {
  const handle = await open(join(folder, file.name), "wx");
  try {
    for (const piece of file.pieces()) {
      // A short write is allowed; `writeFile` on a handle goes on from where it is and writes all.
      await handle.writeFile(piece);
      yield piece.length;
    }
  } finally {
    await handle.close();
  }
}

async function replaceModel(from: string, to: string): Promise<void> {
  for (const name of await readdir(to)) {
    if (OWN_FILE.test(name)) await rm(join(to, name));
  }
  for (const name of await readdir(from)) await rename(join(from, name), join(to, name));
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}

const EXAMPLES = `
Examples:
  npx tsx scripts/make-random-model.ts /tmp/gpt2
      124 million parameters, as openai-community/gpt2
  npx tsx scripts/make-random-model.ts /tmp/gpt2-medium --layers 24 --heads 16 --embd 1024 --dtype bf16 --shards 2
      355 million parameters in two files
  npx tsx scripts/make-random-model.ts /tmp/small --layers 2 --heads 3 --embd 30 --context 64 --vocab 100 --seed 7
      small and of odd sizes
  npx tsx scripts/make-random-model.ts /tmp/llama --preset llama-3.2-1b --shards 2
      1,236 million parameters in 2.5 GB of bf16, in two files
  npx tsx scripts/make-random-model.ts /tmp/qwen3 --config qwen3/config.json --dtype bf16
      a model of another family, of the sizes of its config
  npx tsx scripts/make-random-model.ts /tmp/llama.gguf --preset llama-3.2-1b --gguf q4_k_m
      the same shape as a GGUF file of 0.8 GB, with a vocabulary
`;

/** Options of a GPT-2, which a preset and a config of its own leave no room for. */
const SIZES = ["layers", "heads", "embd", "inner", "context", "vocab", "activation", "untied"];

/** The options that `commander` hands over. */
interface CliOptions {
  preset?: PresetName;
  config?: string;
  layers?: number;
  heads?: number;
  embd?: number;
  inner?: number;
  context?: number;
  vocab?: number;
  dtype?: Lowercase<StoredFloat>;
  seed?: number;
  shards?: number;
  std?: number;
  activation?: Activation;
  untied?: true;
  force?: true;
  gguf?: Mixture;
}

async function main(): Promise<void> {
  const program = new Command()
    .name("make-random-model")
    .description(
      "Writes a model with seeded random weights as a Hugging Face folder, without a tokenizer, or as a GGUF file with one.",
    )
    .argument("<path>", "folder to make, or with --gguf file")
    .addOption(
      new Option("--preset <name>", "a model's shape instead of a GPT-2's, in bf16 by default")
        .choices(Object.keys(PRESETS))
        .conflicts(["config", ...SIZES]),
    )
    .addOption(
      new Option("--config <file>", "config.json of the model (default: a GPT-2 of these sizes)").conflicts(
        SIZES,
      ),
    )
    .option("--layers <n>", "number of layers (default: 12)", parseNumber)
    .option("--heads <n>", "attention heads (default: 12)", parseNumber)
    .option("--embd <n>", "width, a multiple of the heads (default: 768)", parseNumber)
    .option("--inner <n>", "width inside the MLP (default: 4 times the width)", parseNumber)
    .option("--context <n>", "context length (default: 1024)", parseNumber)
    .option("--vocab <n>", "number of tokens (default: 50257)", parseNumber)
    .addOption(
      new Option("--dtype <type>", "type of the weights (default: f32; with --preset bf16)").choices([
        "f32",
        "f16",
        "bf16",
      ]),
    )
    .option("--seed <n>", "seed, 0 to 4294967295 (default: 1)", parseNumber)
    .option("--shards <n>", "number of weight files (default: 1)", parseNumber)
    .option("--std <x>", "standard deviation of the weights (default: 0.02)", parseNumber)
    .option("--activation <name>", "activation_function of the config (default: gelu_new)")
    .option("--untied", "give lm_head weights of its own")
    .addOption(
      new Option("--gguf <mixture>", "a GGUF file with this mixture of types; needs --preset")
        .choices(MIXTURES)
        .conflicts(["config", "dtype", "shards", "std", ...SIZES]),
    )
    .option("--force", "replace the model in a folder, or a file, that is there")
    .addHelpText("after", EXAMPLES);
  program.parse();
  const [path] = program.processedArgs as [string];
  const { preset, config, dtype, seed, shards, std, untied, force, gguf, ...sizes } =
    program.opts<CliOptions>();
  const onProgress = process.stderr.isTTY ? progressLine() : undefined;
  if (gguf !== undefined) {
    if (preset === undefined) return program.error("error: --gguf needs a --preset");
    const written = await makeRandomGguf(path, planRandomGguf(preset, gguf, seed), { force, onProgress });
    process.stdout.write(`${path}: ${formatMegabytes(written)}\n`);
    return;
  }
  const weights = { dtype: dtype?.toUpperCase() as StoredFloat | undefined, seed, shards, std };
  const files =
    preset !== undefined
      ? planPreset(preset, weights)
      : config !== undefined
        ? planRandomFamilyModel(JSON.parse(await readFile(config, "utf8")), weights)
        : planRandomModel({ ...sizes, ...weights, tied: !untied });
  const written = await makeRandomModel(path, files, { force, onProgress });
  process.stdout.write(`${path}: ${formatMegabytes(written)}\n`);
}

function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("It must be a number.");
  return value;
}

/** One line on standard error, drawn again when the per cent changes, and removed at the end. */
function progressLine(): (written: number, total: number) => void {
  let shown = -1;
  return (written, total) => {
    const percent = Math.floor((100 * written) / total);
    if (percent === shown) return;
    shown = percent;
    const line = `${String(percent).padStart(3)} %  ${formatMegabytes(written)} of ${formatMegabytes(total)}`;
    process.stderr.write(written === total ? "\r\x1b[K" : `\r${line}\x1b[K`);
  };
}

function formatMegabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  try {
    await main();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`error: ${message}\n`);
    process.exitCode = 1;
  }
}
