/**
 * Every family against Hugging Face transformers (golden-families.ts), and the spellings of its config against each other: by
 * these the reference kernels, on which test/exhaustive has the greedy tokens too, give the same rows.
 */
import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import type { ModelFiles } from "../../src/formats/model-files.js";
import { load } from "../../src/library/load.js";
import { folderFiles } from "../../src/platform/disk-files.js";
import { familyContents, modelContents, type StoredTensor } from "../family-files.js";
import { type FamilyName, familyCases, familyFolder, familyNames } from "../fixture-models.js";
import { memoryFiles } from "../memory-files.js";
import { quiet, runs, testGoldenFamilies } from "./golden-families.js";

testGoldenFamilies("wasm");

/** A folder whose `config.json` is another file of it, or is changed. */
function withConfig(name: FamilyName, config: string | Record<string, unknown>): ModelFiles {
  const files = folderFiles(name, familyFolder(name));
  const isFile = typeof config === "string";
  const changed = memoryFiles(name, isFile ? {} : { "config.json": JSON.stringify(config) });
  return {
    label: name,
    async open(file) {
      if (file !== "config.json") return files.open(file);
      return isFile ? files.open(config) : changed.open(file);
    },
  };
}

const older = familyNames.filter((name) => existsSync(`${familyFolder(name)}/config.v4.json`));

test.each(familyNames)(
  "%s in the older spelling, and on the other kernels, has the same bits",
  async (name) => {
    for (const { contextLength, cases } of await runs(name)) {
      await using newer = await load(familyFolder(name), { ...quiet, kernels: "reference", contextLength });
      await using same = await load(
        withConfig(name, older.includes(name) ? "config.v4.json" : "config.json"),
        { ...quiet, contextLength },
      );
      for (const { ids } of cases) {
        const [a, b] = await Promise.all([newer, same].map((lm) => lm.logits(ids, { rows: "all" })));
        expect(firstDifferentBits(b!.logits, a!.logits)).toBeNull();
      }
    }
  },
);

test("both spellings are there of all that has a rotation", () => {
  expect(familyNames.filter((name) => !older.includes(name))).toEqual(["gpt-neo"]);
});

test("a dynamic rotation ends where its frequencies would change", async () => {
  await using lm = await load(familyFolder("llama-dynamic"), quiet);
  const beyond = (await familyCases("llama-dynamic")).filter(({ ids }) => ids.length > 24);
  expect(beyond.length).toBe(1);
  for (const { ids } of beyond) {
    await expect(lm.logits(ids)).rejects.toMatchObject({
      code: "context_length_exceeded",
      message: "The prompt has 30 tokens; this model's context is 24.",
    });
  }
  await expect(load(familyFolder("llama-dynamic"), { ...quiet, contextLength: 30 })).rejects.toMatchObject({
    code: "invalid_argument",
    message: expect.stringMatching(
      /A context of 30 tokens is asked for, but .* has a rotation of type dynamic/,
    ),
  });
});

test("longrope has one table a load, by the context that is asked for", async () => {
  const ids = (await familyCases("phi3-longrope"))[2]!.ids;
  const rowsOf = async (contextLength?: number) => {
    await using lm = await load(familyFolder("phi3-longrope"), { ...quiet, contextLength });
    const { logits } = await lm.logits(ids, { rows: "all" });
    const { contextLength: length, maxContextLength, rotaryTable } = lm.info.config;
    return { lengths: [length, maxContextLength], rotaryTable, bits: bits(logits) };
  };
  const byDefault = await rowsOf();
  expect(byDefault).toMatchObject({ lengths: [32, 128], rotaryTable: "short" });
  expect(await rowsOf(20)).toEqual({ ...byDefault, lengths: [20, 128] });
  const long = await rowsOf(33);
  expect(long).toMatchObject({ lengths: [33, 128], rotaryTable: "long" });
  expect(long.bits).not.toEqual(byDefault.bits);
  expect(await rowsOf(128)).toEqual({ ...long, lengths: [128, 128] });
});

test.each([
  { text: "model.language_model.", other: "model." },
  { text: "language_model.model.", other: "" },
])(
  "the text model below $text of a Gemma 3 that reads images has the bits of one of text",
  async (spelling) => {
    const inner = familyContents("gemma3");
    const tensors: Record<string, StoredTensor> = {};
    for (const [name, tensor] of Object.entries(inner.tensors))
      tensors[name.replace("model.", spelling.text)] = tensor;
    const end = inner.data.length;
    const vision = { dtype: "F8_E4M3", shape: [2, 3], data_offsets: [end, end + 6] } as const;
    tensors[`${spelling.other}vision_tower.vision_model.embeddings.patch_embedding.weight`] = vision;
    const config = {
      model_type: "gemma3",
      text_config: inner.config,
      vision_config: {},
      tie_word_embeddings: true,
    };
    const data = new Uint8Array([...inner.data, ...new Uint8Array(6)]);
    const options = { ...quiet, kernels: "reference" } as const;
    await using whole = await load(memoryFiles("whole", modelContents({ config, tensors, data })), options);
    await using text = await load(familyFolder("gemma3"), options);
    for (const { ids } of await familyCases("gemma3")) {
      const [a, b] = await Promise.all([whole, text].map((lm) => lm.logits(ids, { rows: "all" })));
      expect(firstDifferentBits(a!.logits, b!.logits)).toBeNull();
    }
  },
);

function bits(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}
