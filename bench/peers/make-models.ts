/**
 * Makes a GPT-2 124M with seeded random weights in every form that the engines load: safetensors (lastrow), GGUF in
 * f32, Q8_0 and Q4_0 (llama.cpp), ONNX in f32 and 8-bit (transformers.js), and GGUF files in the shape of SmolLM2-135M; with
 * `--large` those in the shape of Llama-3.2-1B, too. What is there stays, unless `--force` is given.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { writeGpt2Gguf } from "./formats/gpt2-gguf.js";
import { writeGpt2Onnx } from "./formats/gpt2-onnx.js";
import { SafetensorsFile } from "./formats/safetensors-file.js";
import {
  GGUF_FILES,
  ggufPath,
  LARGE_GGUF_MODELS,
  MODELS,
  ONNX_FOLDER,
  ONNX_NAME,
  SAFETENSORS_FOLDER,
  SMALL_GGUF_MODELS,
} from "./paths.js";

const { values } = parseArgs({
  options: { force: { type: "boolean", default: false }, large: { type: "boolean", default: false } },
});
if (values.force) await rm(MODELS, { recursive: true, force: true });

if (!existsSync(SAFETENSORS_FOLDER)) {
  await mkdir(MODELS, { recursive: true });
  makeRandomModel(SAFETENSORS_FOLDER);
}

await using weights = await SafetensorsFile.open(join(SAFETENSORS_FOLDER, "model.safetensors"));
await make(GGUF_FILES.f32, (path) => writeGpt2Gguf(path, weights, "F32"));
await make(GGUF_FILES.int8, (path) => writeGpt2Gguf(path, weights, "Q8_0"));
await make(GGUF_FILES.int4, (path) => writeGpt2Gguf(path, weights, "Q4_0"));

for (const model of [...SMALL_GGUF_MODELS, ...(values.large ? LARGE_GGUF_MODELS : [])]) {
  const [preset, mixture] = model.split(":") as [string, string];
  await make(ggufPath(model), async (path) => makeRandomModel(path, "--preset", preset, "--gguf", mixture));
}

const onnx = join(ONNX_FOLDER, ONNX_NAME);
await make(join(onnx, "onnx/model.onnx"), (path) => writeGpt2Onnx(path, weights, "f32"));
await make(join(onnx, "onnx/model_quantized.onnx"), (path) => writeGpt2Onnx(path, weights, "int8"));
await writeOnnxConfig();

/** The model's config without an end token, so that as many tokens come as are asked for. */
async function writeOnnxConfig(): Promise<void> {
  const config = JSON.parse(await readFile(join(SAFETENSORS_FOLDER, "config.json"), "utf8"));
  delete config.bos_token_id;
  delete config.eos_token_id;
  config["transformers.js_config"] = { use_external_data_format: true };
  await writeFile(join(onnx, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
  await writeFile(join(onnx, "generation_config.json"), "{}\n");
}

/** Runs the root's script. */
function makeRandomModel(...args: readonly string[]): void {
  const script = fileURLToPath(new URL("../../scripts/make-random-model.ts", import.meta.url));
  const run = spawnSync(process.execPath, ["--import", import.meta.resolve("tsx"), script, ...args], {
    stdio: "inherit",
  });
  if (run.status !== 0) throw new Error("make-random-model.ts failed; is the root package installed?");
}

/** Makes a file that is not there; the writers let it appear under its name only when it is whole. */
async function make(path: string, write: (path: string) => Promise<void>): Promise<void> {
  if (existsSync(path)) return;
  await mkdir(dirname(path), { recursive: true });
  await write(path);
  process.stdout.write(`${path}\n`);
}
