/**
 * Makes a GPT-2 124M with seeded random weights in every form that the pages load: safetensors (lastrow in f32), GGUF in f32
 * and Q8_0 (wllama, and lastrow in 8 bits), ONNX in f32 and 8-bit (transformers.js). What is there stays.
 */
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { Command } from "commander";
import { makeRandomModel } from "../../scripts/make-random-model.js";
import { planRandomModel } from "../../scripts/random-model.js";
import { writeGpt2Gguf } from "../peers/formats/gpt2-gguf.js";
import { writeGpt2Onnx } from "../peers/formats/gpt2-onnx.js";
import { SafetensorsFile } from "../peers/formats/safetensors-file.js";
import { MODEL_FILES } from "./model-files.js";
import { MODELS } from "./paths.js";

const { models } = new Command("npm run models --")
  .description("Makes the models that the pages load: about a minute, 2 GB.")
  .option("--models <folder>", "where", MODELS)
  .parse()
  .opts<{ models: string }>();
const path = (name: string) => join(resolve(models), name);

const folder = path(MODEL_FILES.safetensors);
await make(folder, () => makeRandomModel(folder, planRandomModel()));
await using weights = await SafetensorsFile.open(join(folder, "model.safetensors"));
await make(path(MODEL_FILES.ggufF32), (file) => writeGpt2Gguf(file, weights, "F32"));
await make(path(MODEL_FILES.ggufQ8), (file) => writeGpt2Gguf(file, weights, "Q8_0"));
const onnx = path(MODEL_FILES.onnx);
await make(join(onnx, "onnx/model.onnx"), (file) => writeGpt2Onnx(file, weights, "f32"));
await make(join(onnx, "onnx/model_quantized.onnx"), (file) => writeGpt2Onnx(file, weights, "int8"));
// Without an end token, so that as many tokens come as are asked for.
const { bos_token_id, eos_token_id, ...config } = JSON.parse(
  await readFile(join(folder, "config.json"), "utf8"),
);
config["transformers.js_config"] = { use_external_data_format: true };
await writeFile(join(onnx, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
await writeFile(join(onnx, "generation_config.json"), "{}\n");

/** Makes what is not there; the writers let it appear under its name only when it is whole. */
async function make(target: string, write: (target: string) => Promise<unknown>): Promise<void> {
  if (existsSync(target)) return;
  await mkdir(dirname(target), { recursive: true });
  await write(target);
  process.stdout.write(`${target}\n`);
}
