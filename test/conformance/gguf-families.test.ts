/**
 * A model is the same in a Hugging Face folder and in a GGUF file that stores the same values: the same bits, for every
 * architecture, from matrices of F32, F16 and BF16. Files are made by `scripts/hf-to-gguf.ts`, which knows nothing of how
 * they are read.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { writeGguf } from "../../scripts/gguf-writer.js";
import { hfToGguf, sourceTensors } from "../../scripts/hf-to-gguf.js";
import { ggufArchitectures } from "../../src/architectures/gguf/gguf-architectures.js";
import type { StoredFloat } from "../../src/kernels/weight-types.js";
import { load } from "../../src/library/load.js";
import { arbitraryTokens, type FamilyName, familyFolder, modelFolders } from "../fixture-models.js";
import { memoryFiles } from "../memory-files.js";
import { inAllTypes, storedAs } from "../stored-as.js";
import { expectEqualBits } from "./kernel-bench.js";

const STORED = ["F32", "F16", "BF16"] as const satisfies readonly StoredFloat[];
const quiet = { kernels: "reference", threads: 1, worker: false } as const;

/** A model, and what its file cannot say otherwise. */
interface Case {
  readonly architecture: string;
  readonly name: FamilyName | "gpt2";
  readonly contextLength?: number;
  /** Fields that GGUF leaves out, as they are then taken to be. */
  readonly implied?: Readonly<Record<string, unknown>>;
}

const cases: readonly Case[] = [
  { architecture: "llama", name: "llama" },
  { architecture: "llama", name: "llama-tied-bias", implied: { hidden_act: "silu" } },
  { architecture: "llama", name: "llama-linear" },
  { architecture: "llama", name: "llama-yarn" },
  { architecture: "llama", name: "mistral-window" },
  { architecture: "qwen2", name: "qwen2" },
  { architecture: "qwen3", name: "qwen3" },
  { architecture: "smollm3", name: "smollm3" },
  { architecture: "gemma2", name: "gemma2", implied: { query_pre_attn_scalar: 16 } },
  { architecture: "gemma3", name: "gemma3", implied: { query_pre_attn_scalar: 16 } },
  { architecture: "phi3", name: "phi3" },
  { architecture: "phi3", name: "phi3-longrope" },
  { architecture: "phi3", name: "phi3-longrope", contextLength: 128 },
  { architecture: "granite", name: "granite" },
  { architecture: "olmo2", name: "olmo2" },
  { architecture: "stablelm", name: "stablelm" },
  { architecture: "gptneox", name: "gpt-neox" },
  { architecture: "gptneox", name: "gpt-neox-serial" },
  { architecture: "gpt2", name: "gpt2", implied: { activation_function: "gelu_new" } },
];

test("every architecture is here", () => {
  expect(new Set(cases.map(({ architecture }) => architecture))).toEqual(
    new Set(ggufArchitectures.map(({ id }) => id)),
  );
});

/** The files of a folder, with what GGUF implies and every value one that all types have. */
function folderOf({ name, implied }: Case, dtype: StoredFloat): Record<string, Uint8Array> {
  const folder = name === "gpt2" ? modelFolders.odd : familyFolder(name);
  const config = { ...JSON.parse(readFileSync(`${folder}/config.json`, "utf8")), ...implied };
  const files = {
    "config.json": new TextEncoder().encode(JSON.stringify(config, null, 1)),
    "model.safetensors": new Uint8Array(readFileSync(`${folder}/model.safetensors`)),
  };
  return storedAs(files, dtype, inAllTypes);
}

test.each(cases)(
  "$architecture: $name in a file and in a folder has the same bits, context $contextLength",
  async ({ contextLength, ...of }) => {
    const options = { ...quiet, contextLength };
    // All stored types have its values: it is one model in whichever.
    const files = folderOf(of, "F32");
    await using folder = await load(memoryFiles("folder", files), options);
    const { contextLength: length, vocabSize } = folder.info.config;
    const ids = arbitraryTokens(Math.min(24, length), vocabSize);
    const { logits: expected } = await folder.logits(ids, { rows: "all" });
    for (const dtype of contextLength === undefined ? STORED : STORED.slice(0, 1)) {
      const stored = folderOf(of, dtype);
      const config = JSON.parse(new TextDecoder().decode(stored["config.json"]));
      const gguf = writeGguf(hfToGguf(config, sourceTensors(stored["model.safetensors"]!)));
      const given = memoryFiles("file", { "model.gguf": gguf });
      await using file = await load(Object.assign(given, { gguf: ["model.gguf"] }), options);
      expect(file.info.config).toEqual({ ...folder.info.config, bosTokenId: null, eosTokenIds: [] });
      const { logits } = await file.logits(ids, { rows: "all" });
      expectEqualBits(logits, expected, dtype);
      expect(given.openFiles).toEqual([]);
    }
  },
);

test("a rotation scaled as Llama 3 does it differs in last bits, as its divisors are f32 in the file", async () => {
  const of = { architecture: "llama", name: "llama-rope3" } as const;
  const files = folderOf(of, "F32");
  const config = JSON.parse(new TextDecoder().decode(files["config.json"]));
  const gguf = writeGguf(hfToGguf(config, sourceTensors(files["model.safetensors"]!)));
  await using folder = await load(memoryFiles("folder", files), quiet);
  const given = memoryFiles("file", { "model.gguf": gguf });
  await using file = await load(Object.assign(given, { gguf: ["model.gguf"] }), quiet);
  const [exact, read] = [folder, file].map(({ info }) => info.config.decoder.rotations[0]!.frequencies);
  read!.forEach((frequency, i) => {
    expect(Math.abs(frequency / exact![i]! - 1)).toBeLessThan(2 ** -22);
  });
  const ids = arbitraryTokens(24, folder.info.config.vocabSize);
  const [a, b] = await Promise.all([folder, file].map((lm) => lm.logits(ids, { rows: "all" })));
  a!.logits.forEach((value, i) => {
    if (!(Math.abs(value - b!.logits[i]!) < 1e-4)) expect(b!.logits[i]).toBeCloseTo(value, 4);
  });
});

describe.each(
  cases.filter(({ architecture }, i) => cases.findIndex((of) => of.architecture === architecture) === i),
)("the tensors of $architecture", (of) => {
  const files = folderOf(of, "BF16");
  const config = JSON.parse(new TextDecoder().decode(files["config.json"]));
  const { metadata, tensors } = hfToGguf(config, sourceTensors(files["model.safetensors"]!));

  async function refusal(changed: typeof tensors): Promise<string> {
    const given = memoryFiles("file", { "model.gguf": writeGguf({ metadata, tensors: changed }) });
    const failure = await load(Object.assign(given, { gguf: ["model.gguf"] }), quiet).then(
      () => "accepted",
      (error: Error) => error.message,
    );
    expect(given.openFiles).toEqual([]);
    return failure;
  }

  test("are all there", async () => {
    const lost = /^blk\.1\.(attn_norm|ffn_up|post_ffw_norm)\.weight$/;
    const message = await refusal(tensors.filter(({ name }) => !lost.test(name)));
    expect(message).toMatch(/^model\.gguf: tensor "blk\.1\.\w+\.weight" of shape \[.*\] is missing\.$/);
  });

  test("are no others", async () => {
    const [first] = tensors;
    const one = { ...first!, name: "blk.0.attn_sinks.weight" };
    expect(await refusal([...tensors, one])).toMatch(
      /^model\.gguf: tensor "blk\.0\.attn_sinks\.weight" does not belong to .* with \d layers\.$/,
    );
  });

  test("have their shapes", async () => {
    const name = "blk.1.ffn_down.weight";
    const changed = tensors.map((tensor) => {
      const [rows, cols] = tensor.shape;
      return tensor.name === name ? { ...tensor, shape: [cols!, rows!] } : tensor;
    });
    expect(await refusal(changed)).toMatch(
      /^model\.gguf: tensor "blk\.1\.ffn_down\.weight" has shape \[.*\], but the config asks for \[.*\]\.$/,
    );
  });
});
